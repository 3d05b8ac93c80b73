//! Workers and servers are killed, stopped and cut off at every step: what was answered stays, what is asked again
//! with its key is done once.

mod client;
mod commit;
mod drain;
mod frozen;
mod load;
pub mod process;
mod publish;
mod stale;

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::harness::{Berth, hours_from_now};

/// Postgres's protocol: the statement that commits a batch, and the answer that it is committed.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";
const COMMITTED: &[u8] = b"C\0\0\0\x0bCOMMIT\0";

/// The pool of these tests.
async fn make_pool(berth: &Berth) {
    berth.admin("pool_put", json!({"pool": "gpu", "capacity": 100})).await.ok();
}

/// One unit of the pool for an hour.
fn one_hour() -> Value {
    json!({"pool": "gpu", "start_time": hours_from_now(1), "end_time": hours_from_now(2), "quantity": 1})
}

async fn count_holds(sql: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from hold").fetch_one(sql).await.unwrap()
}
