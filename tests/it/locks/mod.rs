//! Locks, seen from outside.

mod claims;
mod examples;
mod expiry;
mod fences;
mod lists;
mod queue;
mod quotas;
mod resources;
mod shared;
mod transactions;
mod with_capacity;

use serde_json::{Value, json};

pub use self::claims::claims_never_collide;
use crate::harness::Berth;

impl Berth {
    /// Asks for a lock, with what else is to be said of it, and gives the answer.
    async fn lock(&self, requester: &str, resource: &str, more: Value) -> Value {
        let mut body = json!({"requester": requester, "resource": resource});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.ask("lock", body).await.ok()
    }

    /// The same where it has to be obtained.
    async fn locked(&self, requester: &str, resource: &str, more: Value) -> Value {
        let taken = self.lock(requester, resource, more).await;
        assert_eq!(taken["status"], "ACQUIRED", "{taken}");
        taken
    }

    /// The status of an attempt.
    async fn try_lock(&self, requester: &str, resource: &str) -> String {
        self.lock(requester, resource, json!({})).await["status"].as_str().unwrap().to_owned()
    }

    /// Gives back what was answered when it was taken, or queued.
    async fn unlock(&self, taken: &Value) -> Value {
        self.ask("unlock", release_of(taken)).await.ok()
    }

    async fn register(&self, body: Value) -> Value {
        self.ask("register", body).await.ok()
    }

    async fn check_one(&self, resource: &str) -> Value {
        self.ask("check", json!({"resource": resource})).await.ok()
    }
}

/// What gives back a lock that was answered so.
fn release_of(taken: &Value) -> Value {
    json!({"requester": taken["requester"], "resource": taken["resource"], "release_token": taken["release_token"]})
}

/// The statuses of a list of answers.
fn statuses(answers: &Value) -> Vec<&str> {
    answers.as_array().unwrap().iter().map(|it| it["status"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_taken_kept_refused_renewed_and_released() {
    let berth = Berth::start().await;
    let body = json!({"requester": "worker-1", "resource": "job-42", "ttl_seconds": 60});
    let taken = berth.ask("lock", body.clone()).await.ok();
    assert_eq!(taken["status"], "ACQUIRED");
    let again = berth.ask("lock", body).await.ok();
    assert_eq!(again["status"], "ALREADY_HAD");
    for field in ["release_token", "fencing_token", "expires_at", "lock_id"] {
        assert_eq!(again[field], taken[field], "{field}");
    }
    let other = berth.ask("lock", json!({"requester": "worker-2", "resource": "job-42"})).await.ok();
    assert_eq!(other["status"], "ALREADY_HELD");
    assert_eq!(other["release_token"], json!(null));
    let checked = berth.ask("check", json!({"resources": ["job-42", "job-43"]})).await.ok();
    assert_eq!(checked[0]["holder"], "worker-1");
    assert_eq!(checked[1]["is_reserved"], false);
    let fence = &taken["fencing_token"];
    let verified = berth.ask("verify", json!({"resource": "job-42", "fencing_token": fence})).await.ok();
    assert_eq!(verified["current"], true);
    let token = &taken["release_token"];
    let renewed =
        berth.ask("renew", json!({"resource": "job-42", "release_token": token, "ttl_seconds": 90})).await.ok();
    assert_eq!(renewed["status"], "RENEWED");
    assert_eq!(renewed["fencing_token"], *fence);
    let wrong = json!({"requester": "worker-2", "resource": "job-42", "release_token": token});
    assert_eq!(berth.ask("unlock", wrong).await.ok()["status"], "DOESNT_OWN_RESERVATION");
    let right = json!({"requester": "worker-1", "resource": "job-42", "release_token": token});
    let released = berth.ask("unlock", right.clone()).await.ok();
    assert_eq!(released["status"], "RELINQUISHED");
    assert_eq!(released["released"], json!(["job-42"]));
    assert_eq!(berth.ask("unlock", right).await.ok()["status"], "NOT_RESERVED");
    let next = berth.ask("lock", json!({"requester": "worker-2", "resource": "job-42"})).await.ok();
    assert!(next["fencing_token"].as_i64() > fence.as_i64());
    let stale = berth.ask("verify", json!({"resource": "job-42", "fencing_token": fence})).await.ok();
    assert_eq!(stale["current"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_array_is_decided_item_by_item() {
    let berth = Berth::start().await;
    berth.ask("lock", json!({"requester": "b", "resource": "r7"})).await.ok();
    let items: Vec<_> = (0..40).map(|item| json!({"requester": "a", "resource": format!("r{item}")})).collect();
    let answers = berth.ask("lock", json!(items)).await.ok();
    let statuses: Vec<&str> = answers.as_array().unwrap().iter().map(|it| it["status"].as_str().unwrap()).collect();
    let expected: Vec<&str> = (0..40).map(|item| if item == 7 { "ALREADY_HELD" } else { "ACQUIRED" }).collect();
    assert_eq!(statuses, expected);
    let tokens: Vec<_> = answers.as_array().unwrap().iter().filter(|answer| answer["status"] == "ACQUIRED").collect();
    let items: Vec<_> = tokens
        .iter()
        .map(|answer| json!({"requester": "a", "resource": answer["resource"], "release_token": answer["release_token"]}))
        .collect();
    let answers = berth.ask("unlock", json!(items)).await.ok();
    assert!(answers.as_array().unwrap().iter().all(|answer| answer["status"] == "RELINQUISHED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_whose_time_ran_out_is_expired_and_free() {
    let berth = Berth::start().await;
    let mut events = berth.events().await;
    let body = json!({"requester": "a", "resource": "r", "ttl_seconds": 1});
    let taken = berth.ask("lock", body).await.ok();
    let (active, expired) = (events.next().await, events.next().await);
    assert_eq!((active.kind(), expired.kind()), ("active", "expired"));
    assert_eq!(expired.body["data"]["effective_at"], taken["expires_at"]);
    assert_eq!(expired.body["data"]["end_reason"], "ttl_expired");
    assert!(expired.body["data"].get("release_token").is_none());
    let next = berth.ask("lock", json!({"requester": "b", "resource": "r"})).await.ok();
    assert_eq!(next["status"], "ACQUIRED");
    assert!(next["fencing_token"].as_i64() > taken["fencing_token"].as_i64());
}
