//! Waiting for a lock: first come, first served, and nothing is left behind by who no longer waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use berth::client::{Acquire, Acquisition, LockClient, LockError, LockGuard, Released};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::task::{JoinHandle, JoinSet};

use crate::harness::{Berth, Events, within};
use crate::support::{client, client_on, take};
use crate::tap::{Tap, Way};

const MINUTE: Duration = Duration::from_secs(60);

/// A lock held by `a`, without a time to live: its answer.
async fn hold(berth: &Berth) -> Value {
    berth.ask("lock", json!({"requester": "a", "resource": "r"})).await.ok()
}

async fn release(berth: &Berth, held: &Value) {
    let body = json!({"requester": "a", "resource": "r", "release_token": held["release_token"]});
    assert_eq!(berth.ask("unlock", body).await.ok()["status"], "RELINQUISHED");
}

fn wanted(requester: &str) -> Acquire {
    Acquire::new(requester, "r").ttl(MINUTE).wait(MINUTE)
}

/// One who waits; returns when it stands in the queue.
async fn wait(locks: &LockClient, wanted: Acquire, events: &mut Events) -> JoinHandle<LockGuard> {
    let locks = locks.clone();
    let waiting = tokio::spawn(async move { take(&locks, wanted).await });
    while events.next().await.kind() != "queued" {}
    waiting
}

async fn next_kind(events: &mut Events, kind: &str) -> Value {
    loop {
        let event = events.next().await;
        if event.kind() == kind {
            return event.body;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_gets_the_lock_when_it_is_released_as_a_claim_of_its_own() {
    let berth = Berth::start().await;
    let (mut events, held) = (berth.events().await, hold(&berth).await);
    let waiting = wait(&client(&berth), wanted("b"), &mut events).await;
    release(&berth, &held).await;
    let guard = within("the grant", waiting).await.unwrap();
    assert!(!guard.was_held_before() && !guard.is_lost());
    assert!(guard.fencing_token() > held["fencing_token"].as_i64().unwrap());
    assert_eq!(next_kind(&mut events, "active").await["subject"], guard.lock_id());
    assert_eq!(guard.release().await.unwrap(), Released::Relinquished);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_get_the_lock_in_the_order_in_which_they_came() {
    let berth = Berth::start().await;
    let (mut events, held) = (berth.events().await, hold(&berth).await);
    let locks = client(&berth);
    let mut waiting = Vec::new();
    for number in 0..5 {
        waiting.push(wait(&locks, wanted(&format!("b{number}")), &mut events).await);
    }
    release(&berth, &held).await;
    let mut fence = 0;
    for next in waiting {
        // The one before it gives the lock back here: nobody else has it meanwhile.
        let guard = within("the grant", next).await.unwrap();
        assert!(guard.fencing_token() > fence);
        fence = guard.fencing_token();
        assert_eq!(guard.release().await.unwrap(), Released::Relinquished);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_whose_event_was_lost_is_found_out_by_asking_again() {
    let berth = Berth::start().await;
    let (mut events, held) = (berth.events().await, hold(&berth).await);
    let mut nats = Tap::before(&berth.nats_url).await;
    let waiting = wait(&client_on(&berth, &nats.url).await, wanted("b"), &mut events).await;
    nats.set(Way::In, "berth.lock.active.v1");
    release(&berth, &held).await;
    nats.caught().await.cut();
    let guard = within("the grant", waiting).await.unwrap();
    assert!(!guard.was_held_before());
    assert_eq!(guard.release().await.unwrap(), Released::Relinquished);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_kept_over_the_end_of_the_worker() {
    let mut berth = Berth::start().await;
    let (mut events, held) = (berth.events().await, hold(&berth).await);
    let waiting = wait(&client(&berth), wanted("b"), &mut events).await;
    berth.workers.pop().unwrap().stop().await;
    berth.add_worker().await;
    release(&berth, &held).await;
    assert_eq!(within("the grant", waiting).await.unwrap().release().await.unwrap(), Released::Relinquished);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_over_is_told_with_the_place_and_leaves_the_queue() {
    let berth = Berth::start().await;
    let (mut events, held) = (berth.events().await, hold(&berth).await);
    let locks = client(&berth);
    let _first = wait(&locks, wanted("b"), &mut events).await;
    let second = locks.acquire(wanted("c").wait(Duration::from_millis(1200))).await.unwrap();
    assert!(matches!(second, Acquisition::WaitOver { position: 2 }), "{second:?}");
    assert_eq!(next_kind(&mut events, "canceled").await["data"]["requester"], "c");
    assert_eq!(berth.ask("check", json!({"resource": "r"})).await.ok()["fencing_token"], held["fencing_token"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_dropped_while_waiting_leaves_the_queue() {
    let berth = Berth::start().await;
    let (mut events, _held) = (berth.events().await, hold(&berth).await);
    let waiting = wait(&client(&berth), wanted("b"), &mut events).await;
    waiting.abort();
    assert_eq!(next_kind(&mut events, "canceled").await["data"]["requester"], "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_dropped_when_the_lock_was_granted_and_before_it_is_told_gives_it_back() {
    let berth = Berth::start().await;
    let (mut events, held) = (berth.events().await, hold(&berth).await);
    let mut nats = Tap::before(&berth.nats_url).await;
    let waiting = wait(&client_on(&berth, &nats.url).await, wanted("b"), &mut events).await;
    nats.set(Way::In, "berth.lock.active.v1");
    release(&berth, &held).await;
    let grant = nats.caught().await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    grant.cut();
    while next_kind(&mut events, "ended").await["data"]["requester"] != "b" {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_heard_of_long_before_it_is_asked_for_again_under_a_registered_label_too() {
    let berth = Berth::start().await;
    berth.ask("register", json!({"name": "r", "resource_type": "Printer"})).await.ok();
    let (mut events, held) = (berth.events().await, hold(&berth).await);
    let mut asked = berth.nats.subscribe(format!("{}.v1.acme.lock", berth.root)).await.unwrap();
    let waiting = wait(&client(&berth), wanted("b"), &mut events).await;
    for _ in 0..4 {
        within("a look", asked.next()).await.unwrap(); // at once, and after 1, 2 and 4 seconds; the next after 8
    }
    let released_at = Instant::now();
    release(&berth, &held).await;
    assert!(!within("the grant", waiting).await.unwrap().was_held_before());
    assert!(released_at.elapsed() < Duration::from_secs(6), "{:?}", released_at.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_wait_and_some_who_give_up_one_at_a_time_has_the_lock() {
    let berth = Berth::start().await;
    let locks = client(&berth);
    let inside = Arc::new(AtomicI64::new(0));
    let highest = Arc::new(AtomicI64::new(0));
    let mut all = JoinSet::new();
    for number in 0..60 {
        let (locks, inside, highest) = (locks.clone(), inside.clone(), highest.clone());
        all.spawn(async move {
            let acquiring = take(&locks, wanted(&format!("b{number}")));
            // Each third one gives up after a time in which some, and not all, have had the lock.
            let patience = if number % 3 == 0 { Duration::from_millis(10 * number) } else { MINUTE };
            let Ok(guard) = tokio::time::timeout(patience, acquiring).await else { return 0 };
            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "alone");
            assert!(highest.swap(guard.fencing_token(), Ordering::SeqCst) < guard.fencing_token());
            tokio::task::yield_now().await;
            assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1, "still alone");
            if number % 2 == 0 {
                drop(guard);
            } else {
                assert_eq!(guard.release().await.unwrap(), Released::Relinquished);
            }
            1
        });
    }
    let had: Vec<i32> = within("all", all.join_all()).await;
    assert!(had.iter().sum::<i32>() >= 40, "{had:?}");
    // Nothing is left behind by who gave up.
    assert!(!take(&locks, wanted("last")).await.was_held_before());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_lock_is_held_by_several_and_awaited_by_who_wants_it_alone() {
    let berth = Berth::start().await;
    let mut events = berth.events().await;
    let locks = client(&berth);
    let one = take(&locks, wanted("a").shared()).await;
    let two = take(&locks, wanted("b").shared()).await;
    let waiting = wait(&locks, wanted("c"), &mut events).await;
    assert_eq!(one.release().await.unwrap(), Released::Relinquished);
    assert!(!waiting.is_finished());
    let fence = two.fencing_token();
    assert_eq!(two.release().await.unwrap(), Released::Relinquished);
    assert!(within("the grant", waiting).await.unwrap().fencing_token() > fence);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocker_of_a_lock_that_is_held_cannot_be_held_for_itself() {
    let berth = Berth::start().await;
    berth.ask("register", json!({"name": "r", "blocks": ["s"]})).await.ok();
    let locks = client(&berth);
    let guard = take(&locks, Acquire::new("a", "r").ttl(MINUTE)).await;
    let blocker = locks.acquire(Acquire::new("a", "s").ttl(MINUTE).wait(MINUTE)).await;
    assert!(matches!(blocker, Err(LockError::NotRenewable)), "{blocker:?}");
    assert_eq!(guard.release().await.unwrap(), Released::Relinquished);
}
