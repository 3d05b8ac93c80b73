//! What is dropped is given back.

use std::time::Duration;

use berth::client::{Acquire, Released};

use crate::harness::{Berth, within};
use crate::support::{client, client_on, take};
use crate::tap::{Tap, Way};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_is_dropped_gives_its_lock_back_from_any_thread() {
    let berth = Berth::start().await;
    let mut events = berth.events().await;
    let locks = client(&berth);
    drop(take(&locks, Acquire::new("a", "r").ttl(MINUTE)).await);
    assert_eq!(events.kinds(2).await, ["active", "ended"]);
    let guard = take(&locks, Acquire::new("a", "r").ttl(MINUTE)).await;
    std::thread::spawn(move || drop(guard)).join().unwrap();
    assert_eq!(events.kinds(2).await, ["active", "ended"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_dropped_and_taken_again_at_once_is_a_new_claim_every_time() {
    let berth = Berth::start().await;
    let locks = client(&berth);
    let mut fence = 0;
    for _ in 0..50 {
        drop(take(&locks, Acquire::new("a", "r").ttl(MINUTE)).await);
        let guard = take(&locks, Acquire::new("a", "r").ttl(MINUTE)).await;
        assert!(!guard.was_held_before());
        assert!(guard.fencing_token() > fence);
        fence = guard.fencing_token();
        assert_eq!(guard.release().await.unwrap(), Released::Relinquished);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_dropped_under_way_leaves_nothing_taken() {
    let berth = Berth::start().await;
    let mut events = berth.events().await;
    let mut nats = Tap::before(&berth.nats_url).await;
    let locks = client_on(&berth, &nats.url).await;
    nats.set(Way::In, "ACQUIRED");
    let taking = tokio::spawn({
        let locks = locks.clone();
        async move { locks.acquire(Acquire::new("a", "r").ttl(MINUTE)).await.map(drop) }
    });
    let held = nats.caught().await;
    taking.abort();
    assert!(taking.await.unwrap_err().is_cancelled());
    held.cut();
    // It waits for the giving back, which has to learn the token first.
    let guard = within("the next claim", take(&locks, Acquire::new("a", "r").ttl(MINUTE))).await;
    assert!(!guard.was_held_before());
    assert_eq!(guard.release().await.unwrap(), Released::Relinquished);
    assert_eq!(events.kinds(4).await, ["active", "ended", "active", "ended"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_is_dropped_under_way_is_made_all_the_same() {
    let berth = Berth::start().await;
    let mut events = berth.events().await;
    let mut nats = Tap::before(&berth.nats_url).await;
    let guard = take(&client_on(&berth, &nats.url).await, Acquire::new("a", "r").ttl(MINUTE)).await;
    nats.set(Way::Out, format!("{}.v1.acme.unlock", berth.root));
    let releasing = tokio::spawn(guard.release());
    let held = nats.caught().await;
    releasing.abort();
    assert!(releasing.await.unwrap_err().is_cancelled());
    held.cut();
    assert_eq!(events.kinds(2).await, ["active", "ended"]);
}
