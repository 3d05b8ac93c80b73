//! What tenants have registered of their resources: rows to types and back.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use super::columns::{column, lane_numbers};
use super::error::StoreError;
use super::lane::CachedLane;
use super::load::LockedLane;
use super::query::Reader;
use super::row::{self, get, maybe_parsed, number, parsed};
use super::sql;
use crate::domain::command::{LockList, ResourceList};
use crate::domain::hold::Hold;
use crate::domain::id::{HoldId, Lane, Requester, ResourceName, ResourceType, Tenant};
use crate::domain::lock::Resource;
use crate::domain::outcome::Registered;
use crate::domain::registry::Registry;
use crate::domain::window::Instant;

/// Reads what is registered in the locked lanes, where what is known of it is out of date.
pub async fn catch_up(
    connection: &mut PgConnection,
    locked: &[LockedLane],
    lanes: &mut BTreeMap<Lane, CachedLane>,
) -> Result<(), StoreError> {
    let mut moved = Vec::new();
    for row in locked {
        let Some(lane) = lanes.get_mut(&row.lane).filter(|lane| lane.registry_version != row.registry_version) else {
            continue;
        };
        lane.registry_version = row.registry_version;
        lane.state.registry = Registry::default();
        if row.registry_version > 0 {
            moved.push(row.lane);
        }
    }
    if moved.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query(sql::LOAD_RESOURCES.clone()).bind(lane_numbers(moved)).fetch_all(connection).await;
    for row in rows.map_err(StoreError::of("load registered resources"))? {
        let resource = resource(&row).map_err(StoreError::of("read the row of a resource"))?;
        if let Some(lane) = lanes.get_mut(&resource.lock_name().lane()) {
            lane.state.registry.put(resource);
        }
    }
    Ok(())
}

pub async fn put(connection: &mut PgConnection, resources: &[Resource]) -> Result<(), sqlx::Error> {
    if resources.is_empty() {
        return Ok(());
    }
    sqlx::query(sql::UPSERT_RESOURCES.clone())
        .bind(lane_numbers(resources.iter().map(|resource| resource.lock_name().lane())))
        .bind(column(resources, |resource| resource.tenant.as_str()))
        .bind(column(resources, |resource| resource.name.as_str()))
        .bind(column(resources, |resource| i64::from(resource.version)))
        .bind(column(resources, |resource| i64::from(resource.capacity)))
        .bind(column(resources, |resource| resource.parent.as_ref().map(ResourceName::as_str)))
        .bind(column(resources, |resource| row::joined(&resource.blocks)))
        .bind(column(resources, |resource| row::joined(&resource.former_blocks)))
        .bind(column(resources, |resource| resource.resource_type.as_ref().map(ResourceType::as_str)))
        .bind(column(resources, |resource| i64::from(resource.lock_delay_seconds)))
        .execute(connection)
        .await
        .map(drop)
}

fn resource(row: &PgRow) -> Result<Resource, sqlx::Error> {
    Ok(Resource {
        tenant: row::tenant(row)?,
        name: parsed(row, "name", ResourceName::parse)?,
        version: number::<i64, _>(row, "version")?,
        capacity: number::<i64, _>(row, "capacity")?,
        parent: maybe_parsed(row, "parent", ResourceName::parse)?,
        blocks: row::names(get(row, "blocks")?, "blocks")?,
        resource_type: maybe_parsed(row, "resource_type", ResourceType::parse)?,
        lock_delay_seconds: number::<i64, _>(row, "lock_delay_seconds")?,
        former_blocks: row::names(get(row, "former_blocks")?, "former_blocks")?,
    })
}

fn registered(row: &PgRow) -> Result<Registered, sqlx::Error> {
    let resource = resource(row)?;
    let mut path = row::names(get::<Option<Vec<String>>>(row, "ancestors")?.unwrap_or_default(), "ancestors")?;
    if !path.is_empty() || get(row, "has_parts")? {
        path.push(resource.name.clone());
    }
    Ok(Registered { resource, path })
}

impl Reader {
    /// One page of what a tenant has registered, by name, and whether there is more behind it.
    pub async fn resources(&self, tenant: &Tenant, list: &ResourceList) -> Result<(Vec<Registered>, bool), StoreError> {
        let query = sqlx::query(sql::LIST_RESOURCES.clone())
            .bind(i16::from(Lane::of_locks(tenant).number()))
            .bind(tenant.as_str())
            .bind(list.after.as_ref().map_or("", ResourceName::as_str))
            .bind(list.prefix.as_deref().unwrap_or_default())
            .bind(i64::from(list.limit) + 1);
        let rows = query.fetch_all(self.connections()).await.map_err(StoreError::of("list resources"))?;
        let page = rows.iter().take(list.limit as usize).map(registered).collect::<Result<_, _>>();
        Ok((page.map_err(StoreError::of("read the row of a resource"))?, rows.len() > list.limit as usize))
    }

    /// One page of a tenant's live claims, the oldest first, and whether there is more behind it; with the time.
    pub async fn live_locks(&self, tenant: &Tenant, list: &LockList) -> Result<(Vec<Hold>, bool, Instant), StoreError> {
        let query = sqlx::query(sql::LIST_LOCKS.clone())
            .bind(i16::from(Lane::of_locks(tenant).number()))
            .bind(tenant.as_str())
            .bind(list.resource.as_ref().map(ResourceName::as_str))
            .bind(list.requester.as_ref().map(Requester::as_str))
            .bind(list.after.map_or(uuid::Uuid::nil(), HoldId::uuid))
            .bind(i64::from(list.limit) + 1);
        let (mut holds, now) = self.holds(query, "list locks").await?;
        let has_more = holds.len() > list.limit as usize;
        holds.truncate(list.limit as usize);
        Ok((holds, has_more, now))
    }
}
