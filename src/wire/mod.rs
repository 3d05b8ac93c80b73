//! Bytes to types and back: subjects, request bodies, replies, events, and the schemas of all of them. No I/O.
//! Only this module knows JSON.

pub mod event;
pub mod reply;
pub mod request;
pub mod subject;
pub mod verb;
