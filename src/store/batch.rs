//! One batch: one transaction on one connection.
//!
//! | round trip | what |
//! |---|---|
//! | 1 | begin |
//! | 2 | lock the lanes, in ascending order, in a statement of its own |
//! | 3 | insert the batch's id and read the clock |
//! | 4 … | load: receipts, holds by id, live locks by name, due holds; journals or pools where the cache is stale |
//! | then | write: holds, journal, receipts, pools, lanes: a statement a table, none where there is nothing |
//! | last | commit |

use std::collections::BTreeMap;

use uuid::Uuid;

use super::error::StoreError;
use super::lane::CachedLane;
use crate::domain::hold::Hold;
use crate::domain::id::{HoldId, Lane, LaneSet, ReceiptId, Tenant};
use crate::domain::resource::LockName;
use crate::domain::state::Changes;
use crate::domain::window::Instant;

/// The id of a batch, drawn by the worker: inserted first in the transaction, so that a later insert of the same id
/// tells whether the transaction was committed.
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
    /// Locked, caught up, `head.now` set, claims lapsed and the past folded.
    pub lanes: BTreeMap<Lane, CachedLane>,
    pub holds: Vec<Hold>,
    pub receipts: BTreeMap<ReceiptId, Receipt>,
    pub due: Vec<DuePage>,
}

/// The holds of one lane that are due, in order.
#[derive(Clone, Debug)]
pub struct DuePage {
    pub lane: Lane,
    /// Not more than was asked for; each is in `Loaded::holds` too.
    pub due: Vec<DueMark>,
    /// There may be more behind the last one.
    pub is_full: bool,
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
    /// Postgres refused the data of a statement. Rolled back: divide the batch.
    #[error("Postgres refused what the batch writes")]
    Refused(#[source] StoreError),
    /// Nothing was committed (the failure came before the commit was sent), and the session is of no more use.
    #[error("the batch was lost before its commit")]
    Lost(#[source] StoreError),
    /// The commit was sent and its answer did not come: [`settle`] finds out.
    #[error("whether the batch was committed is not known")]
    Unknown(#[source] StoreError),
}

/// One connection to Postgres that carries out one batch at a time. After any error but `ReceiptTaken` and `Refused`
/// it is of no more use.
///
/// None of its futures may be dropped before it is done: statements are bounded by Postgres's own timeouts.
#[derive(Debug)]
pub struct Session {}

impl Session {
    pub async fn connect(database: &super::start::Database) -> Result<Session, StoreError> {
        let _ = database;
        todo!()
    }

    /// Begins the transaction, locks the lanes, and loads what the batch needs. `cached`: what the worker knows of
    /// these lanes; what is missing or out of date is read.
    pub async fn open(
        &mut self,
        batch: BatchId,
        wants: &Wants,
        cached: BTreeMap<Lane, CachedLane>,
    ) -> Result<Loaded, StoreError> {
        let _ = (batch, wants, cached);
        todo!()
    }

    /// Writes and commits. On success the lanes' rows name this batch, and `pools_version` is one more for each lane
    /// in which `changes.pools` has one.
    pub async fn commit(&mut self, batch: BatchId, writes: &Writes<'_>) -> Result<(), CommitError> {
        let _ = (batch, writes);
        todo!()
    }

    pub async fn rollback(&mut self) -> Result<(), StoreError> {
        todo!()
    }
}

/// Was the batch committed? Waits for its transaction where that is still under way; after `false` it can't be
/// committed any more.
pub async fn settle(database: &super::start::Database, batch: BatchId) -> Result<bool, StoreError> {
    let _ = (database, batch);
    todo!()
}
