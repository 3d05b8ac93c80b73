//! Brings what a worker keeps of the locked lanes up to date.
//!
//! | what the worker has | what is read |
//! |---|---|
//! | the lane as of its last batch | nothing |
//! | the lane as of an earlier one | the journal since then; the pools too where their configuration has moved |
//! | nothing, or a lane whose journal since then is gone or long, or a batch that this database does not know | the pools, and every hold that counts |

use std::collections::BTreeMap;

use futures::TryStreamExt;
use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::columns::lane_numbers;
use super::error::StoreError;
use super::lane::CachedLane;
use super::load::LockedLane;
use super::row::{self, get, maybe_parsed};
use super::{pool, sql};
use crate::domain::id::{HoldId, Lane, PoolName, ZoneName};
use crate::domain::registry::Registry;
use crate::domain::resource::Pool;
use crate::domain::state::{Head, LaneState, PoolState};
use crate::domain::window::{Delta, Instant};

/// Longest journal that is read up, events of one lane; beyond it the holds that count are fewer or the cheaper read.
const CATCH_UP_MAX: i64 = 20_000;

/// An event as far as it moves a pool's use.
#[derive(Debug)]
struct Change {
    seq: i64,
    hold: HoldId,
    /// `None` for a lock's event.
    pool: Option<PoolName>,
    zone: Option<ZoneName>,
    usage: Vec<Delta>,
    lapses_at: Option<Instant>,
}

/// The locked lanes as of their last committed batch, at the time of this one.
pub async fn catch_up(
    connection: &mut PgConnection,
    locked: &[LockedLane],
    cached: BTreeMap<Lane, CachedLane>,
) -> Result<BTreeMap<Lane, CachedLane>, StoreError> {
    let mut known = cached;
    known.retain(|lane, cached| locked.iter().any(|row| row.lane == *lane && can_be_read_up(row, cached)));
    let mut changes = read_changes(connection, locked, &known).await?;
    known.retain(|lane, cached| {
        let row = locked.iter().find(|row| row.lane == *lane);
        row.is_some_and(|row| is_current(row, cached) || leads_up_to(row, cached, changes.get(lane)))
    });
    let cold: Vec<LockedLane> = locked.iter().filter(|row| !known.contains_key(&row.lane)).copied().collect();
    let mut lanes = known;
    cold.iter().for_each(|row| drop(lanes.insert(row.lane, empty(row))));
    load_pools(connection, locked, &mut lanes).await?;
    for (lane, changes) in &mut changes {
        let is_cold = cold.iter().any(|row| row.lane == *lane);
        if let (false, Some(cached)) = (is_cold, lanes.get_mut(lane)) {
            changes.drain(..).for_each(|change| apply(&mut cached.state, &change));
        }
    }
    load_counting(connection, &cold, &mut lanes).await?;
    locked.iter().for_each(|row| set_head(&mut lanes, row));
    Ok(lanes)
}

fn can_be_read_up(row: &LockedLane, cached: &CachedLane) -> bool {
    let behind = row.seq - cached.state.head.seq;
    is_current(row, cached) || (0..=CATCH_UP_MAX).contains(&behind)
}

fn is_current(row: &LockedLane, cached: &CachedLane) -> bool {
    row.last_batch == cached.last_batch
}

fn empty(row: &LockedLane) -> CachedLane {
    let head = Head { seq: row.seq, fence: row.fence, now: row.now };
    // No version of a row is below 0, so the pools and the registry are read.
    let state = LaneState { head, pools: BTreeMap::new(), registry: Registry::default() };
    CachedLane { last_batch: None, pools_version: -1, registry_version: -1, tenants_batch: row.tenants_batch, state }
}

/// Of each lane that is behind, what has followed upon its last batch; of one whose last batch is not there, nothing.
async fn read_changes(
    connection: &mut PgConnection,
    locked: &[LockedLane],
    known: &BTreeMap<Lane, CachedLane>,
) -> Result<BTreeMap<Lane, Vec<Change>>, StoreError> {
    let behind = |row: &&LockedLane| known.get(&row.lane).is_some_and(|cached| !is_current(row, cached));
    let behind: Vec<Lane> = locked.iter().filter(behind).map(|row| row.lane).collect();
    let mut changes: BTreeMap<Lane, Vec<Change>> = BTreeMap::new();
    if behind.is_empty() {
        return Ok(changes);
    }
    let cached: Vec<&CachedLane> = behind.iter().filter_map(|lane| known.get(lane)).collect();
    let query = sqlx::query(sql::LOAD_JOURNAL.clone())
        .bind(lane_numbers(behind.iter().copied()))
        .bind(cached.iter().map(|cached| cached.state.head.seq).collect::<Vec<i64>>())
        .bind(cached.iter().map(|cached| cached.last_batch).collect::<Vec<Option<Uuid>>>())
        .bind(CATCH_UP_MAX);
    let mut rows = query.fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(StoreError::of("read the journal up"))? {
        let (lane, change) = change(&row).map_err(StoreError::of("read the row of an event"))?;
        changes.entry(lane).or_default().extend(change);
    }
    Ok(changes)
}

fn change(row: &PgRow) -> Result<(Lane, Option<Change>), sqlx::Error> {
    let lane = row::lane(row)?;
    let Some(seq) = get(row, "seq")? else { return Ok((lane, None)) };
    let pool = match get(row, "is_reservation")? {
        true => maybe_parsed(row, "label", PoolName::parse)?,
        false => None,
    };
    let change = Change {
        seq,
        hold: HoldId::from_uuid(get(row, "hold_id")?),
        pool,
        zone: maybe_parsed(row, "zone", ZoneName::parse)?,
        usage: row::usage(row)?,
        lapses_at: get(row, "lapses_at")?,
    };
    Ok((lane, Some(change)))
}

/// Does the journal lead from what is known to the lane as it is? Its old end is deleted in time.
fn leads_up_to(row: &LockedLane, cached: &CachedLane, changes: Option<&Vec<Change>>) -> bool {
    let from = cached.state.head.seq;
    changes.is_some_and(|changes| (from + 1..=row.seq).eq(changes.iter().map(|change| change.seq)))
}

async fn load_pools(
    connection: &mut PgConnection,
    locked: &[LockedLane],
    lanes: &mut BTreeMap<Lane, CachedLane>,
) -> Result<(), StoreError> {
    let has_moved =
        |row: &&LockedLane| lanes.get(&row.lane).is_some_and(|cached| cached.pools_version != row.pools_version);
    let moved: Vec<Lane> = locked.iter().filter(has_moved).map(|row| row.lane).collect();
    for pool in pool::load(connection, &moved).await? {
        if let Some(cached) = lanes.get_mut(&pool.lane()) {
            configure(&mut cached.state, pool);
        }
    }
    Ok(())
}

fn configure(state: &mut LaneState, pool: Pool) {
    match state.pools.get_mut(&pool.name) {
        Some(known) => drop(known.configure(pool)),
        None => drop(state.pools.insert(pool.name.clone(), PoolState::new(pool))),
    }
}

fn apply(state: &mut LaneState, change: &Change) {
    if let Some(pool) = change.pool.as_ref().and_then(|name| state.pools.get_mut(name)) {
        // Committed: there is nothing to take back.
        let _ = pool.apply(change.hold, change.zone.as_ref(), &change.usage, change.lapses_at);
    }
}

async fn load_counting(
    connection: &mut PgConnection,
    cold: &[LockedLane],
    lanes: &mut BTreeMap<Lane, CachedLane>,
) -> Result<(), StoreError> {
    if cold.iter().all(|row| lanes.get(&row.lane).is_none_or(|cached| cached.state.pools.is_empty())) {
        return Ok(());
    }
    let nows: Vec<Instant> = cold.iter().map(|row| row.now).collect();
    let query = sqlx::query(sql::LOAD_COUNTING.clone()).bind(lane_numbers(cold.iter().map(|row| row.lane))).bind(nows);
    let mut rows = query.fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(StoreError::of("load the holds that count"))? {
        let hold = row::hold(&row).map_err(StoreError::of("read the row of a hold"))?;
        let pools = lanes.get_mut(&hold.id.lane()).map(|cached| &mut cached.state.pools);
        if let (Some(pools), Some(reservation)) = (pools, hold.reservation())
            && let Some(pool) = pools.get_mut(&reservation.pool)
        {
            pool.load(&hold);
        }
    }
    Ok(())
}

fn set_head(lanes: &mut BTreeMap<Lane, CachedLane>, row: &LockedLane) {
    let Some(cached) = lanes.get_mut(&row.lane) else { return };
    cached.last_batch = row.last_batch;
    cached.pools_version = row.pools_version;
    cached.tenants_batch = row.tenants_batch;
    cached.state.head = Head { seq: row.seq, fence: row.fence, now: row.now };
}
