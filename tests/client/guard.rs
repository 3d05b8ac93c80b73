//! How a lock is kept, and how its holder knows that it has lost it.

use std::time::Duration;

use berth::client::{Acquire, Released};
use serde_json::json;

use crate::harness::{Berth, within};
use crate::support::{client, client_on, take};
use crate::tap::{Tap, Way};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_renewed_in_the_background_and_outlives_its_time_to_live() {
    let berth = Berth::start().await;
    let mut events = berth.events().await;
    let guard = take(&client(&berth), Acquire::new("a", "r").ttl(3 * SECOND)).await;
    let (fence, granted_until) = (guard.fencing_token(), guard.expires_at());
    // Four times a third of its time to live.
    assert_eq!(events.kinds(5).await, ["active", "extended", "extended", "extended", "extended"]);
    assert!(!guard.is_lost() && guard.expires_at() > granted_until);
    assert_eq!(guard.fencing_token(), fence);
    assert_eq!(guard.release().await.unwrap(), Released::Relinquished);
    assert_eq!(events.next().await.kind(), "ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_the_operator_releases_is_lost_with_the_next_renewal() {
    let berth = Berth::start().await;
    let guard = take(&client(&berth), Acquire::new("a", "r").ttl(3 * SECOND)).await;
    let lost = guard.lost();
    berth.admin("lock_release", json!({"tenant": "acme", "resource": "r"})).await.ok();
    within("the loss", lost).await;
    assert!(guard.is_lost());
    assert_eq!(guard.remaining(), Some(Duration::ZERO));
    assert_eq!(guard.release().await.unwrap(), Released::NotReserved);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_somebody_else_has_is_lost_and_not_released_by_who_had_it() {
    let berth = Berth::start().await;
    let guard = take(&client(&berth), Acquire::new("a", "r").ttl(3 * SECOND)).await;
    berth.admin("lock_release", json!({"tenant": "acme", "resource": "r"})).await.ok();
    berth.ask("lock", json!({"requester": "b", "resource": "r"})).await.ok();
    within("the loss", guard.lost()).await;
    assert_eq!(guard.release().await.unwrap(), Released::NotOwned);
    assert_eq!(berth.ask("check", json!({"resource": "r"})).await.ok()["holder"], "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_is_cut_off_loses_its_lock_by_its_own_clock_and_for_good() {
    let berth = Berth::start().await;
    let mut nats = Tap::before(&berth.nats_url).await;
    let guard = take(&client_on(&berth, &nats.url).await, Acquire::new("a", "r").ttl(6 * SECOND)).await;
    assert!(!guard.is_lost());
    nats.set(Way::Out, format!("{}.v1.acme.renew", berth.root));
    let held = nats.caught().await;
    within("the loss", guard.lost()).await;
    // Server and test share one clock, and the margin is 600 ms.
    #[allow(clippy::disallowed_methods)] // tests live in the machine's time
    let now = chrono::Utc::now();
    assert!(now < guard.expires_at().unwrap(), "before anybody else can have it");
    assert!(guard.is_lost());
    assert_eq!(guard.remaining(), Some(Duration::ZERO));
    held.release();
    // Behind the renewal that comes now at last, on the same connection.
    assert_ne!(guard.release().await.unwrap(), Released::NotOwned);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_a_renewal_that_was_lost_is_asked_for_again_before_the_lock_is_lost() {
    let berth = Berth::start().await;
    let mut events = berth.events().await;
    let mut nats = Tap::before(&berth.nats_url).await;
    let guard = take(&client_on(&berth, &nats.url).await, Acquire::new("a", "r").ttl(6 * SECOND)).await;
    nats.set(Way::In, "RENEWED");
    nats.caught().await.cut();
    // The one that was carried out unheard, and those behind it.
    assert_eq!(events.kinds(4).await, ["active", "extended", "extended", "extended"]);
    assert!(!guard.is_lost());
    assert_eq!(guard.release().await.unwrap(), Released::Relinquished);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_the_loss_of_a_guard_is_told_when_it_is_dropped() {
    let berth = Berth::start().await;
    let guard = take(&client(&berth), Acquire::new("a", "r")).await;
    let lost = guard.lost();
    drop(guard);
    within("the end of the guard", lost).await;
}
