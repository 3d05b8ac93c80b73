//! A lock that is held.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::message::{LockReply, UnlockStatus};
use super::parting::Name;
use super::renewal::{Renewable, Renewal};
use super::tenure::{Tenure, Term};
use super::{LockClient, LockError};

/// How a release came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// The lock was held until now.
    Relinquished,
    /// It was held by nobody any more: its time to live had run out, or the operator had released it.
    NotReserved,
    /// It was somebody else's already, or the same requester's of a later time.
    NotOwned,
}

/// A lock that is held, and renewed in the background where it has a time to live.
///
/// Held as far as this process can know: before each step that relies on it look at [`is_lost`](LockGuard::is_lost), or
/// stop the work on [`lost`](LockGuard::lost); and pass [`fencing_token`](LockGuard::fencing_token) along with every
/// write, because a process may be stopped between the look and the write.
///
/// Dropping it stops the renewal and releases the lock in the background at best effort: the release is lost where
/// the process or the runtime ends first, and then the time to live ends the lock. To know how it came out use
/// [`release`](LockGuard::release).
#[derive(Debug)]
#[must_use = "a guard that is dropped gives its lock back"]
pub struct LockGuard {
    client: LockClient,
    name: Name,
    /// `None` once it has been used.
    release_token: Option<String>,
    fencing_token: i64,
    lock_id: String,
    was_held_before: bool,
    tenure: Tenure,
    renewal: Option<Renewal>,
}

/// What a claim was granted with.
#[derive(Debug)]
pub struct Granted {
    pub name: Name,
    pub release_token: String,
    pub fencing_token: i64,
    pub lock_id: String,
    pub was_held_before: bool,
    /// Whole seconds.
    pub ttl: Option<Duration>,
    pub expires_at: Option<DateTime<Utc>>,
    /// Before the request was sent that gave this time to live.
    pub sent_at: Instant,
}

impl Granted {
    /// `None`: the answer lacks what a grant has.
    pub fn of(name: Name, reply: LockReply, ttl: Option<Duration>, sent_at: Instant) -> Option<Granted> {
        Some(Granted {
            name,
            release_token: reply.release_token?,
            fencing_token: reply.fencing_token?,
            lock_id: reply.lock_id?,
            was_held_before: false,
            ttl,
            expires_at: reply.expires_at,
            sent_at,
        })
    }

    pub fn renewable(&self, client: &LockClient, ttl: Duration) -> Renewable {
        let (resource, release_token) = (self.name.resource.clone(), self.release_token.clone());
        Renewable { asker: client.asker.clone(), resource, release_token, ttl }
    }
}

impl LockGuard {
    pub(super) fn new(client: LockClient, granted: Granted) -> LockGuard {
        let tenure = Tenure::new(Term::new(granted.sent_at, granted.ttl, granted.expires_at));
        let renewal = granted.ttl.map(|ttl| {
            let renewable = granted.renewable(&client, ttl);
            Renewal::start(&client.runtime, renewable, tenure.clone(), granted.sent_at)
        });
        LockGuard {
            client,
            name: granted.name,
            release_token: Some(granted.release_token),
            fencing_token: granted.fencing_token,
            lock_id: granted.lock_id,
            was_held_before: granted.was_held_before,
            tenure,
            renewal,
        }
    }

    /// Who holds the lock.
    pub fn requester(&self) -> &str {
        &self.name.requester
    }

    /// The lock's name.
    pub fn resource(&self) -> &str {
        &self.name.resource
    }

    /// Higher than that of every earlier grant of this resource, and the same over all renewals. Pass it along with
    /// every write, and let the store refuse one that is lower than the highest that it has seen.
    pub fn fencing_token(&self) -> i64 {
        self.fencing_token
    }

    /// The id of this claim, from the first request to its end: the `subject` of its events.
    pub fn lock_id(&self) -> &str {
        &self.lock_id
    }

    /// Whether the requester held the lock already when it was asked for: by an earlier guard that was not released,
    /// by an earlier run of the program, or by somebody else under the same name.
    pub fn was_held_before(&self) -> bool {
        self.was_held_before
    }

    /// When the lock runs out by the server's clock, as last told; `None` without a time to live. For people: whether
    /// it is held is told by [`is_lost`](LockGuard::is_lost), by this process's monotonic clock.
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.tenure.expires_at()
    }

    /// Whether the lock must be taken as lost: the time to live, less a margin of a tenth of it (at least 200 ms), has
    /// passed since before the last request was sent that was acknowledged, or the server has said that it is gone.
    /// Asks nobody. Once lost, always lost. A lock without a time to live is not lost by time, and nothing is asked
    /// about it: [`LockClient::verify`] does.
    pub fn is_lost(&self) -> bool {
        self.tenure.is_lost()
    }

    /// How long the lock may be taken as held if it is not renewed; zero where it is lost, `None` without a time to
    /// live.
    pub fn remaining(&self) -> Option<Duration> {
        self.tenure.remaining()
    }

    /// Completes when the lock is lost, or when the guard has been released or dropped. It does not borrow the guard.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + use<> {
        self.tenure.lost()
    }

    /// Gives the lock back, and tells how it came out. Dropping the future has the lock given back in the background.
    ///
    /// # Errors
    /// [`LockError::NoAnswer`], [`LockError::Refused`]: it is tried once more in the background; otherwise the time to
    /// live ends the lock.
    pub async fn release(mut self) -> Result<Released, LockError> {
        self.renewal = None;
        // Stays in place until there is an answer: until then dropping gives the lock back.
        let Some(release_token) = self.release_token.clone() else { return Ok(Released::NotReserved) };
        let status = self.client.unlock(&self.name, &release_token).await?;
        self.release_token = None;
        Ok(match status {
            UnlockStatus::Relinquished => Released::Relinquished,
            UnlockStatus::NotReserved => Released::NotReserved,
            UnlockStatus::DoesntOwnReservation => Released::NotOwned,
        })
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if let Some(release_token) = self.release_token.take() {
            self.client.part(self.name.clone(), Some(release_token), None);
        }
    }
}
