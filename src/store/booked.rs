//! What is booked where a pool's new configuration would leave too little: read only where it would.

use std::collections::BTreeMap;
use std::fmt::Write;

use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use super::error::StoreError;
use super::lane::CachedLane;
use super::row;
use super::sql;
use crate::domain::booked::{LISTED_MAX, Stretch, VICTIMS_MAX, VictimOrder};
use crate::domain::command::PoolPut;
use crate::domain::hold::Hold;
use crate::domain::id::{Lane, PoolName};
use crate::domain::window::Instant;

/// The first of the reservations that would no longer fit into a pool, and how many there are.
#[derive(Debug)]
pub struct Booked {
    pub pool: PoolName,
    pub holds: Vec<Hold>,
    pub count: u64,
}

/// For each pool that can't be put as it is. Only what is booked when the batch begins is looked at, so no other
/// command of these pools may be in the batch.
pub async fn load(
    connection: &mut PgConnection,
    puts: &[PoolPut],
    lanes: &mut BTreeMap<Lane, CachedLane>,
) -> Result<Vec<Booked>, StoreError> {
    let mut found = Vec::new();
    for put in puts {
        let Some(cached) = lanes.get_mut(&Lane::of_pool(&put.pool)) else { continue };
        let now = cached.state.head.now;
        let Some(known) = cached.state.pools.get_mut(&put.pool) else { continue };
        known.lapse(now);
        let stretches = known.with_config(&put.configured(known.pool.version), |pool| pool.overbooked(now));
        if !stretches.is_empty() {
            let rows = fetch(connection, put, &stretches, now).await.map_err(StoreError::of("load what is booked"))?;
            let booked = booked(&put.pool, &rows).map_err(StoreError::of("read the row of a hold"))?;
            found.push(booked);
        }
    }
    Ok(found)
}

async fn fetch(
    connection: &mut PgConnection,
    put: &PoolPut,
    stretches: &[Stretch],
    now: Instant,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let limit = if put.force.is_some() { VICTIMS_MAX } else { LISTED_MAX };
    let (by_quantity, by_age) = put.force.unwrap_or(VictimOrder::OldestFirst).signs();
    let (zones, ranges): (Vec<Option<String>>, Vec<String>) = multiranges(stretches).into_iter().unzip();
    sqlx::query(sql::LOAD_BOOKED.clone())
        .bind(i16::from(Lane::of_pool(&put.pool).number()))
        .bind(put.pool.as_str())
        .bind(now)
        .bind(zones)
        .bind(ranges)
        .bind(by_quantity)
        .bind(by_age)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await
}

/// For the pool and for each zone the stretches in Postgres's text form: `{[1,2),[5,9)}`.
fn multiranges(stretches: &[Stretch]) -> BTreeMap<Option<String>, String> {
    let mut ranges: BTreeMap<Option<String>, String> = BTreeMap::new();
    for stretch in stretches {
        let text = ranges.entry(stretch.zone.as_ref().map(|zone| zone.as_str().to_owned())).or_default();
        let lead = if text.is_empty() { '{' } else { ',' };
        // Writing into a string does not fail.
        let _ = write!(text, "{lead}[{},{})", stretch.start.timestamp_micros(), stretch.end.timestamp_micros());
    }
    ranges.values_mut().for_each(|text| text.push('}'));
    ranges
}

fn booked(pool: &PoolName, rows: &[PgRow]) -> Result<Booked, sqlx::Error> {
    let count = rows.first().map(|row| row::number::<i64, u64>(row, "booked")).transpose()?.unwrap_or_default();
    let holds = rows.iter().map(row::hold).collect::<Result<_, _>>()?;
    Ok(Booked { pool: pool.clone(), holds, count })
}
