//! A worker that stands still and wakes up later than everybody thought.

use serde_json::json;

use super::process::WorkerProcess;
use super::publish::pass_lease;
use super::{COMMIT, make_pool, one_hour};
use crate::checker::check;
use crate::harness::{Berth, hours_from_now};
use crate::tap::{Tap, Way};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_stopped_before_its_commit_loses_its_lanes_and_wakes_up_harmless() {
    let berth = Berth::without_workers().await;
    let mut postgres = Tap::before(&berth.database_url).await;
    let frozen = WorkerProcess::start_on(&berth, &postgres.url, &berth.nats_url).await;
    make_pool(&berth).await;
    postgres.set(Way::Out, COMMIT);
    let mut first = berth.send("reserve", Some("k"), &one_hour()).await;
    let held = postgres.caught().await;
    frozen.freeze().await;

    // It holds the lane's lock until Postgres ends its session.
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
    check(&berth, &[retried, most, late, refused, last]).await;
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
