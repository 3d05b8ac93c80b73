//! What is dropped is given back.

use std::time::Duration;

use async_nats::{ConnectOptions, Event};
use berth::client::{Acquire, LockClient, Released};
use tokio::sync::mpsc;

use crate::harness::{Berth, within};
use crate::support::{client, client_on, options, take};
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
async fn a_lock_that_is_dropped_and_taken_again_is_a_new_claim_however_long_the_giving_back_takes() {
    let berth = Berth::start().await;
    let mut nats = Tap::before(&berth.nats_url).await;
    let (connected, mut connections) = mpsc::unbounded_channel();
    let connection = ConnectOptions::new().event_callback(move |event| {
        let connected = connected.clone();
        async move {
            if event == Event::Connected {
                let _ = connected.send(()); // the test may be over
            }
        }
    });
    let connection = connection.connect(&nats.url).await.unwrap();
    let locks = LockClient::with_options(connection, "acme", options(&berth)).unwrap();
    let guard = take(&locks, Acquire::new("a", "r").ttl(MINUTE)).await;
    let fence = guard.fencing_token();
    nats.set(Way::Out, format!("{}.v1.acme.unlock", berth.root));
    drop(guard);
    // It never arrives and has to be sent again; what is asked for meanwhile would get ahead of it.
    nats.caught().await.cut();
    for _ in 0..2 {
        within("the connection, and the next one", connections.recv()).await.unwrap();
    }
    let guard = take(&locks, Acquire::new("a", "r").ttl(MINUTE)).await;
    assert!(!guard.was_held_before());
    assert!(guard.fencing_token() > fence);
    assert_eq!(guard.release().await.unwrap(), Released::Relinquished);
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
