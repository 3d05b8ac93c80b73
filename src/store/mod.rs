//! Postgres: the only place that knows SQL. A transaction is opened and ended here and nowhere else.

pub mod batch;
pub mod booked;
mod catch_up;
mod columns;
mod commit;
pub mod error;
pub mod history;
pub mod journal;
pub mod lane;
mod load;
mod new_hold;
mod new_rows;
mod pool;
pub mod query;
mod reckoning;
mod registry;
pub mod row;
pub mod session;
pub mod sql;
pub mod start;
pub mod sweep;
pub mod tenant;
mod zone;

pub use batch::{BatchId, CommitError, Loaded, Wants, Writes};
pub use error::StoreError;
pub use session::{Session, settle};
