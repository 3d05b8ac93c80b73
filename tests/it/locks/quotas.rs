//! The quota of locks, with all that counts as one.

use serde_json::json;

use crate::checker::check_locks;
use crate::crashes::process::WorkerProcess;
use crate::harness::Berth;
use crate::tap::{Tap, Way};

#[tokio::test(flavor = "multi_thread")]
async fn waiters_and_blockers_count_each_as_a_lock_and_no_more_than_the_limit_are_granted() {
    let berth = Berth::with_workers(2).await;
    berth.register(json!({"name": "press", "blocks": ["power", "water"]})).await;
    berth.admin("tenant_put", json!({"tenant": "acme", "quotas": {"locks": 6}})).await.ok();
    let used = async || berth.ask("quota", json!({})).await.ok()["used"]["locks"].clone();
    let press = berth.locked("a", "press", json!({})).await;
    assert_eq!(used().await, 3);
    let waits = berth.lock("b", "press", json!({"wait_seconds": 600})).await;
    assert_eq!((&waits["status"], used().await), (&json!("QUEUED"), json!(4)));
    for other in ["other", "another"] {
        berth.locked("c", other, json!({})).await;
    }
    for number in 0..6 {
        let body = json!({"requester": "d", "resource": format!("more-{number}")});
        let refused = berth.ask("lock", body).await.refused("quota_exceeded");
        assert_eq!(refused, json!({"quota": "locks", "limit": 6, "used": 6, "requested": 1}));
    }
    berth.unlock(&press).await;
    assert_eq!((berth.check_one("power").await["holder"].clone(), used().await), (json!("b"), json!(5)));
    check_locks(&berth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_is_refused_whose_grant_would_be_more_than_the_limit() {
    let berth = Berth::with_workers(2).await;
    berth.register(json!({"name": "press", "blocks": ["power", "water"]})).await;
    berth.admin("tenant_put", json!({"tenant": "acme", "quotas": {"locks": 2}})).await.ok();
    let press = json!({"requester": "a", "resource": "press"});
    let told = berth.ask("lock", press).await.refused("quota_exceeded");
    assert_eq!(told["requested"], 3);
    berth.locked("a", "power", json!({})).await;
    let waits = json!({"requester": "b", "resource": "press", "wait_seconds": 5});
    berth.ask("lock", waits).await.refused("quota_exceeded");
    assert_eq!(check_locks(&berth).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tenant_without_limits_has_is_read_only_when_it_is_given_one() {
    let berth = Berth::without_workers().await;
    let mut postgres = Tap::before(&berth.database_url).await;
    let worker = WorkerProcess::start_on(&berth, &postgres.url, &berth.nats_url).await;
    let prefixes = |quotas| json!({"tenant": "acme", "quotas": quotas, "registered_prefixes": ["machine-"]});
    // The statement is sent under its name the first time that a connection has use for it.
    postgres.set(Way::Out, "-- name: load_tenant_holds");
    berth.admin("tenant_put", prefixes(json!({}))).await.ok();
    for number in 0..8 {
        berth.locked("a", &format!("r{number}"), json!({})).await;
        assert_eq!(berth.try_lock("a", "machine-1").await, "NOT_VALID");
    }
    assert!(postgres.is_set(), "it was read");
    let limits = prefixes(json!({"locks": 8}));
    let (given, ()) = tokio::join!(berth.admin("tenant_put", limits), async {
        postgres.caught().await.release();
    });
    given.ok();
    berth.ask("lock", json!({"requester": "a", "resource": "one-more"})).await.refused("quota_exceeded");
    worker.stop().await;
}
