//! Who waits for a lock gets it in the order in which it came, whoever is killed meanwhile.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{release_of, statuses};
use crate::checker::check_locks;
use crate::crashes::process::WorkerProcess;
use crate::harness::{Berth, Event, Events};

const WAITERS: usize = 1_000;

/// Puts so many into the queue for a lock, in their order; gives what each was answered.
async fn queue(berth: &Berth, resource: &str, count: usize) -> Vec<Value> {
    let item = |number: usize| json!({"requester": format!("r{number}"), "resource": resource, "ttl_seconds": 600, "wait_seconds": 3600});
    let mut queued = Vec::new();
    for part in (0..count).collect::<Vec<usize>>().chunks(100) {
        let items: Vec<Value> = part.iter().copied().map(item).collect();
        let key = format!("queue-{resource}-{}", part[0]);
        let answers = berth.insist("lock", &key, &json!(items)).await.reply.ok();
        assert!(statuses(&answers).iter().all(|status| *status == "QUEUED"), "{answers}");
        queued.extend(answers.as_array().unwrap().iter().cloned());
    }
    queued
}

/// The next grant, passing over what else happens.
async fn next_grant(events: &mut Events) -> Event {
    loop {
        let event = events.next().await;
        if event.kind() == "active" {
            return event;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_that_wait_are_granted_one_a_release_in_order_though_a_worker_is_killed() {
    let berth = Berth::without_workers().await;
    let mut workers = vec![WorkerProcess::start(&berth).await, WorkerProcess::start(&berth).await];
    let first = berth.insist("lock", "first", &json!({"requester": "first", "resource": "door"})).await.reply.ok();
    let mut events = berth.events().await;
    next_grant(&mut events).await;
    let queued = queue(&berth, "door", WAITERS).await;
    for (index, waiter) in queued.iter().enumerate() {
        assert_eq!(waiter["position"], index + 1);
    }
    let mut holder = first;
    for (index, next) in queued.iter().enumerate() {
        if index == WAITERS / 2 {
            // In the middle of a release: its answer may be lost, and the grant is not.
            let _lost = berth.send("unlock", Some(&format!("u{index}")), &release_of(&holder)).await;
            workers.remove(0).kill().await;
            workers.push(WorkerProcess::start(&berth).await);
        }
        let released = berth.insist("unlock", &format!("u{index}"), &release_of(&holder)).await.reply;
        assert_eq!(released.body["status"], "RELINQUISHED", "{index}");
        holder = next.clone();
    }
    // One grant a release, each to the next.
    for (index, waiter) in queued.iter().enumerate() {
        let granted = next_grant(&mut events).await;
        assert_eq!(granted.hold(), waiter["lock_id"].as_str().unwrap(), "grant {index}");
    }
    let history = check_locks(&berth).await;
    let mut of_type: BTreeMap<&str, usize> = BTreeMap::new();
    history.iter().for_each(|event| *of_type.entry(event.kind()).or_default() += 1);
    let expected = BTreeMap::from([("queued", WAITERS), ("active", WAITERS + 1), ("ended", WAITERS)]);
    assert_eq!(of_type, expected);
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_runs_out_is_expired_and_the_queue_closes_up() {
    let berth = Berth::with_workers(2).await;
    let held = berth.locked("a", "door", json!({})).await;
    let short = berth.lock("b", "door", json!({"wait_seconds": 1})).await;
    let long = berth.lock("c", "door", json!({"wait_seconds": 600})).await;
    assert_eq!((&short["position"], &long["position"]), (&json!(1), &json!(2)));
    let mut events = berth.events().await;
    let expired = events.take(4).await.pop().unwrap();
    assert_eq!((expired.kind(), expired.hold()), ("expired", short["lock_id"].as_str().unwrap()));
    assert_eq!(expired.body["data"]["end_reason"], "wait_expired");
    assert_eq!(expired.body["data"]["previous_status"], "Waitlisted");
    assert_eq!(berth.lock("c", "door", json!({})).await["position"], 1);
    assert_eq!(berth.check_one("door").await["waiting"], 1);
    berth.unlock(&held).await;
    assert_eq!(events.kinds(2).await, ["ended", "active"]);
    check_locks(&berth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_overtakes_who_waits_and_who_leaves_makes_room() {
    let berth = Berth::with_workers(2).await;
    berth.register(json!({"name": "press", "blocks": ["power", "water"]})).await;
    berth.register(json!({"name": "drill", "blocks": ["water"]})).await;
    let power = berth.locked("a", "power", json!({})).await;
    let waits = berth.lock("b", "press", json!({"wait_seconds": 600})).await;
    assert_eq!(waits["status"], "QUEUED");
    // The water is free, but awaited; so is the power, once it is given back.
    assert_eq!(berth.check_one("water").await["is_reserved"], false);
    for name in ["press", "water", "drill", "water"] {
        assert_eq!(berth.try_lock("c", name).await, "ALREADY_HELD", "{name}");
    }
    let behind = berth.lock("c", "power", json!({"wait_seconds": 600})).await;
    assert_eq!(behind["status"], "QUEUED");
    berth.unlock(&power).await;
    assert_eq!(berth.check_one("power").await["holder"], "b");
    assert_eq!(berth.lock("b", "press", json!({})).await["status"], "ALREADY_HAD");
    assert_eq!(berth.lock("c", "power", json!({})).await["position"], 1);
    // One that leaves the queue is canceled, and what it stood before goes on.
    berth.lock("d", "press", json!({"wait_seconds": 600})).await;
    assert_eq!(berth.unlock(&behind).await["status"], "RELINQUISHED");
    berth.unlock(&waits).await;
    assert_eq!(berth.check_one("press").await["holder"], "d");
    let events = check_locks(&berth).await;
    let of_behind: Vec<&str> =
        events.iter().filter(|event| event.hold() == behind["lock_id"]).map(Event::kind).collect();
    assert_eq!(of_behind, ["queued", "canceled"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_runs_out_goes_to_who_waits_at_once() {
    let berth = Berth::with_workers(2).await;
    let held = berth.locked("a", "door", json!({"ttl_seconds": 1})).await;
    let waits = berth.lock("b", "door", json!({"wait_seconds": 600, "ttl_seconds": 1})).await;
    berth.lock("c", "door", json!({"wait_seconds": 600})).await;
    let mut events = berth.events().await;
    let told = events.take(7).await;
    let kinds: Vec<&str> = told.iter().map(Event::kind).collect();
    assert_eq!(kinds, ["active", "queued", "queued", "expired", "active", "expired", "active"]);
    assert_eq!(told[3].body["data"]["effective_at"], held["expires_at"]);
    assert_eq!(told[4].hold(), waits["lock_id"].as_str().unwrap());
    assert_eq!(berth.check_one("door").await["holder"], "c");
    check_locks(&berth).await;
}
