//! What the tests of the lock client share.

use std::time::Duration;

use berth::client::{Acquire, Acquisition, LockClient, LockGuard, LockOptions};

use crate::harness::{Berth, within};

/// For tests that lose an answer: time enough for one attempt on a busy machine, and little to wait for the next.
pub const ATTEMPT: Duration = Duration::from_millis(1500);

pub fn options(berth: &Berth) -> LockOptions {
    LockOptions { subject_root: berth.root.clone(), attempt_timeout: ATTEMPT, ..LockOptions::default() }
}

/// A client of the tenant `acme`.
pub fn client(berth: &Berth) -> LockClient {
    LockClient::with_options(berth.nats.clone(), "acme", options(berth)).unwrap()
}

/// The same on a connection of its own, to this address.
pub async fn client_on(berth: &Berth, nats_url: &str) -> LockClient {
    let nats = async_nats::connect(nats_url).await.unwrap();
    LockClient::with_options(nats, "acme", options(berth)).unwrap()
}

/// Takes a lock that is free.
pub async fn take(locks: &LockClient, wanted: Acquire) -> LockGuard {
    match within("a lock", locks.acquire(wanted)).await.unwrap() {
        Acquisition::Acquired(guard) => guard,
        other => panic!("not obtained: {other:?}"),
    }
}
