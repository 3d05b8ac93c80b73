//! The zones of pools: rows to types and back.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use super::columns::{column, lane_numbers};
use super::row::get;
use super::sql;
use crate::domain::id::ZoneName;
use crate::domain::resource::{Capacity, CapacityStep, Pool, Zones};
use crate::domain::window::Instant;

/// One row: of which zone, its place among the zone's rows, and from when on there are how many units.
type Part<'a> = (&'a Pool, &'a ZoneName, i32, Option<Instant>, Option<i64>);

pub async fn put(connection: &mut PgConnection, pools: &[Pool]) -> Result<(), sqlx::Error> {
    sqlx::query(sql::DELETE_ZONES.clone())
        .bind(lane_numbers(pools.iter().map(Pool::lane)))
        .bind(column(pools, |pool| pool.name.as_str()))
        .execute(&mut *connection)
        .await?;
    let parts: Vec<Part<'_>> = pools.iter().flat_map(parts).collect();
    if parts.is_empty() {
        return Ok(());
    }
    sqlx::query(sql::INSERT_ZONES.clone())
        .bind(lane_numbers(parts.iter().map(|(pool, ..)| pool.lane())))
        .bind(column(&parts, |(pool, ..)| pool.name.as_str()))
        .bind(column(&parts, |(_, zone, ..)| zone.as_str()))
        .bind(column(&parts, |(_, _, position, ..)| *position))
        .bind(column(&parts, |(_, _, _, effective_at, _)| *effective_at))
        .bind(column(&parts, |(.., quantity)| *quantity))
        .execute(connection)
        .await
        .map(drop)
}

fn parts(pool: &Pool) -> Vec<Part<'_>> {
    let of_zone = |(zone, capacity)| -> Vec<Part<'_>> {
        let capacity: &Option<Capacity> = capacity;
        match capacity {
            None => vec![(pool, zone, 0, None, None)],
            Some(Capacity::Constant(quantity)) => vec![(pool, zone, 0, None, Some(i64::from(*quantity)))],
            Some(Capacity::Schedule(steps)) => {
                let part = |(position, step): (i32, &CapacityStep)| {
                    (pool, zone, position, Some(step.effective_at), Some(i64::from(step.quantity)))
                };
                (0..).zip(steps).map(part).collect()
            }
        }
    };
    pool.zones.iter().flat_map(of_zone).collect()
}

/// The zones of `read_capacity`.
pub fn names(row: &PgRow) -> Result<BTreeSet<ZoneName>, sqlx::Error> {
    let names: Vec<String> = get(row, "zone_names")?;
    names.iter().map(|name| parse(name)).collect()
}

fn parse(name: &str) -> Result<ZoneName, sqlx::Error> {
    ZoneName::parse(name).ok_or_else(|| sqlx::Error::Decode("not a zone".into()))
}

pub fn zones(row: &PgRow) -> Result<Zones, sqlx::Error> {
    let names: Vec<String> = get(row, "zone_names")?;
    let instants: Vec<Option<Instant>> = get(row, "zone_effective_at")?;
    let quantities: Vec<Option<i64>> = get(row, "zone_quantities")?;
    let mut zones = Zones::new();
    for (name, (effective_at, quantity)) in names.iter().zip(instants.into_iter().zip(quantities)) {
        let zone = parse(name)?;
        let quantity = quantity.map(u32::try_from).transpose().map_err(|error| sqlx::Error::Decode(error.into()))?;
        let capacity = zones.entry(zone).or_insert(None);
        match (effective_at, quantity, capacity.as_mut()) {
            (Some(effective_at), Some(quantity), Some(Capacity::Schedule(steps))) => {
                steps.push(CapacityStep { effective_at, quantity });
            }
            (Some(effective_at), Some(quantity), _) => {
                *capacity = Some(Capacity::Schedule(vec![CapacityStep { effective_at, quantity }]));
            }
            (None, quantity, _) => *capacity = quantity.map(Capacity::Constant),
            (Some(_), None, _) => return Err(sqlx::Error::Decode("a step without a quantity".into())),
        }
    }
    Ok(zones)
}
