//! The lock client: takes a lock of a tenant, keeps it by renewing it in the background, knows by its own clock when
//! it must be taken as lost, and gives it back.
//!
//! For applications. It talks NATS and JSON as any client does, and knows nothing of the worker's insides: what it
//! relies on stands in `docs/contract.md`. How to keep a paused holder from writing stands in `docs/locks.md`.
//!
//! ```no_run
//! use std::time::Duration;
//! use berth::client::{Acquire, Acquisition, LockClient};
//!
//! # async fn f(nats: async_nats::Client) -> Result<(), berth::client::LockError> {
//! let locks = LockClient::new(nats, "acme")?;
//! let wanted = Acquire::new("worker-1", "job-42").ttl(Duration::from_secs(30));
//! if let Acquisition::Acquired(guard) = locks.acquire(wanted).await? {
//!     // Pass guard.fencing_token() along with every write, and stop when guard.is_lost().
//!     guard.release().await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! - A guard is taken as lost before the server lets anybody else have the lock: time is counted on this process's
//!   monotonic clock from before the request left, and ends a margin before the time to live. A process that was
//!   stopped and wakes up later sees the loss at once, without asking anybody. What this cannot cover is the time
//!   between a look at the guard and the write behind it, nor a clock that stands still while the whole machine sleeps:
//!   for those the store that is written to refuses the older fencing token.
//! - A request whose answer was lost is sent again with the same idempotency key, so that it is carried out once.
//! - What an abandoned [`acquire`](LockClient::acquire) or a dropped guard leaves behind is given back in the
//!   background, at best effort. A new `acquire` of the same requester and resource by the same client (or a clone of
//!   it) waits for that, so that it is never handed a claim that is just being given back.
//! - Every wait has a limit.

mod acquire;
mod ask;
mod error;
mod guard;
mod message;
mod parting;
mod renewal;
mod tenure;

use std::time::Duration;

use tokio::runtime::Handle;

pub use error::LockError;
pub use guard::{LockGuard, Released};
pub use message::Mode;

use ask::Asker;
use message::{Verified, VerifyRequest};
use parting::Partings;

/// How a [`LockClient`] asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockOptions {
    /// The first token of all subjects, as the workers have it: `[a-z0-9][a-z0-9_-]{0,31}`, by default `berth`.
    pub subject_root: String,
    /// How long one attempt waits for its answer before the request is sent again: 2 s by default, at least 1 ms.
    pub attempt_timeout: Duration,
    /// How long a request is tried in all, over its attempts and the pauses between them: 10 s by default, at least
    /// one attempt, at most a day. It does not bound the wait for a lock, which is [`Acquire::wait`].
    pub request_timeout: Duration,
}

impl Default for LockOptions {
    fn default() -> LockOptions {
        LockOptions {
            subject_root: "berth".to_owned(),
            attempt_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(10),
        }
    }
}

/// What lock is wanted, by whom and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acquire {
    /// Who takes the lock: 1 to 255 characters. The service knows a holder by this name alone, so that each contender
    /// needs one of its own: of two that share a name, the second is told that it has the lock already.
    pub requester: String,
    /// The lock's name within the tenant: 1 to 255 characters.
    pub resource: String,
    /// How long the lock outlives the last word of its holder: 1 s to 365 days, rounded up to whole seconds. It is
    /// renewed in the background at a third of it. `None`: until it is released; a holder that dies keeps it for ever.
    pub ttl: Option<Duration>,
    /// How long to wait in the lock's queue where it is held: up to a day, rounded up to whole seconds. `None` or zero:
    /// not at all.
    pub wait: Option<Duration>,
    /// Alone, or beside other shared holders.
    pub mode: Mode,
    /// A label that stands in the subjects of events: `[A-Za-z0-9_-]{1,64}`. `None`: that with which the resource is
    /// registered, otherwise `UserDefined`. One who waits with a label hears only of grants under it, one without of
    /// all grants of the tenant.
    pub resource_type: Option<String>,
}

impl Acquire {
    /// An exclusive lock until it is released, without waiting.
    pub fn new(requester: impl Into<String>, resource: impl Into<String>) -> Acquire {
        Acquire {
            requester: requester.into(),
            resource: resource.into(),
            ttl: None,
            wait: None,
            mode: Mode::Exclusive,
            resource_type: None,
        }
    }

    /// With a time to live: see [`Acquire::ttl`](#structfield.ttl).
    pub fn ttl(mut self, ttl: Duration) -> Acquire {
        self.ttl = Some(ttl);
        self
    }

    /// Waits for so long where the lock is held: see [`Acquire::wait`](#structfield.wait).
    pub fn wait(mut self, wait: Duration) -> Acquire {
        self.wait = Some(wait);
        self
    }

    /// Beside other shared holders.
    pub fn shared(mut self) -> Acquire {
        self.mode = Mode::Shared;
        self
    }

    /// With a label for events: see [`Acquire::resource_type`](#structfield.resource_type).
    pub fn resource_type(mut self, resource_type: impl Into<String>) -> Acquire {
        self.resource_type = Some(resource_type.into());
        self
    }
}

/// How an [`acquire`](LockClient::acquire) came out. That a lock is held is an answer, not an error.
#[derive(Debug)]
#[must_use = "a guard that is dropped gives its lock back"]
pub enum Acquisition {
    /// The lock is the requester's: now, or as before ([`LockGuard::was_held_before`]).
    Acquired(LockGuard),
    /// Another requester holds it, or nobody may have it yet after it ran out.
    AlreadyHeld,
    /// A resource with several slots has none free.
    NotAvailable,
    /// The name would have to be registered, and is not.
    NotValid,
    /// It stayed held for as long as [`Acquire::wait`] said. The place in the queue has been given up.
    WaitOver {
        /// The place when it was last told, from 1.
        position: u64,
    },
}

impl Acquisition {
    /// The guard, where the lock was obtained.
    pub fn guard(self) -> Option<LockGuard> {
        match self {
            Acquisition::Acquired(guard) => Some(guard),
            _ => None,
        }
    }
}

/// Takes locks for one tenant. Cheap to clone; clones share one connection.
#[derive(Clone, Debug)]
pub struct LockClient {
    asker: Asker,
    partings: Partings,
    /// What is given back in the background runs here, from whatever thread a guard is dropped on.
    runtime: Handle,
}

impl LockClient {
    /// With the default [`LockOptions`].
    ///
    /// # Errors
    /// As [`with_options`](LockClient::with_options).
    pub fn new(nats: async_nats::Client, tenant: &str) -> Result<LockClient, LockError> {
        LockClient::with_options(nats, tenant, LockOptions::default())
    }

    /// `tenant`: `[a-z0-9][a-z0-9-]{0,62}`; the connection must be allowed to ask on `berth.v1.<tenant>.>` and, in
    /// order to hear of a grant at once, to subscribe below `berth.event.v1.<tenant>.lock.`.
    ///
    /// # Errors
    /// [`LockError::InvalidName`] where the tenant or the subject root is none; [`LockError::NoRuntime`] outside of a
    /// tokio runtime.
    pub fn with_options(nats: async_nats::Client, tenant: &str, options: LockOptions) -> Result<LockClient, LockError> {
        let runtime = Handle::try_current().map_err(LockError::NoRuntime)?;
        let asker = Asker::new(nats, tenant, options)?;
        Ok(LockClient { asker, partings: Partings::default(), runtime })
    }

    /// Takes the lock, or tells why not.
    ///
    /// Where the requester holds it already, its time to live begins anew. With [`Acquire::wait`] and a lock that is
    /// held: waits in its queue, first come, first served; the place is kept over an answer or an event that was lost.
    ///
    /// Dropping the future gives back, in the background and at best effort, what it has taken or will yet be granted,
    /// its place in the queue too.
    ///
    /// # Errors
    /// [`LockError::Refused`] with the contract's code, e.g. `invalid_request` or `quota_exceeded`;
    /// [`LockError::NoAnswer`] after [`LockOptions::request_timeout`]: the lock may have been taken, is given back at
    /// best effort, and ends with its time to live; [`LockError::TooLate`] where the answer came when the time to live
    /// had passed; [`LockError::HasTimeToLive`] and [`LockError::NotRenewable`] for what the requester had before;
    /// [`LockError::InvalidDuration`].
    pub async fn acquire(&self, wanted: Acquire) -> Result<Acquisition, LockError> {
        acquire::acquire(self, &wanted).await
    }

    /// Asks whether a fencing token is that of the present holder. Out of date as soon as it is answered: a guard in
    /// the store that is written to is not (`docs/locks.md`).
    ///
    /// # Errors
    /// [`LockError::Refused`], [`LockError::NoAnswer`], [`LockError::InvalidAnswer`].
    pub async fn verify(&self, resource: &str, fencing_token: i64) -> Result<bool, LockError> {
        let request = VerifyRequest { resource, fencing_token };
        let verified = self.asker.ask::<Verified>("verify", None, &request, self.asker.give_up()).await?;
        Ok(verified.body.current)
    }
}
