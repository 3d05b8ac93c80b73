//! Connecting, migrating, and the checks without which a worker refuses to start.

use std::str::FromStr;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::{Connection, PgConnection};

use super::error::StoreError;
use super::reckoning::Reckoning;
use super::row::get;
use super::sql;

/// Longest statement, milliseconds. A batch takes a few; a worker's first look at lanes with a million holds seconds,
/// and one that is cut short would never get to know them.
const STATEMENT_TIMEOUT_MS: u32 = 60_000;
/// Longest wait for one lock, milliseconds: that of the batches before this one on a busy lane.
const LOCK_TIMEOUT_MS: u32 = 5_000;
/// Longest silence of a worker within a batch, milliseconds. A worker that was stopped would hold its lanes for ever.
/// Less than others wait for a lock, so that they get it in time; a worker is silent for as long as it decides.
const IDLE_IN_TRANSACTION_TIMEOUT_MS: u32 = 2_000;
/// Longest wait for the end of another connection's batch, milliseconds: more than any of the above lets it last.
const PATIENCE_MS: u32 = 120_000;
/// Longest wait for a new connection: a server that is there answers at once.
const REACH_MAX: std::time::Duration = std::time::Duration::from_secs(3);
/// After so long without an answer to a batch, the server is asked whether it is there at all.
const SILENCE_MAX: std::time::Duration = std::time::Duration::from_secs(3);
/// Longest wait for a connection of the pool, seconds: the pool waits for a server that is away, too, and those who
/// asked wait with it.
const ACQUIRE_TIMEOUT_SECONDS: u64 = 4;

/// The oldest schema that this binary works with. Workers are rolled, so the schema is expanded before a new binary
/// runs and contracted after the last old one has left.
const SCHEMA_OLDEST: i64 = 16;

/// How to reach the database, and a pool of connections for what is not a batch.
#[derive(Clone, Debug)]
pub struct Database {
    pool: sqlx::PgPool,
    options: PgConnectOptions,
    reckoning: Reckoning,
}

/// Why a worker does not start on this database: one sentence each.
#[derive(Debug, thiserror::Error)]
pub enum UnfitDatabase {
    #[error("Postgres is a replica (pg_is_in_recovery is true): point the worker at the primary")]
    Replica,
    #[error("Postgres does not keep what it commits ({setting} is off): turn it on")]
    NotDurable { setting: &'static str },
    #[error("the schema is at version {found}, this binary supports {oldest} to {newest}: {advice}")]
    Schema { found: i64, oldest: i64, newest: i64, advice: &'static str },
    #[error("the database belongs to the subject root {found}, not to {asked}: each root needs a database of its own")]
    Root { found: String, asked: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Database {
    /// `url`: `postgres://…`. Waits for no server: fails at once where none answers.
    pub async fn connect(url: &str, connections_max: u32) -> Result<Database, StoreError> {
        let options = PgConnectOptions::from_str(url).map_err(StoreError::of("read the database's URL"))?;
        let options = options.application_name("berth").options(bounds()).options(PLANS);
        // The pool would try again for as long as it may wait for a connection.
        let first = PgConnection::connect_with(&options).await.map_err(StoreError::of("connect to Postgres"))?;
        first.close().await.map_err(StoreError::of("connect to Postgres"))?;
        let pool = PgPoolOptions::new()
            .max_connections(connections_max)
            .acquire_timeout(std::time::Duration::from_secs(ACQUIRE_TIMEOUT_SECONDS))
            .connect_lazy_with(options.clone());
        Ok(Database { pool, options, reckoning: Reckoning::default() })
    }

    pub fn pool(&self) -> &sqlx::PgPool {
        &self.pool
    }

    pub(super) fn reckoning(&self) -> &Reckoning {
        &self.reckoning
    }

    /// For a connection of one's own.
    pub fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// Does the server take connections? Told at once, where the pool would wait.
    pub async fn is_reachable(&self) -> bool {
        let connected = tokio::time::timeout(REACH_MAX, PgConnection::connect_with(&self.options)).await;
        connected.is_ok_and(|connection| connection.is_ok())
    }

    /// Waits for `work` as long as the server takes new connections. `None`: it does not any more, and whatever
    /// connection `work` used is of no more use. A server whose machine stands still closes no connection.
    pub(super) async fn while_reachable<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        loop {
            let silence = async {
                tokio::time::sleep(SILENCE_MAX).await;
                self.is_reachable().await
            };
            tokio::select! {
                done = &mut work => return Some(done),
                is_reachable = silence => if !is_reachable { return None },
            }
        }
    }

    /// For a connection that waits for other connections' transactions to end.
    pub(super) fn patient_options(&self) -> PgConnectOptions {
        self.options.clone().options([("statement_timeout", PATIENCE_MS), ("lock_timeout", PATIENCE_MS)])
    }

    /// Brings the schema to the newest version; safe when several run at once. A schema that is newer than this
    /// binary stays as it is.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let unbounded = self.options.clone().options([("statement_timeout", 0), ("lock_timeout", 0)]);
        let connection = PgConnection::connect_with(&unbounded).await;
        let mut connection = connection.map_err(StoreError::of("connect to Postgres"))?;
        let migrated = migrator().run(&mut connection).await;
        migrated.map_err(|error| StoreError { attempt: "migrate the schema", source: error.into() })?;
        connection.close().await.map_err(StoreError::of("close a connection to Postgres"))
    }

    /// Durable, the primary, and of a schema that this binary supports?
    pub async fn check(&self) -> Result<(), UnfitDatabase> {
        let row = sqlx::query(sql::CHECK_DATABASE.clone()).fetch_one(&self.pool).await;
        let row = row.map_err(StoreError::of("read the settings of Postgres"))?;
        let facts = facts(&row).map_err(StoreError::of("read the settings of Postgres"))?;
        if facts.is_replica {
            return Err(UnfitDatabase::Replica);
        }
        if let Some(setting) = facts.setting_off {
            return Err(UnfitDatabase::NotDurable { setting });
        }
        let found = match facts.is_migrated {
            true => self.schema_version().await?,
            false => 0,
        };
        supported(found)
    }

    /// Makes the database that of this root of subjects, unless it is another's already.
    pub async fn claim(&self, root: &str) -> Result<(), UnfitDatabase> {
        let found = sqlx::query_scalar(sql::CLAIM_ROOT.clone()).bind(root).fetch_one(&self.pool).await;
        let found: String = found.map_err(StoreError::of("read whose the database is"))?;
        match found == root {
            true => Ok(()),
            false => Err(UnfitDatabase::Root { found, asked: root.to_owned() }),
        }
    }

    async fn schema_version(&self) -> Result<i64, StoreError> {
        let version = sqlx::query_scalar(sql::READ_SCHEMA_VERSION.clone()).fetch_one(&self.pool).await;
        version.map_err(StoreError::of("read the version of the schema"))
    }
}

/// What Postgres itself holds every statement to: a future that waits for it is never dropped.
fn bounds() -> [(&'static str, u32); 3] {
    [
        ("statement_timeout", STATEMENT_TIMEOUT_MS),
        ("lock_timeout", LOCK_TIMEOUT_MS),
        ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT_MS),
    ]
}

/// One plan for each statement, the same on an empty table and on a large one: every table is reached by an index, in
/// a loop over what was asked for. A plan that was made on an empty table and read all of it would be kept for long
/// after the table has grown; planning anew each time costs more than many of the statements do. What is asked for is
/// asked for once, so there is nothing to remember either.
const PLANS: [(&str, &str); 8] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_memoize", "off"),
    ("enable_sort", "off"),
    ("enable_incremental_sort", "off"),
    ("jit", "off"),
];

fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!();
    migrator.set_ignore_missing(true);
    migrator
}

struct Facts {
    is_replica: bool,
    setting_off: Option<&'static str>,
    is_migrated: bool,
}

fn facts(row: &PgRow) -> Result<Facts, sqlx::Error> {
    let mut setting_off = None;
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        if get::<&str>(row, setting)? == "off" {
            setting_off = setting_off.or(Some(setting));
        }
    }
    Ok(Facts { is_replica: get(row, "is_replica")?, setting_off, is_migrated: get(row, "is_migrated")? })
}

fn supported(found: i64) -> Result<(), UnfitDatabase> {
    let oldest = SCHEMA_OLDEST;
    let newest = migrator().iter().map(|migration| migration.version).max().unwrap_or(oldest);
    let advice = match found {
        found if found < oldest => "run berth migrate",
        found if found > newest => "run a newer berth",
        _ => return Ok(()),
    };
    Err(UnfitDatabase::Schema { found, oldest, newest, advice })
}
