//! Tenants of whom the operator has said something: who has limits, their rows under lock, and what they have.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt;
use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::batch::BatchId;
use super::columns::lane_numbers;
use super::error::StoreError;
use super::row::{self, get, maybe_number, number, parsed};
use super::sql;
use crate::domain::hold::{Kind, Status};
use crate::domain::id::{HoldId, Lane, ResourceName, Tenant};
use crate::domain::quota::{Limits, TenantConfig, TenantUse};
use crate::domain::state::Changes;
use crate::domain::window::Instant;

/// A tenant's row under lock.
#[derive(Clone, Debug)]
pub struct LockedTenant {
    pub config: TenantConfig,
    /// The last batch that changed its use or its limits.
    pub last_batch: Option<Uuid>,
    /// The time of that batch.
    pub decided_at: Instant,
}

/// A tenant's use as of a batch that is known to be committed.
#[derive(Debug)]
pub struct CachedTenant {
    pub last_batch: Option<Uuid>,
    pub used: TenantUse,
}

impl LockedTenant {
    /// Is this its use still? While it has no limit nobody keeps count.
    pub fn is_of(&self, cached: &CachedTenant, now: Instant) -> bool {
        self.config.limits.has_any() && self.last_batch == cached.last_batch && cached.used.is_good_at(now)
    }
}

/// The tenants that have a limit.
pub async fn limited(connection: &mut PgConnection) -> Result<BTreeSet<Tenant>, StoreError> {
    let rows = sqlx::query(sql::LOAD_LIMITED.clone()).fetch_all(connection).await;
    let rows = rows.map_err(StoreError::of("load the tenants with limits"))?;
    let names = rows.iter().map(|row| parsed(row, "name", Tenant::parse));
    names.collect::<Result<_, _>>().map_err(StoreError::of("read the row of a tenant"))
}

/// Locks the rows of those of these tenants that have one. The lanes of the batch have been locked before.
pub async fn lock(
    connection: &mut PgConnection,
    tenants: &BTreeSet<Tenant>,
) -> Result<BTreeMap<Tenant, LockedTenant>, StoreError> {
    let names: Vec<&str> = tenants.iter().map(Tenant::as_str).collect();
    let rows = sqlx::query(sql::LOCK_TENANTS.clone()).bind(names).fetch_all(connection).await;
    let rows = rows.map_err(StoreError::of("lock the tenants of a batch"))?;
    let locked = rows.iter().map(|row| locked(row).map(|locked| (locked.config.tenant.clone(), locked)));
    locked.collect::<Result<_, _>>().map_err(StoreError::of("read the row of a tenant"))
}

fn locked(row: &PgRow) -> Result<LockedTenant, sqlx::Error> {
    Ok(LockedTenant { config: config(row)?, last_batch: get(row, "last_batch")?, decided_at: get(row, "decided_at")? })
}

pub fn config(row: &PgRow) -> Result<TenantConfig, sqlx::Error> {
    let limit = |column| maybe_number::<i64, u64>(row, column);
    let prefixes: Vec<String> = get(row, "registered_prefixes")?;
    let prefix = |text: &String| ResourceName::parse(text).ok_or_else(|| sqlx::Error::Decode("not a name".into()));
    Ok(TenantConfig {
        tenant: parsed(row, "name", Tenant::parse)?,
        version: number::<i64, _>(row, "version")?,
        limits: Limits { units: limit("units_max")?, unit_hours: limit("unit_hours_max")?, locks: limit("locks_max")? },
        registered_prefixes: prefixes.iter().map(prefix).collect::<Result<_, _>>()?,
    })
}

/// How the holds of a tenant are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marked {
    /// It has a limit, so they are marked.
    Yes,
    /// They are looked for in all that it ever reserved.
    No,
}

impl Marked {
    pub fn of(config: Option<&TenantConfig>) -> Marked {
        match config.is_some_and(|config| config.limits.has_any()) {
            true => Marked::Yes,
            false => Marked::No,
        }
    }
}

/// What each of these tenants has: read from its live reservations and locks.
pub async fn used<'e>(
    executor: impl sqlx::Executor<'e, Database = sqlx::Postgres>,
    tenants: &[Tenant],
    marked: Marked,
) -> Result<BTreeMap<Tenant, TenantUse>, StoreError> {
    let mut used: BTreeMap<Tenant, TenantUse> =
        tenants.iter().map(|name| (name.clone(), TenantUse::default())).collect();
    let names: Vec<&str> = tenants.iter().map(Tenant::as_str).collect();
    let query = match marked {
        Marked::Yes => sqlx::query(sql::LOAD_COUNTED.clone()).bind(names),
        Marked::No => sqlx::query(sql::LOAD_TENANT_HOLDS.clone()).bind(names).bind(lane_numbers(Lane::all())),
    };
    let mut rows = query.fetch(executor);
    while let Some(row) = rows.try_next().await.map_err(StoreError::of("load what a tenant has"))? {
        let tenant = row::tenant(&row).map_err(StoreError::of("read the row of a hold"))?;
        if let Some(used) = used.get_mut(&tenant) {
            add(used, &row).map_err(StoreError::of("read the row of a hold"))?;
        }
    }
    Ok(used)
}

fn add(used: &mut TenantUse, row: &PgRow) -> Result<(), sqlx::Error> {
    let (id, expires_at) = (HoldId::from_uuid(get(row, "id")?), get(row, "expires_at")?);
    match row::kind(row)? {
        Kind::Reservation => {
            let status = parsed(row, "status", Status::parse)?;
            used.load_reservation(id, status, expires_at, &row::intervals(row)?);
        }
        Kind::Lock => used.load_lock(id, expires_at),
    }
    Ok(())
}

/// Marks the holds that a batch has changed, and has written, for the tenants with limits.
pub async fn mark(connection: &mut PgConnection, changes: &Changes) -> Result<(), StoreError> {
    if changes.tenant_times.is_empty() {
        return Ok(());
    }
    let holds = changes.inserted.iter().chain(&changes.updated);
    let ids = holds.filter(|hold| changes.tenant_times.contains_key(&hold.tenant)).map(|hold| hold.id);
    let (lanes, ids): (Vec<Lane>, Vec<Uuid>) = ids.map(|id| (id.lane(), id.uuid())).unzip();
    if !ids.is_empty() {
        let mark = sqlx::query(sql::MARK_COUNTED.clone()).bind(lane_numbers(lanes)).bind(ids);
        mark.execute(&mut *connection).await.map_err(StoreError::of("mark what counts"))?;
    }
    for config in &changes.tenants {
        let name = config.tenant.as_str();
        let mark = match Marked::of(Some(config)) {
            Marked::Yes => sqlx::query(sql::MARK_ALL_COUNTED.clone()).bind(name).bind(lane_numbers(Lane::all())),
            Marked::No => sqlx::query(sql::MARK_NONE_COUNTED.clone()).bind(name),
        };
        mark.execute(&mut *connection).await.map_err(StoreError::of("mark all that counts"))?;
    }
    Ok(())
}

/// Writes what a batch has changed of tenants, and moves those on that it has changed.
pub async fn write(connection: &mut PgConnection, batch: BatchId, changes: &Changes) -> Result<(), StoreError> {
    if changes.tenant_times.is_empty() {
        return Ok(());
    }
    for config in &changes.tenants {
        upsert(connection, config).await.map_err(StoreError::of("put a tenant"))?;
    }
    let (names, times): (Vec<&str>, Vec<Instant>) =
        changes.tenant_times.iter().map(|(tenant, at)| (tenant.as_str(), *at)).unzip();
    let update = sqlx::query(sql::UPDATE_TENANTS.clone()).bind(names).bind(times).bind(batch.0);
    update.execute(&mut *connection).await.map_err(StoreError::of("move tenants on"))?;
    if !changes.tenants.is_empty() {
        let announce = sqlx::query(sql::ANNOUNCE_TENANTS.clone()).bind(batch.0);
        announce.execute(connection).await.map_err(StoreError::of("announce a change of tenants"))?;
    }
    Ok(())
}

async fn upsert(connection: &mut PgConnection, config: &TenantConfig) -> Result<(), sqlx::Error> {
    let limit =
        |limit: Option<u64>| limit.map(i64::try_from).transpose().map_err(|error| sqlx::Error::Encode(error.into()));
    let prefixes: Vec<&str> = config.registered_prefixes.iter().map(ResourceName::as_str).collect();
    sqlx::query(sql::UPSERT_TENANT.clone())
        .bind(config.tenant.as_str())
        .bind(i64::from(config.version))
        .bind(limit(config.limits.units)?)
        .bind(limit(config.limits.unit_hours)?)
        .bind(limit(config.limits.locks)?)
        .bind(prefixes)
        .execute(connection)
        .await
        .map(drop)
}
