//! One batch: one transaction on one connection.
//!
//! | round trip | what |
//! |---|---|
//! | 1 | begin |
//! | 2 | lock the lanes, in ascending order, in a statement that reads nothing else; insert the batch's id; read the clock |
//! | 3 | load receipts |
//! | where it has changed | load what is registered in the lanes |
//! | 4 | load holds: by id, the claims on locks by name, and what is due |
//! | where locks are due | load what hangs together with them |
//! | 5 … | where the cache is out of date: the journal since then, or pools and what counts against them |
//! | then, for a pool that can't be put as it is | what is booked where it does not fit |
//! | then | where tenants with limits are concerned: lock their rows; read what they have where the cache is out of date |
//! | then | write: tenants, changed holds, pools, resources: a statement a table |
//! | then | write new holds, events, receipts, and the lanes, in one statement |
//! | last | commit |
//!
//! No round trip is made where there is nothing to ask or to write.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;

use super::booked::{self, Booked};
use super::error::StoreError;
use super::lane::CachedLane;
use super::start::Database;
use super::tenant::{self, LockedTenant, Marked};
use super::{catch_up, commit, load, registry, sql};
use crate::domain::command::PoolPut;
use crate::domain::hold::Hold;
use crate::domain::id::{HoldId, Lane, LaneSet, ReceiptId, Tenant};
use crate::domain::quota::TenantUse;
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
    /// Locked, caught up, `head.now` set.
    pub lanes: BTreeMap<Lane, CachedLane>,
    pub holds: Vec<Hold>,
    pub receipts: BTreeMap<ReceiptId, Receipt>,
    pub due: Vec<DuePage>,
    /// The last batch that changed what is known of tenants; the same in every lane.
    pub tenants_batch: Option<Uuid>,
    pub booked: Vec<Booked>,
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
/// None of its futures may be dropped before it is done, but with its connection: statements are bounded by Postgres's
/// own timeouts, and where Postgres does not even take new connections any more, the session is given up.
#[derive(Debug)]
pub struct Session {
    database: Database,
    connection: PgConnection,
}

impl Session {
    pub async fn connect(database: &Database) -> Result<Session, StoreError> {
        let connecting = PgConnection::connect_with(database.options());
        let connection = database.while_reachable(connecting).await.ok_or_else(silent)?;
        let connection = connection.map_err(StoreError::of("connect to Postgres"))?;
        Ok(Session { database: database.clone(), connection })
    }

    /// Begins the transaction, locks the lanes, and loads what the batch needs. `cached`: what the worker knows of
    /// these lanes; what is missing or out of date is read.
    pub async fn open(
        &mut self,
        batch: BatchId,
        wants: &Wants,
        cached: BTreeMap<Lane, CachedLane>,
    ) -> Result<Loaded, StoreError> {
        let Session { database, connection } = self;
        let loading = begin_and_load(connection, batch, wants, cached);
        let loaded = database.while_reachable(loading).await.ok_or_else(silent)?;
        if loaded.is_err() {
            // The error that counts is the first; this one only frees the lanes at once.
            let _ = self.rollback().await;
        }
        loaded
    }

    /// The tenants that have a limit. As the two below: within a batch that has its lanes.
    pub async fn limited_tenants(&mut self) -> Result<BTreeSet<Tenant>, StoreError> {
        let Session { database, connection } = self;
        let limited = database.while_reachable(tenant::limited(connection)).await.ok_or_else(silent)?;
        self.or_rolled_back(limited).await
    }

    /// Locks the rows of those of these tenants that have one, in ascending order.
    pub async fn lock_tenants(
        &mut self,
        tenants: &BTreeSet<Tenant>,
    ) -> Result<BTreeMap<Tenant, LockedTenant>, StoreError> {
        let Session { database, connection } = self;
        let locked = database.while_reachable(tenant::lock(connection, tenants)).await.ok_or_else(silent)?;
        self.or_rolled_back(locked).await
    }

    /// What each of these tenants has; their rows are locked, or all lanes are.
    pub async fn tenants_use(
        &mut self,
        tenants: &[Tenant],
        marked: Marked,
    ) -> Result<BTreeMap<Tenant, TenantUse>, StoreError> {
        if tenants.is_empty() {
            return Ok(BTreeMap::new());
        }
        let Session { database, connection } = self;
        let used = database.while_reachable(tenant::used(connection, tenants, marked)).await.ok_or_else(silent)?;
        self.or_rolled_back(used).await
    }

    async fn or_rolled_back<T>(&mut self, read: Result<T, StoreError>) -> Result<T, StoreError> {
        if read.is_err() {
            let _ = self.rollback().await; // as in `open`
        }
        read
    }

    /// Writes and commits. On success the lanes' rows name this batch, and `pools_version` is one more for each lane
    /// in which `changes.pools` has one.
    pub async fn commit(&mut self, batch: BatchId, writes: &Writes<'_>) -> Result<(), CommitError> {
        let Session { database, connection } = self;
        let written = database.while_reachable(write(connection, batch, writes)).await;
        if let Err(error) = written.ok_or_else(|| CommitError::Lost(silent()))? {
            return Err(match (self.rollback().await, commit::meaning(error)) {
                (Err(_), CommitError::Refused(error)) => CommitError::Lost(error),
                (Err(error), CommitError::ReceiptTaken) => CommitError::Lost(error),
                (_, meaning) => meaning,
            });
        }
        let Session { database, connection } = self;
        let committed = database.while_reachable(connection.execute(COMMIT)).await;
        let committed = committed.ok_or_else(|| CommitError::Unknown(silent()))?;
        committed.map(drop).map_err(StoreError::of("commit a batch")).map_err(CommitError::Unknown)
    }

    pub async fn rollback(&mut self) -> Result<(), StoreError> {
        let Session { database, connection } = self;
        let rolled_back = database.while_reachable(connection.execute(ROLLBACK)).await.ok_or_else(silent)?;
        rolled_back.map(drop).map_err(StoreError::of("roll a batch back"))
    }
}

async fn begin_and_load(
    connection: &mut PgConnection,
    batch: BatchId,
    wants: &Wants,
    mut cached: BTreeMap<Lane, CachedLane>,
) -> Result<Loaded, StoreError> {
    connection.execute(BEGIN).await.map_err(StoreError::of("begin a batch"))?;
    let locked = load::lock_lanes(connection, batch, wants.lanes).await?;
    let receipts = load::receipts(connection, &wants.receipts).await?;
    let registries = registry::of_lanes(connection, &locked, &mut cached).await?;
    let (holds, due) = load::holds(connection, wants, &locked, &registries).await?;
    let mut lanes = catch_up::catch_up(connection, &locked, cached).await?;
    for (lane, registry) in registries {
        if let Some(cached) = lanes.get_mut(&lane) {
            cached.state.registry = registry;
        }
    }
    let booked = booked::load(connection, &wants.puts, &mut lanes).await?;
    let tenants_batch = locked.first().and_then(|row| row.tenants_batch);
    Ok(Loaded { lanes, holds, receipts, due, tenants_batch, booked })
}

async fn write(connection: &mut PgConnection, batch: BatchId, writes: &Writes<'_>) -> Result<(), StoreError> {
    tenant::write(connection, batch, writes.changes).await?;
    commit::write(connection, batch, writes).await?;
    tenant::mark(connection, writes.changes).await
}

/// Postgres neither answers nor takes new connections.
fn silent() -> StoreError {
    StoreError { attempt: "hear from Postgres", source: std::io::Error::from(std::io::ErrorKind::TimedOut).into() }
}

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";

/// Was the batch committed? Waits for its transaction where that is still under way; after `false` it can't be
/// committed any more.
///
/// The same batch may be asked about again, also where the answer to an earlier question was lost: a row that was
/// inserted by asking says so.
pub async fn settle(database: &Database, batch: BatchId) -> Result<bool, StoreError> {
    database.while_reachable(settle_patiently(database, batch)).await.ok_or_else(silent)?
}

async fn settle_patiently(database: &Database, batch: BatchId) -> Result<bool, StoreError> {
    let connection = PgConnection::connect_with(&database.patient_options()).await;
    let mut connection = connection.map_err(StoreError::of("connect to Postgres"))?;
    let voided = sqlx::query(sql::VOID_BATCH.clone()).bind(batch.0).execute(&mut connection).await;
    voided.map_err(StoreError::of("forbid a batch that was not committed"))?;
    let row = sqlx::query_scalar(sql::READ_BATCH.clone()).bind(batch.0).fetch_one(&mut connection).await;
    let is_committed = row.map_err(StoreError::of("read whether a batch was committed"))?;
    // The answer is known; that the connection ends in order is a courtesy to the server's log.
    let _ = connection.close().await;
    Ok(is_committed)
}
