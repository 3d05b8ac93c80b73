//! Bytes to types and back: subjects, request bodies, replies, events, and the schemas of all of them. No I/O.
//! Only this module knows JSON.
//!
//! A request body is taken apart one level at a time (`json`), checked against its verb's table of fields (`shape`
//! says what a table can say, `shapes` holds the tables), written back in one canonical form (`canonical`) and turned
//! into a command or a query (`build`; `launch` for `update`). The same tables give the JSON Schemas of requests (`schema`); those of replies
//! and events stand in `schema_reply`, and `schema_asyncapi` names the channels that carry them all.

mod build;
mod build_operator;
mod canonical;
pub mod capacity;
mod cursor;
pub mod discovery;
pub mod event;
pub mod glance;
pub mod headers;
mod history;
mod instant;
mod json;
pub mod launch;
mod look_view;
mod offer;
pub mod recall;
mod record;
mod refusal;
pub mod reply;
mod reply_lock;
mod reply_operator;
pub mod request;
pub mod schema;
mod schema_asyncapi;
mod schema_dry_run;
mod schema_operator;
mod schema_past;
mod schema_reply;
pub mod server_info;
mod shape;
mod shapes;
pub mod subject;
mod tenant;
pub mod verb;
mod view;
