//! Postgres: the only place that knows SQL. A transaction is opened and ended here and nowhere else.

pub mod batch;
pub mod error;
pub mod journal;
pub mod lane;
pub mod query;
pub mod row;
pub mod start;

pub use batch::{BatchId, CommitError, Loaded, Session, Wants, Writes, settle};
pub use error::StoreError;
