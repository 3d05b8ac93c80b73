//! Locks and capacity in one transaction: both or neither, whatever is killed.

use futures::StreamExt;
use serde_json::{Value, json};

use super::{release_of, statuses};
use crate::checker::{check, check_locks};
use crate::crashes::process::WorkerProcess;
use crate::harness::{Berth, Reply, hours_from_now, within};
use crate::tap::{Step, Tap};

/// A lock, and so many units of the pool for an hour.
fn lock_and_reserve(requester: &str, quantity: u32) -> Value {
    let window = json!({"pool": "gpu", "start_time": hours_from_now(1), "end_time": hours_from_now(2),
                        "quantity": quantity});
    json!({"method": "ALL_OR_NONE", "request_type": "RESERVE", "requests": [
        {"lock": {"requester": requester, "resource": "rack-1"}}, {"reserve": window}
    ]})
}

/// What gives both back.
fn undo(taken: &Value) -> Value {
    let reservation = &taken["results"][1]["reservation_id"];
    json!({"method": "ALL_OR_NONE", "request_type": "UNRESERVE", "requests": [
        {"unlock": release_of(&taken["results"][0])}, {"cancel": {"reservation_id": reservation}}
    ]})
}

async fn make_pool(berth: &Berth) {
    berth.admin("pool_put", json!({"pool": "gpu", "capacity": 4})).await.ok();
}

async fn free_units(berth: &Berth) -> Value {
    let window = json!({"pool": "gpu", "mode": "slots", "earliest_start_time": hours_from_now(1),
                        "latest_end_time": hours_from_now(2)});
    berth.ask("availability", window).await.ok()[0]["quantity"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shortfall_takes_the_lock_back_and_a_lock_that_is_held_takes_the_units_back() {
    let berth = Berth::with_workers(2).await;
    make_pool(&berth).await;
    let failed = berth.ask("transact", lock_and_reserve("a", 5)).await.ok();
    assert_eq!(failed["status"], "FAILED");
    assert_eq!(failed["results"][0], json!({"status": "ROLLED_BACK"}));
    assert_eq!(failed["results"][1]["error"]["code"], "insufficient_capacity");
    assert_eq!(berth.check_one("rack-1").await["is_reserved"], false);
    let blocking = berth.locked("b", "rack-1", json!({})).await;
    let failed = berth.ask("transact", lock_and_reserve("a", 4)).await.ok();
    assert_eq!(statuses(&failed["results"]), ["ALREADY_HELD", "ROLLED_BACK"]);
    assert_eq!(free_units(&berth).await, 4);
    berth.unlock(&blocking).await;
    let taken = berth.ask("transact", lock_and_reserve("a", 4)).await.ok();
    assert_eq!(statuses(&taken["results"]), ["ACQUIRED", "Pending"]);
    assert_eq!(berth.ask("transact", lock_and_reserve("a", 1)).await.ok()["status"], "FAILED");
    assert_eq!(berth.check_one("rack-1").await["holder"], "a", "it had the lock before");
    let given_back = berth.ask("transact", undo(&taken)).await.ok();
    assert_eq!(statuses(&given_back["results"]), ["RELINQUISHED", "Canceled"]);
    assert_eq!(free_units(&berth).await, 4);
    assert_eq!(berth.check_one("rack-1").await["is_reserved"], false);
    check_locks(&berth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_given_back_with_a_reservation_that_runs_and_neither_without_the_other() {
    let berth = Berth::with_workers(2).await;
    // In a grain of an hour the start is not late by the time it is decided.
    berth.admin("pool_put", json!({"pool": "now", "capacity": 4, "grain_seconds": 3600})).await.ok();
    let lock = berth.locked("a", "rack-1", json!({})).await;
    let (start, end) = (hours_from_now(0), hours_from_now(2));
    let running = json!({"pool": "now", "start_time": start, "end_time": end, "quantity": 1});
    let running = berth.ask("reserve", running).await.ok();
    let terminate = json!({"terminate": {"reservation_id": running["reservation_id"]}});
    let unlock = |taken: &Value| json!({"unlock": release_of(taken)});
    let both = |taken: &Value| json!({"method": "ALL_OR_NONE", "request_type": "UNRESERVE", "requests": [terminate, unlock(taken)]});
    let mut stale = lock.clone();
    stale["release_token"] = json!(uuid::Uuid::nil());
    let failed = berth.ask("transact", both(&stale)).await.ok();
    assert_eq!(statuses(&failed["results"]), ["ROLLED_BACK", "DOESNT_OWN_RESERVATION"]);
    let id = json!({"reservation_id": running["reservation_id"]});
    assert_eq!(berth.ask("get", id.clone()).await.ok()["status"], "Active");
    let done = berth.ask("transact", both(&lock)).await.ok();
    assert_eq!(done["status"], "SUCCESS", "{done}");
    assert_eq!(berth.ask("get", id).await.ok()["status"], "Ended");
    assert_eq!(berth.check_one("rack-1").await["is_reserved"], false);
    check_locks(&berth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submitted_transaction_has_one_result_that_its_key_gives_again() {
    let berth = Berth::with_workers(2).await;
    make_pool(&berth).await;
    let mut results = berth.nats.subscribe(format!("{}.result.v1.acme.transact", berth.root)).await.unwrap();
    let context = async_nats::jetstream::new(berth.nats.clone());
    let body = lock_and_reserve("a", 4);
    for _ in 0..2 {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Idempotency-Key", "order-1");
        let subject = format!("{}.submit.v1.acme.transact", berth.root);
        let sent = context.publish_with_headers(subject, headers, body.to_string().into()).await.unwrap();
        within("an acknowledgement", sent.into_future()).await.unwrap();
    }
    let first = Reply::of(within("a result", results.next()).await.unwrap());
    let second = Reply::of(within("a result", results.next()).await.unwrap());
    assert_eq!(first.bytes, second.bytes);
    assert_eq!([&first, &second].iter().filter(|result| result.is_replay()).count(), 1);
    assert_eq!(statuses(&first.body["results"]), ["ACQUIRED", "Pending"]);
    let asked = berth.ask_with_key("transact", "order-1", body).await;
    assert!(asked.is_replay());
    assert_eq!(asked.bytes, first.bytes);
    assert_eq!(free_units(&berth).await, json!(null));
    assert_eq!(check_locks(&berth).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_before_the_commit_has_done_neither_and_after_it_both() {
    let berth = Berth::without_workers().await;
    let mut postgres = Tap::before(&berth.database_url).await;
    let mut worker = WorkerProcess::start_on(&berth, &postgres.url, &berth.nats_url).await;
    make_pool(&berth).await;
    let mut answered = Vec::new();
    for (number, (step, is_done)) in [(Step::Commit, false), (Step::Committed, true)].into_iter().enumerate() {
        let key = format!("take-{number}");
        postgres.set_at(step);
        let _first = berth.send("transact", Some(&key), &lock_and_reserve("a", 4)).await;
        let _held = postgres.caught().await;
        worker.kill().await;
        let live = "select count(*) from hold where status in ('Pending', 'Active')";
        let live: i64 = sqlx::query_scalar(live).fetch_one(&berth.sql().await).await.unwrap();
        assert_eq!(live, if is_done { 2 } else { 0 });
        worker = WorkerProcess::start_on(&berth, &postgres.url, &berth.nats_url).await;
        let taken = berth.insist("transact", &key, &lock_and_reserve("a", 4)).await;
        assert_eq!(taken.reply.is_replay(), is_done);
        assert_eq!(statuses(&taken.reply.body["results"]), ["ACQUIRED", "Pending"]);
        // Giving both back is killed in the same place.
        let key = format!("give-{number}");
        let body = undo(&taken.reply.body);
        postgres.set_at(step);
        let _first = berth.send("transact", Some(&key), &body).await;
        let _held = postgres.caught().await;
        worker.kill().await;
        worker = WorkerProcess::start_on(&berth, &postgres.url, &berth.nats_url).await;
        let given_back = berth.insist("transact", &key, &body).await;
        assert_eq!(given_back.reply.is_replay(), is_done);
        assert_eq!(statuses(&given_back.reply.body["results"]), ["RELINQUISHED", "Canceled"]);
        answered.extend([taken, given_back]);
    }
    assert_eq!(free_units(&berth).await, 4);
    check(&berth, &answered).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_of_few_locks_and_few_units_get_both_or_neither() {
    let berth = Berth::with_workers(2).await;
    make_pool(&berth).await;
    let caller = async |number: usize| {
        let mut wins = 0;
        for _ in 0..20 {
            let taken = berth.ask("transact", lock_and_reserve(&format!("r{number}"), 3)).await.ok();
            if taken["status"] == "SUCCESS" {
                wins += 1;
                assert_eq!(berth.ask("transact", undo(&taken)).await.ok()["status"], "SUCCESS");
            } else {
                assert!(taken["results"][0]["release_token"].is_null(), "{taken}");
            }
        }
        wins
    };
    let wins: Vec<usize> = within("all callers", futures::future::join_all((0..8).map(caller))).await;
    let wins: usize = wins.iter().sum();
    assert!(wins > 0 && wins < 160, "{wins}: nobody met anybody");
    assert_eq!(free_units(&berth).await, 4);
    // A claim: active, ended; a reservation: placed, canceled.
    assert_eq!(check_locks(&berth).await.len(), 4 * wins);
}
