//! Locks that several share, and resources that stay closed for a while.

use std::time::Duration;

use serde_json::json;

use crate::checker::check_locks;
use crate::harness::Berth;

#[tokio::test(flavor = "multi_thread")]
async fn readers_share_a_writer_is_alone_and_nobody_overtakes_the_writer_that_waits() {
    let berth = Berth::with_workers(2).await;
    let shared = || json!({"mode": "shared"});
    let mut readers = Vec::new();
    for number in 0..10 {
        readers.push(berth.locked(&format!("reader-{number}"), "book", shared()).await);
    }
    let checked = berth.check_one("book").await;
    assert_eq!(checked["holders"].as_array().unwrap().len(), 10);
    assert_eq!(berth.try_lock("writer", "book").await, "ALREADY_HELD");
    assert_eq!(berth.lock("writer", "book", json!({"wait_seconds": 60})).await["position"], 1);
    assert_eq!(berth.lock("late", "book", shared()).await["status"], "ALREADY_HELD");
    for number in 0..3 {
        let body = json!({"mode": "shared", "wait_seconds": 60});
        assert_eq!(berth.lock(&format!("late-{number}"), "book", body).await["position"], 2 + number);
    }
    for reader in &readers {
        assert_eq!(berth.try_lock("writer", "book").await, "QUEUED");
        berth.unlock(reader).await;
    }
    let writer = berth.lock("writer", "book", json!({})).await;
    assert_eq!(writer["status"], "ALREADY_HAD");
    assert_eq!(berth.lock("late-0", "book", shared()).await["status"], "QUEUED");
    berth.unlock(&writer).await;
    for number in 0..3 {
        assert_eq!(berth.lock(&format!("late-{number}"), "book", shared()).await["status"], "ALREADY_HAD");
    }
    check_locks(&berth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_is_closed_for_a_while_after_a_ttl_ran_out_and_not_after_an_unlock() {
    let berth = Berth::with_workers(2).await;
    berth.register(json!({"name": "door", "lock_delay_seconds": 2})).await;
    let given_back = berth.locked("a", "door", json!({"ttl_seconds": 600})).await;
    berth.unlock(&given_back).await;
    berth.locked("a", "door", json!({"ttl_seconds": 1})).await;
    let waits = berth.lock("b", "door", json!({"wait_seconds": 60, "ttl_seconds": 600})).await;
    assert_eq!(waits["status"], "QUEUED");
    let mut events = berth.events().await;
    let expired = events.take(5).await.pop().unwrap();
    assert_eq!(expired.kind(), "expired");
    let closed = berth.check_one("door").await;
    assert_eq!((&closed["is_reserved"], &closed["holder"]), (&json!(true), &json!(null)));
    assert_eq!(berth.try_lock("c", "door").await, "ALREADY_HELD");
    let granted = events.next().await;
    assert_eq!((granted.kind(), granted.hold()), ("active", waits["lock_id"].as_str().unwrap()));
    let seconds = |event: &crate::harness::Event, field: &str| {
        let at = event.body["data"][field].as_str().unwrap();
        chrono::DateTime::parse_from_rfc3339(at).unwrap()
    };
    let closed_for = seconds(&granted, "effective_at") - seconds(&expired, "effective_at");
    assert!(closed_for.to_std().unwrap() >= Duration::from_secs(2), "{closed_for}");
    check_locks(&berth).await;
}
