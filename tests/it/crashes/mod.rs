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

use crate::checker::Answered;
use crate::harness::{Berth, hours_from_now};
use crate::tap::{Step, Tap};

/// The pool of these tests.
async fn make_pool(berth: &Berth) {
    berth.admin("pool_put", json!({"pool": "gpu", "capacity": 100})).await.ok();
}

/// One unit of the pool for an hour.
fn one_hour() -> Value {
    json!({"pool": "gpu", "start_time": hours_from_now(1), "end_time": hours_from_now(2), "quantity": 1})
}

/// Has a worker decide the next batches of the pool under locks: it does so for a while once a key has come again.
async fn under_locks(berth: &Berth) -> [Answered; 2] {
    let mut much = one_hour();
    much["quantity"] = json!(101);
    let refused = [berth.insist("reserve", "much", &much).await, berth.insist("reserve", "much", &much).await];
    assert!(refused[1].reply.is_replay());
    refused
}

/// Sets the trap before the next commit, and has it taken under locks or without. Gives what was answered for that.
async fn stop_before_commit(berth: &Berth, postgres: &Tap, is_locked: bool) -> Vec<Answered> {
    if !is_locked {
        postgres.set_at_unlocked();
        return Vec::new();
    }
    let answered = under_locks(berth).await.into();
    postgres.set_at(Step::Commit);
    answered
}

async fn count_holds(sql: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from hold").fetch_one(sql).await.unwrap()
}
