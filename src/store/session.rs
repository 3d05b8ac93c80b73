//! A connection that carries out batches, and how it is found out whether one was committed whose answer was lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sqlx::{Connection, Executor, PgConnection};

use super::batch::{BatchId, CommitError, Ground, Loaded, Wants, Writes};
use super::booked;
use super::error::StoreError;
use super::lane::CachedLane;
use super::load::LockedLane;
use super::start::Database;
use super::tenant::{self, LockedTenant, Marked};
use super::{catch_up, commit, load, registry, sql};
use crate::domain::id::{Lane, Tenant};
use crate::domain::quota::TenantUse;
use crate::domain::window::Instant;

/// How long after its last answer a connection is taken to be alive. What is sent to a dead one without a transaction
/// may have been committed, for all that its sender knows; a `BEGIN` before it finds out while nothing is at stake.
const ALIVE: Duration = Duration::from_secs(1);

/// One connection to Postgres that carries out one batch at a time. After any error but `ReceiptTaken`,
/// `NeedsLocks` and `Refused` it is of no more use.
///
/// None of its futures may be dropped before it is done, but with its connection: statements are bounded by Postgres's
/// own timeouts, and where Postgres does not even take new connections any more, the session is given up.
#[derive(Debug)]
pub struct Session {
    database: Database,
    connection: PgConnection,
    /// When it last answered.
    heard: std::time::Instant,
    /// Of the batch that is open.
    ground: Option<Ground>,
}

impl Session {
    pub async fn connect(database: &Database) -> Result<Session, StoreError> {
        let connecting = PgConnection::connect_with(database.options());
        let connection = database.while_reachable(connecting).await.ok_or_else(silent)?;
        let connection = connection.map_err(StoreError::of("connect to Postgres"))?;
        Ok(Session { database: database.clone(), connection, heard: std::time::Instant::now(), ground: None })
    }

    /// Begins the transaction, locks the lanes, and loads what the batch needs. `cached`: what the worker knows of
    /// these lanes; what is missing or out of date is read.
    pub async fn open(&mut self, wants: &Wants, cached: BTreeMap<Lane, CachedLane>) -> Result<Loaded, StoreError> {
        let Session { database, connection, .. } = self;
        let loading = begin_and_load(connection, database, wants, cached);
        match database.while_reachable(loading).await.ok_or_else(silent)? {
            Ok(loaded) => {
                self.ground = Some(Ground::of(&loaded, None));
                Ok(loaded)
            }
            Err(error) => {
                // The error that counts is the first; this one only frees the lanes at once.
                let _ = self.send_rollback().await;
                Err(error)
            }
        }
    }

    /// The server's clock, where this worker has read it lately and the session has been answered a moment ago.
    pub fn reckoned_now(&self) -> Option<Instant> {
        self.database.reckoning().now().filter(|_| self.heard.elapsed() < ALIVE)
    }

    /// Loads what the batch needs without a lock and without a transaction: its lanes are taken to be as `cached` says,
    /// which has to have all of them, and decided at this time. What comes of it counts only if they still are when it
    /// is written, and that is no more than a second later.
    pub async fn open_unlocked(
        &mut self,
        reckoned_at: Instant,
        wants: &Wants,
        cached: BTreeMap<Lane, CachedLane>,
    ) -> Result<Loaded, StoreError> {
        let Session { database, connection, .. } = self;
        let known: Vec<LockedLane> =
            cached.iter().map(|(lane, cached)| LockedLane::known(*lane, cached, reckoned_at)).collect();
        let loaded = database.while_reachable(load_all(connection, wants, &known, cached)).await;
        let loaded = loaded.ok_or_else(silent)??;
        self.ground = Some(Ground::of(&loaded, Some(reckoned_at)));
        Ok(loaded)
    }

    /// The tenants that have a limit. As the two below: within a batch that has its lanes.
    pub async fn limited_tenants(&mut self) -> Result<BTreeSet<Tenant>, StoreError> {
        let Session { database, connection, .. } = self;
        let limited = database.while_reachable(tenant::limited(connection)).await.ok_or_else(silent)?;
        self.or_rolled_back(limited).await
    }

    /// Locks the rows of those of these tenants that have one, in ascending order.
    pub async fn lock_tenants(
        &mut self,
        tenants: &BTreeSet<Tenant>,
    ) -> Result<BTreeMap<Tenant, LockedTenant>, StoreError> {
        let Session { database, connection, .. } = self;
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
        let Session { database, connection, .. } = self;
        let used = database.while_reachable(tenant::used(connection, tenants, marked)).await.ok_or_else(silent)?;
        self.or_rolled_back(used).await
    }

    async fn or_rolled_back<T>(&mut self, read: Result<T, StoreError>) -> Result<T, StoreError> {
        if read.is_err() {
            let _ = self.rollback().await; // as in `open`
        }
        read
    }

    /// Writes and commits; of a batch that was opened without locks, in one statement. On success the lanes' rows name
    /// this batch, and `pools_version` is one more for each lane in which `changes.pools` has one.
    pub async fn commit(&mut self, batch: BatchId, writes: &Writes<'_>) -> Result<(), CommitError> {
        let Some(ground) = self.ground.take() else { return Err(CommitError::Lost(not_open())) };
        if !ground.is_locked() && !writes.changes.is_of_holds() {
            return Err(CommitError::NeedsLocks);
        }
        let Session { database, connection, .. } = self;
        let written = database.while_reachable(write(connection, batch, writes, &ground)).await;
        if !ground.is_locked() {
            let written = written.unwrap_or_else(|| Err(silent())).map_err(commit::meaning_at_once)?;
            self.heard = std::time::Instant::now();
            return if written { Ok(()) } else { Err(CommitError::NeedsLocks) };
        }
        match written.ok_or_else(|| CommitError::Lost(silent()))? {
            Ok(true) => (),
            Ok(false) => return Err(CommitError::Lost(not_open())), // the locks are gone, and the transaction with them
            Err(error) => {
                return Err(match (self.send_rollback().await, commit::meaning(error)) {
                    (Err(_), CommitError::Refused(error)) => CommitError::Lost(error),
                    (Err(error), CommitError::ReceiptTaken) => CommitError::Lost(error),
                    (_, meaning) => meaning,
                });
            }
        }
        let committed = database.while_reachable(connection.execute(COMMIT)).await;
        let committed = committed.ok_or_else(|| CommitError::Unknown(silent()))?;
        committed.map_err(StoreError::of("commit a batch")).map_err(CommitError::Unknown)?;
        self.heard = std::time::Instant::now();
        Ok(())
    }

    pub async fn rollback(&mut self) -> Result<(), StoreError> {
        match self.ground.take().is_some_and(|ground| ground.is_locked()) {
            true => self.send_rollback().await,
            false => Ok(()),
        }
    }

    async fn send_rollback(&mut self) -> Result<(), StoreError> {
        let Session { database, connection, .. } = self;
        let rolled_back = database.while_reachable(connection.execute(ROLLBACK)).await.ok_or_else(silent)?;
        rolled_back.map(drop).map_err(StoreError::of("roll a batch back"))
    }
}

async fn begin_and_load(
    connection: &mut PgConnection,
    database: &Database,
    wants: &Wants,
    cached: BTreeMap<Lane, CachedLane>,
) -> Result<Loaded, StoreError> {
    connection.execute(BEGIN).await.map_err(StoreError::of("begin a batch"))?;
    let (locked, read_at) = load::lock_lanes(connection, wants.lanes).await?;
    if let Some(read_at) = read_at {
        database.reckoning().was_read(read_at);
    }
    load_all(connection, wants, &locked, cached).await
}

async fn load_all(
    connection: &mut PgConnection,
    wants: &Wants,
    locked: &[LockedLane],
    cached: BTreeMap<Lane, CachedLane>,
) -> Result<Loaded, StoreError> {
    let receipts = load::receipts(connection, &wants.receipts).await?;
    let mut lanes = catch_up::catch_up(connection, locked, cached).await?;
    registry::catch_up(connection, locked, &mut lanes).await?;
    let (holds, due) = load::holds(connection, wants, locked, &lanes).await?;
    let booked = booked::load(connection, &wants.puts, &mut lanes).await?;
    let tenants_batch = locked.first().and_then(|row| row.tenants_batch);
    Ok(Loaded { lanes, holds, receipts, due, tenants_batch, booked })
}

async fn write(
    connection: &mut PgConnection,
    batch: BatchId,
    writes: &Writes<'_>,
    ground: &Ground,
) -> Result<bool, StoreError> {
    tenant::write(connection, batch, writes.changes).await?;
    let written = commit::write(connection, batch, writes, ground).await?;
    tenant::mark(connection, writes.changes).await?;
    Ok(written)
}

/// Postgres neither answers nor takes new connections.
fn silent() -> StoreError {
    StoreError { attempt: "hear from Postgres", source: std::io::Error::from(std::io::ErrorKind::TimedOut).into() }
}

/// No batch is open, or not any more.
fn not_open() -> StoreError {
    StoreError { attempt: "find the batch open", source: sqlx::Error::RowNotFound }
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
