//! How taking a lock comes out.

use std::time::Duration;

use berth::client::{Acquire, Acquisition, LockClient, LockError, LockOptions, Released};
use serde_json::json;

use crate::harness::Berth;
use crate::support::{client, client_on, options, take};
use crate::tap::{Tap, Way};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_taken_told_as_held_to_others_and_free_behind_its_release() {
    let berth = Berth::start().await;
    let locks = client(&berth);
    let guard = take(&locks, Acquire::new("a", "r").ttl(MINUTE)).await;
    assert_eq!((guard.requester(), guard.resource(), guard.was_held_before()), ("a", "r", false));
    assert!(guard.expires_at().is_some() && !guard.is_lost());
    assert!(guard.remaining().unwrap() <= Duration::from_secs(54));
    let (fence, checked) = (guard.fencing_token(), berth.ask("check", json!({"resource": "r"})).await.ok());
    assert_eq!((&checked["holder"], &checked["fencing_token"]), (&json!("a"), &json!(fence)));

    let other = locks.acquire(Acquire::new("b", "r").ttl(MINUTE)).await.unwrap();
    assert!(matches!(other, Acquisition::AlreadyHeld), "{other:?}");
    assert!(locks.verify("r", fence).await.unwrap());
    assert_eq!(guard.release().await.unwrap(), Released::Relinquished);
    assert!(!locks.verify("r", fence).await.unwrap());

    let next = take(&locks, Acquire::new("b", "r").ttl(MINUTE)).await;
    assert!(next.fencing_token() > fence);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_lock_already_gets_it_with_the_same_fence_and_a_new_time_to_live() {
    let berth = Berth::start().await;
    let before = json!({"requester": "a", "resource": "r", "ttl_seconds": 5});
    let before = berth.ask("lock", before).await.ok();
    let guard = take(&client(&berth), Acquire::new("a", "r").ttl(MINUTE)).await;
    assert!(guard.was_held_before());
    assert_eq!(before["fencing_token"], guard.fencing_token());
    assert_eq!(before["lock_id"], guard.lock_id());
    assert!(guard.remaining().unwrap() > Duration::from_secs(5), "counted from the renewal");
    let now = berth.ask("check", json!({"resource": "r"})).await.ok();
    assert_eq!(now["expires_at"], guard.expires_at().unwrap().to_rfc3339_opts(chrono::SecondsFormat::Micros, true));
    assert_ne!(now["expires_at"], before["expires_at"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_held_with_a_time_to_live_is_not_had_without_one() {
    let berth = Berth::start().await;
    let before = json!({"requester": "a", "resource": "r", "ttl_seconds": 60});
    berth.ask("lock", before).await.ok();
    let refused = client(&berth).acquire(Acquire::new("a", "r")).await;
    assert!(matches!(refused, Err(LockError::HasTimeToLive)), "{refused:?}");
    assert_eq!(berth.ask("check", json!({"resource": "r"})).await.ok()["holder"], "a", "it is left as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_without_a_time_to_live_is_held_until_it_is_released_and_had_again_as_it_is() {
    let berth = Berth::start().await;
    let mut events = berth.events().await;
    let locks = client(&berth);
    let guard = take(&locks, Acquire::new("a", "r")).await;
    assert_eq!((guard.expires_at(), guard.remaining(), guard.is_lost()), (None, None, false));
    let again = take(&locks, Acquire::new("a", "r")).await;
    assert!(again.was_held_before());
    assert_eq!(again.lock_id(), guard.lock_id());
    assert_eq!(guard.release().await.unwrap(), Released::Relinquished);
    assert_eq!(again.release().await.unwrap(), Released::NotReserved);
    assert_eq!(events.kinds(2).await, ["active", "ended"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_an_error_with_its_code_and_nothing_is_given_back_for_it() {
    let berth = Berth::start().await;
    berth.admin("tenant_put", json!({"tenant": "acme", "quotas": {"locks": 0}})).await.ok();
    let locks = client(&berth);
    let refused = locks.acquire(Acquire::new("a", "r").ttl(MINUTE)).await;
    let Err(LockError::Refused { verb: "lock", code, is_retryable: false, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(code, "quota_exceeded");
    berth.admin("tenant_put", json!({"tenant": "acme"})).await.ok();
    assert!(!take(&locks, Acquire::new("a", "r").ttl(MINUTE)).await.was_held_before());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_told_before_anything_is_sent() {
    let berth = Berth::without_workers().await;
    let short = client(&berth).acquire(Acquire::new("a", "r").ttl(Duration::from_millis(999))).await;
    assert!(matches!(short, Err(LockError::InvalidDuration)), "{short:?}");
    for tenant in ["", "a.b", "*", "A", "a b", "-a"] {
        let refused = LockClient::new(berth.nats.clone(), tenant);
        assert!(matches!(refused, Err(LockError::InvalidName { what: "tenant", .. })), "{tenant}");
    }
    let rooted = LockOptions { subject_root: "a.b".to_owned(), ..LockOptions::default() };
    let refused = LockClient::with_options(berth.nats.clone(), "acme", rooted);
    assert!(matches!(refused, Err(LockError::InvalidName { what: "subject root", .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_serves_the_request_fails_in_time_and_is_served_by_a_worker_that_comes_later() {
    let mut berth = Berth::without_workers().await;
    let hasty = LockOptions { request_timeout: Duration::from_millis(300), ..options(&berth) };
    let hasty = LockClient::with_options(berth.nats.clone(), "acme", hasty).unwrap();
    let unheard = hasty.acquire(Acquire::new("a", "r").ttl(MINUTE)).await;
    assert!(matches!(unheard, Err(LockError::NoAnswer { verb: "lock", .. })), "{unheard:?}");

    let patient = LockOptions { request_timeout: MINUTE, ..options(&berth) };
    let patient = LockClient::with_options(berth.nats.clone(), "acme", patient).unwrap();
    let waiting = tokio::spawn(async move { take(&patient, Acquire::new("b", "s").ttl(MINUTE)).await });
    berth.add_worker().await;
    assert!(!waiting.await.unwrap().is_lost());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_whose_answer_was_lost_is_taken_once_and_its_time_counts_from_the_first_request() {
    let berth = Berth::start().await;
    let mut events = berth.events().await;
    let mut nats = Tap::before(&berth.nats_url).await;
    let locks = client_on(&berth, &nats.url).await;
    nats.set(Way::In, "ACQUIRED");
    let taking = tokio::spawn(async move { take(&locks, Acquire::new("a", "r").ttl(MINUTE)).await });
    nats.caught().await.cut();
    let guard = taking.await.unwrap();
    assert!(!guard.was_held_before(), "the stored answer, not one to a second request");
    assert!(guard.remaining().unwrap() < Duration::from_secs(54) - crate::support::ATTEMPT / 2);
    assert_eq!(guard.release().await.unwrap(), Released::Relinquished);
    assert_eq!(events.kinds(2).await, ["active", "ended"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_when_the_time_to_live_has_passed_is_no_guard() {
    let berth = Berth::start().await;
    let mut nats = Tap::before(&berth.nats_url).await;
    let locks = client_on(&berth, &nats.url).await;
    nats.set(Way::In, "ACQUIRED");
    let taking = tokio::spawn(async move { locks.acquire(Acquire::new("a", "r").ttl(Duration::from_secs(1))).await });
    // Answered by the stored reply after the first attempt's time, which is longer than the lock lives.
    nats.caught().await.cut();
    let late = taking.await.unwrap();
    assert!(matches!(late, Err(LockError::TooLate)), "{late:?}");
}
