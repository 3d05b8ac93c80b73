//! Reads of the past: the events of a reservation, wherever they are, and what a tenant held of a pool.
//!
//! Rows are handed on one by one, as they come: a reservation may have many events, each with all its units, and a
//! tenant many reservations.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::columns::Bound;
use super::error::StoreError;
use super::query::Reader;
use super::row::{self, get};
use super::{sql, zone};
use crate::domain::command::List;
use crate::domain::hold::{Hold, Opaque};
use crate::domain::id::{HoldId, Label, Lane, PoolName, Tenant, ZoneName};
use crate::domain::window::Instant;

/// What is shown of a pool beside its allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapacityRow {
    pub created_at: Instant,
    pub tags: Option<Opaque>,
    pub zones: BTreeSet<ZoneName>,
}

impl Reader {
    /// Hands on the payloads of a hold's events up to `last_seq`, decided at or before `until` where that is given:
    /// the latest `limit` of them, earliest first. Those that were forgotten are not there.
    pub async fn events(
        &self,
        id: HoldId,
        last_seq: i64,
        until: Option<Instant>,
        limit: u32,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), StoreError> {
        let query = sqlx::query(sql::READ_EVENTS.clone())
            .bind(i16::from(id.lane().number()))
            .bind(last_seq)
            .bind(id.uuid())
            .bind(until)
            .bind(i64::from(limit));
        self.each_row(query, "read the events of a reservation", |row| {
            each(get(row, "payload")?);
            Ok(())
        })
        .await
    }

    /// The time, and what is shown of a pool; `None` where there is none of the name.
    pub async fn capacity(&self, pool: &PoolName) -> Result<(Option<CapacityRow>, Instant), StoreError> {
        let lane = i16::from(Lane::of_pool(pool).number());
        let query = sqlx::query(sql::READ_CAPACITY.clone()).bind(lane).bind(pool.as_str());
        let row = query.fetch_one(self.connections()).await.map_err(StoreError::of("read a pool"))?;
        let read = |row: &PgRow| {
            let created_at: Option<Instant> = get(row, "created_at")?;
            let tags = row::opaque(row, "tags")?;
            let zones = zone::names(row)?;
            Ok((created_at.map(|created_at| CapacityRow { created_at, tags, zones }), get(row, "read_at")?))
        };
        read(&row).map_err(StoreError::of("read the row of a pool"))
    }

    /// Hands on a tenant's reservations of a pool that reach beyond `from`, in no order: as their rows are; with
    /// `until`, those that were made by then, each with the payload of its last event decided at or before it.
    pub async fn allocation(
        &self,
        tenant: &Tenant,
        pool: &PoolName,
        from: Instant,
        until: Option<Instant>,
        mut each: impl FnMut(Hold, Option<&[u8]>),
    ) -> Result<(), StoreError> {
        let statement = match until {
            Some(_) => sql::READ_PAST_ALLOCATION.clone(),
            None => sql::READ_ALLOCATION.clone(),
        };
        let query = sqlx::query(statement).bind(tenant.as_str()).bind(pool.as_str()).bind(from);
        let query = match until {
            Some(until) => query.bind(until),
            None => query,
        };
        self.each_row(query, "read what a tenant holds of a pool", |row| {
            each(row::hold(row)?, get(row, "payload")?);
            Ok(())
        })
        .await
    }

    /// Hands on the next `limit` of a tenant's reservations that were made by `at`, in the list's order behind `after`,
    /// filtered by all but the status, each as its row is, with the payload of its last event decided at or before `at`,
    /// unless that has been forgotten.
    pub async fn list_past(
        &self,
        tenant: &Tenant,
        list: &List,
        at: Instant,
        after: Option<HoldId>,
        limit: u32,
        mut each: impl FnMut(Hold, Option<&[u8]>),
    ) -> Result<(), StoreError> {
        let (first, end) = (Uuid::nil(), first_id_after(at));
        let (lower, upper) = match (after.map(HoldId::uuid), list.is_descending) {
            (None, _) => (first, end),
            (Some(after), true) => (first, after.min(end)),
            (Some(after), false) => (after, end),
        };
        let query = sqlx::query(sql::list_past_holds(list.is_descending))
            .bind(tenant.as_str())
            .bind(lower)
            .bind(upper)
            .bind(at)
            .bind(list.pool.as_ref().map(PoolName::as_str))
            .bind(list.instance_type.as_ref().map(Label::as_str))
            .bind(list.region.as_ref().map(Label::as_str))
            .bind(i64::from(limit));
        self.each_row(query, "list reservations as they were", |row| {
            each(row::hold(row)?, get(row, "payload")?);
            Ok(())
        })
        .await
    }

    async fn each_row(
        &self,
        query: Bound<'_>,
        attempt: &'static str,
        mut each: impl FnMut(&PgRow) -> Result<(), sqlx::Error>,
    ) -> Result<(), StoreError> {
        let mut rows = query.fetch(self.connections());
        while let Some(row) = rows.try_next().await.map_err(StoreError::of(attempt))? {
            each(&row).map_err(StoreError::of("read a row of the past"))?;
        }
        Ok(())
    }
}

/// No id that was made at or before the instant is as great: ids begin with the milliseconds since 1970.
fn first_id_after(at: Instant) -> Uuid {
    let millis = u128::try_from(at.timestamp_millis()).unwrap_or(0);
    Uuid::from_u128((millis + 1) << 80)
}
