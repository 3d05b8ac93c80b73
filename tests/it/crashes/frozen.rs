//! A worker that stands still and wakes up later than everybody thought.

use std::path::Path;

use serde_json::json;

use super::process::WorkerProcess;
use super::publish::pass_lease;
use super::{count_holds, make_pool, one_hour, stop_before_commit};
use crate::checker::check;
use crate::harness::{Berth, hours_from_now, start_stack};
use crate::tap::{Tap, Way};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_stopped_before_its_commit_loses_its_lanes_and_wakes_up_harmless() {
    stopped_before_its_commit(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_stopped_before_it_writes_without_locks_holds_up_nobody_and_wakes_up_harmless() {
    stopped_before_its_commit(false).await;
}

async fn stopped_before_its_commit(is_locked: bool) {
    let berth = Berth::without_workers().await;
    let mut postgres = Tap::before(&berth.database_url).await;
    let frozen = WorkerProcess::start_on(&berth, &postgres.url, &berth.nats_url).await;
    make_pool(&berth).await;
    let mut answered = stop_before_commit(&berth, &postgres, is_locked).await;
    let mut first = berth.send("reserve", Some("k"), &one_hour()).await;
    let held = postgres.caught().await;
    frozen.freeze().await;

    // Where it holds the lane's lock, it does until Postgres ends its session.
    let other = WorkerProcess::start(&berth).await;
    let retried = berth.insist("reserve", "k", &one_hour()).await;
    let window = json!({"pool": "gpu", "start_time": hours_from_now(1), "end_time": hours_from_now(2), "quantity": 98});
    let most = berth.insist("reserve", "most", &window).await;

    frozen.signal("CONT");
    held.release();
    let late = first.answer().await;
    assert!(late.reply.is_replay());
    other.stop().await;
    // What it kept of the lane is two reservations old.
    let two = json!({"pool": "gpu", "start_time": hours_from_now(1), "end_time": hours_from_now(2), "quantity": 2});
    let refused = berth.insist("reserve", "two", &two).await;
    assert_eq!(refused.reply.code(), "insufficient_capacity");
    let last = berth.insist("reserve", "last", &one_hour()).await;
    assert_eq!(last.reply.code(), "ok");
    answered.extend([retried, most, late, refused, last]);
    check(&berth, &answered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_stopped_within_a_batch_finds_the_stream_closed_to_it_when_it_wakes_up() {
    let berth = Berth::without_workers().await;
    let mut nats = Tap::before(&berth.nats_url).await;
    let frozen = WorkerProcess::start_on(&berth, &berth.database_url, &nats.url).await;
    make_pool(&berth).await;
    let mut answered = vec![berth.insist("reserve", "first", &one_hour()).await];
    let mut events = berth.events().await;
    events.next().await;
    nats.set(Way::Out, format!("PUB {}.event.v1.", berth.root));
    let _answered_late = berth.send("reserve", Some("k"), &one_hour()).await;
    let held = nats.caught().await;
    frozen.freeze().await;

    let other = WorkerProcess::start(&berth).await;
    pass_lease(&berth).await;
    events.next().await; // the other worker has published it
    // Later than the stream remembers ids: until a lock that lasts a second has run out.
    let lock = json!({"requester": "a", "resource": "r", "ttl_seconds": 1});
    answered.push(berth.insist("lock", "lock", &lock).await);
    events.take(2).await;

    frozen.signal("CONT");
    held.release();
    answered.push(berth.insist("reserve", "k", &one_hour()).await);
    other.stop().await;
    // The server takes the words of a connection in order: behind this answer is nothing of the late batch.
    answered.push(berth.insist("reserve", "last", &one_hour()).await);
    check(&berth, &answered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_stands_still_every_request_is_answered_and_afterwards_done_once_by_its_key() {
    let stack = start_stack().await;
    let berth = Berth::on(stack.database_url(), stack.nats_url(), "berth".to_owned()).await;
    let worker = WorkerProcess::start(&berth).await;
    make_pool(&berth).await;
    let postgres = postgres_processes(stack.data_dir());
    signal(&postgres, "STOP");

    // Without a word from Postgres, as when its machine stands still: no connection is closed.
    let mut waiting = Vec::new();
    for number in 0..4 {
        waiting.push(berth.send("reserve", Some(&format!("k{number}")), &one_hour()).await);
    }
    for sent in &mut waiting {
        let answer = sent.answer().await;
        assert!(["unavailable", "unknown_outcome"].contains(&answer.reply.code()), "{}", answer.reply.body);
    }
    worker.until_ready(false).await;

    signal(&postgres, "CONT");
    worker.until_ready(true).await;
    let mut answered = Vec::new();
    for number in 0..4 {
        answered.push(berth.insist("reserve", &format!("k{number}"), &one_hour()).await);
    }
    assert_eq!(count_holds(&berth.sql().await).await, 4);
    check(&berth, &answered).await;
    worker.stop().await;
    stack.stop().await.unwrap();
}

/// The server and all its children.
fn postgres_processes(data_dir: &Path) -> Vec<String> {
    let pid = std::fs::read_to_string(data_dir.join("postgres/postmaster.pid")).unwrap();
    let postmaster = pid.lines().next().unwrap().to_owned();
    let tasks = std::fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children")).unwrap();
    std::iter::once(postmaster).chain(tasks.split_whitespace().map(str::to_owned)).collect()
}

fn signal(processes: &[String], name: &str) {
    let kill = ["-c", r#"name="$1"; shift; kill -s "$name" "$@""#, "kill", name];
    let status = std::process::Command::new("sh").args(kill).args(processes).status().unwrap();
    assert!(status.success());
}
