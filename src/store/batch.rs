//! One batch: what it asks of Postgres, and what it writes.
//!
//! Where the worker knows the lanes as they are (nobody else has moved them since its last batch), two statements at
//! most, each a transaction of its own:
//!
//! | round trip | what |
//! |---|---|
//! | 1 | load holds: by id, the claims on locks by name, and what is due |
//! | where locks are due | load what hangs together with them |
//! | last | lock the lanes; if they are as they were known, write changed and new holds, events, receipts, and the lanes |
//!
//! If they are not, nothing is written, and the batch is decided again under locks, as is every batch that asks or
//! writes more:
//!
//! | round trip | what |
//! |---|---|
//! | 1 | begin |
//! | 2 | lock the lanes, in ascending order, in a statement that reads nothing else; read the clock |
//! | 3 | load receipts |
//! | where it has changed | load what is registered in the lanes |
//! | 4 | load holds, as above |
//! | 5 … | where the cache is out of date: the journal since then, or pools and what counts against them |
//! | then, for a pool that can't be put as it is | what is booked where it does not fit |
//! | then | where tenants with limits are concerned: lock their rows; read what they have where the cache is out of date |
//! | then | write: tenants, pools, resources: a statement a table |
//! | then | the last statement of above |
//! | last | commit |
//!
//! No round trip is made where there is nothing to ask or to write.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::booked::Booked;
use super::error::StoreError;
use super::lane::CachedLane;
use crate::domain::command::PoolPut;
use crate::domain::hold::Hold;
use crate::domain::id::{HoldId, Lane, LaneSet, ReceiptId, Tenant};
use crate::domain::resource::LockName;
use crate::domain::state::Changes;
use crate::domain::window::Instant;

/// The id of a batch, drawn by the worker: inserted before anything else is written, so that a later insert of the same
/// id tells whether the transaction was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchId(pub Uuid);

/// What a batch needs to be decided.
#[derive(Debug, Default)]
pub struct Wants {
    pub lanes: LaneSet,
    pub holds: Vec<HoldId>,
    pub locks: Vec<LockName>,
    pub receipts: Vec<ReceiptId>,
    /// Lanes whose due holds are to be carried out in this batch.
    pub due: Vec<DueWant>,
    /// Pools that are to be put: where one can't be, what is booked is loaded too. No other command of the pool may be
    /// in the batch.
    pub puts: Vec<PoolPut>,
}

/// Up to `limit` holds of a lane that are due after the mark, in order.
#[derive(Clone, Copy, Debug)]
pub struct DueWant {
    pub lane: Lane,
    pub after: Option<DueMark>,
    pub limit: u32,
}

/// A place in a lane's order of due holds: by instant, ends before starts, then id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DueMark {
    pub due_at: Instant,
    pub is_start: bool,
    pub id: HoldId,
}

#[derive(Debug)]
pub struct Loaded {
    /// Caught up, `head.now` set.
    pub lanes: BTreeMap<Lane, CachedLane>,
    pub holds: Vec<Hold>,
    pub receipts: BTreeMap<ReceiptId, Receipt>,
    pub due: Vec<DuePage>,
    /// The last batch that changed what is known of tenants; the same in every lane.
    pub tenants_batch: Option<Uuid>,
    pub booked: Vec<Booked>,
}

/// What an open batch is decided upon: it is written only if that is so still.
#[derive(Debug)]
pub(super) struct Ground {
    /// The last batch of each lane.
    pub lanes: BTreeMap<Lane, Option<Uuid>>,
    pub tenants_batch: Option<Uuid>,
    /// The time of the batch where no lane is locked and no transaction begun.
    pub reckoned_at: Option<Instant>,
}

impl Ground {
    pub fn of(loaded: &Loaded, reckoned_at: Option<Instant>) -> Ground {
        let lanes = loaded.lanes.iter().map(|(lane, cached)| (*lane, cached.last_batch)).collect();
        Ground { lanes, tenants_batch: loaded.tenants_batch, reckoned_at }
    }

    pub fn is_locked(&self) -> bool {
        self.reckoned_at.is_none()
    }
}

/// The holds of one lane that are due, in order.
#[derive(Clone, Debug)]
pub struct DuePage {
    pub lane: Lane,
    /// Not more than was asked for; each is in `Loaded::holds` too.
    pub due: Vec<DueMark>,
    /// There may be more behind the last one.
    pub is_full: bool,
    /// The instant up to which it was looked for.
    pub until: Instant,
}

impl DuePage {
    /// Up to where the lane has been searched once the page is carried out.
    pub fn searched_to(&self) -> Option<DueMark> {
        match self.is_full {
            true => self.due.last().copied(),
            // No id is greater: it lies behind all holds that are due at its instant.
            false => Some(DueMark { due_at: self.until, is_start: true, id: HoldId::from_uuid(Uuid::max()) }),
        }
    }
}

/// A stored reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub id: ReceiptId,
    pub tenant: Option<Tenant>,
    pub verb: String,
    /// The canonical form of the request.
    pub request: Vec<u8>,
    pub body: Vec<u8>,
    pub error: Option<(u16, String)>,
    /// Where the body stands in an event of the same batch, so that it is not stored again; `None` in what is read.
    pub told: Option<Told>,
}

/// The part of an event's payload that is a reply's body but for its last brace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub hold: HoldId,
    pub version: u32,
    pub seq: i64,
    /// Bytes, from 0.
    pub from: u32,
    pub length: u32,
}

/// What a batch writes: the decided changes, an encoded event for each of `changes.events` in the same order, and
/// the receipts.
#[derive(Debug)]
pub struct Writes<'a> {
    pub changes: &'a Changes,
    pub payloads: &'a [Vec<u8>],
    pub receipts: &'a [Receipt],
}

/// How a commit can fail.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Another batch has just stored one of these receipts. Rolled back: decide again.
    #[error("a receipt of this batch was stored by another batch")]
    ReceiptTaken,
    /// The lanes have been moved since they were known, or more is written than holds and their events. Nothing was
    /// written: decide again under locks.
    #[error("the batch has to be decided under locks")]
    NeedsLocks,
    /// Postgres refused the data of a statement. Rolled back: divide the batch.
    #[error("Postgres refused what the batch writes")]
    Refused(#[source] StoreError),
    /// Nothing was committed (the failure came before the commit was sent), and the session is of no more use.
    #[error("the batch was lost before its commit")]
    Lost(#[source] StoreError),
    /// The commit was sent and its answer did not come: [`settle`](super::settle) finds out.
    #[error("whether the batch was committed is not known")]
    Unknown(#[source] StoreError),
}
