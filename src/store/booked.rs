//! What is booked where a pool's new configuration would leave too little: read only where it would.

use std::collections::BTreeMap;
use std::fmt::Write;

use futures::TryStreamExt;
use sqlx::PgConnection;

use super::error::StoreError;
use super::lane::CachedLane;
use super::row;
use super::sql;
use crate::domain::booked::{LISTED_MAX, Stretch, VICTIMS_MAX, VictimOrder};
use crate::domain::command::PoolPut;
use crate::domain::hold::Hold;
use crate::domain::id::{Lane, PoolName};
use crate::domain::window::Instant;

/// Most that is loaded at once: what is ended is held in memory, written, and told in events.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// What a reservation takes beside what it carries, and what each of its intervals does.
const FIELDS_BYTES: usize = 600;
const INTERVAL_BYTES: usize = 100;

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
            let booked = fetch(connection, put, &stretches, now).await;
            found.push(booked.map_err(StoreError::of("load what is booked"))?);
        }
    }
    Ok(found)
}

async fn fetch(
    connection: &mut PgConnection,
    put: &PoolPut,
    stretches: &[Stretch],
    now: Instant,
) -> Result<Booked, sqlx::Error> {
    let limit = if put.force.is_some() { VICTIMS_MAX } else { LISTED_MAX };
    let (by_quantity, by_age) = put.force.unwrap_or(VictimOrder::OldestFirst).signs();
    let (zones, ranges): (Vec<Option<String>>, Vec<String>) = multiranges(stretches).into_iter().unzip();
    let query = sqlx::query(sql::LOAD_BOOKED.clone())
        .bind(i16::from(Lane::of_pool(&put.pool).number()))
        .bind(put.pool.as_str())
        .bind(now)
        .bind(zones)
        .bind(ranges)
        .bind(by_quantity)
        .bind(by_age)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let mut booked = Booked { pool: put.pool.clone(), holds: Vec::new(), count: 0 };
    let mut bytes = 0;
    let mut rows = query.fetch(connection);
    while let Some(row) = rows.try_next().await? {
        booked.count = row::number::<i64, u64>(&row, "booked")?;
        // What is too much is read to its end, and dropped.
        if bytes < BYTES_MAX {
            let hold = row::hold(&row)?;
            bytes += size(&hold);
            booked.holds.push(hold);
        }
    }
    Ok(booked)
}

/// About what it takes in its event.
fn size(hold: &Hold) -> usize {
    let Some(reservation) = hold.reservation() else { return 0 };
    let carried = [&reservation.launch_specification, &reservation.tags].into_iter().flatten();
    let carried: usize = carried.map(|opaque| opaque.as_str().len()).sum();
    FIELDS_BYTES + INTERVAL_BYTES * reservation.intervals.len() + carried
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
