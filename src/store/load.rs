//! The reads of a batch: its lanes under lock, then what its commands name.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::batch::{DueMark, DuePage, DueWant, Receipt, Wants};
use super::columns::{column, lane_numbers};
use super::error::StoreError;
use super::lane::CachedLane;
use super::row::{self, get};
use super::sql;
use crate::domain::hold::{Hold, Status};
use crate::domain::id::{HoldId, Lane, LaneSet, ReceiptId};
use crate::domain::registry::related;
use crate::domain::resource::LockName;
use crate::domain::state::Head;
use crate::domain::window::Instant;

/// A lane's row under lock, or as it is taken to be, and the time of the batch in it.
#[derive(Clone, Copy, Debug)]
pub struct LockedLane {
    pub lane: Lane,
    pub seq: i64,
    pub fence: i64,
    pub last_batch: Option<Uuid>,
    pub pools_version: i64,
    pub tenants_batch: Option<Uuid>,
    pub registry_version: i64,
    pub now: Instant,
}

impl LockedLane {
    /// Of a lane that is taken to be as it is cached.
    pub fn known(lane: Lane, cached: &CachedLane, reckoned_at: Instant) -> LockedLane {
        let CachedLane { last_batch, pools_version, registry_version, tenants_batch, ref state } = *cached;
        let Head { seq, fence, now } = state.head;
        let now = now.max(reckoned_at);
        LockedLane { lane, seq, fence, last_batch, pools_version, tenants_batch, registry_version, now }
    }
}

/// Locks the lanes in ascending order, then reads the clock; its reading comes with them.
pub async fn lock_lanes(
    connection: &mut PgConnection,
    lanes: LaneSet,
) -> Result<(Vec<LockedLane>, Option<Instant>), StoreError> {
    let rows = sqlx::query(sql::LOCK_LANES.clone())
        .bind(lane_numbers(lanes.iter()))
        .fetch_all(connection)
        .await
        .map_err(StoreError::of("lock the lanes of a batch"))?;
    let locked: Result<Vec<LockedLane>, sqlx::Error> = rows.iter().map(locked_lane).collect();
    let locked = locked.map_err(StoreError::of("read the row of a lane"))?;
    let read_at = rows.first().map(|row| get(row, "read_at")).transpose();
    let read_at = read_at.map_err(StoreError::of("read the row of a lane"))?;
    match locked.len() == lanes.len() {
        true => Ok((locked, read_at)),
        false => Err(StoreError { attempt: "find the rows of all lanes", source: sqlx::Error::RowNotFound }),
    }
}

fn locked_lane(row: &PgRow) -> Result<LockedLane, sqlx::Error> {
    Ok(LockedLane {
        lane: row::lane(row)?,
        seq: get(row, "seq")?,
        fence: get(row, "fence")?,
        last_batch: get(row, "last_batch")?,
        pools_version: get(row, "pools_version")?,
        tenants_batch: get(row, "tenants_batch")?,
        registry_version: get(row, "registry_version")?,
        now: get(row, "now")?,
    })
}

pub async fn receipts(
    connection: &mut PgConnection,
    ids: &[ReceiptId],
) -> Result<BTreeMap<ReceiptId, Receipt>, StoreError> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = sqlx::query(sql::LOAD_RECEIPTS.clone())
        .bind(column(ids, |id| id.uuid()))
        .fetch_all(connection)
        .await
        .map_err(StoreError::of("load receipts"))?;
    let receipt = |row| row::receipt(row).map(|receipt| (receipt.id, receipt));
    rows.iter().map(receipt).collect::<Result<_, _>>().map_err(StoreError::of("read the row of a receipt"))
}

/// The holds that the batch names or that are due, each once, with all claims that locks among them can come to depend
/// on, and the pages of what is due.
pub async fn holds(
    connection: &mut PgConnection,
    wants: &Wants,
    locked: &[LockedLane],
    lanes: &BTreeMap<Lane, CachedLane>,
) -> Result<(Vec<Hold>, Vec<DuePage>), StoreError> {
    let registry = |lane| lanes.get(&lane).map(|lane: &CachedLane| &lane.state.registry);
    let names = related(&wants.locks, registry);
    if wants.holds.is_empty() && names.is_empty() && wants.due.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let mut found = Found::default();
    let names: BTreeMap<LockName, Uuid> = names.into_iter().map(|name| (name, Uuid::nil())).collect();
    let rows = fetch_holds(connection, wants, &names, locked).await.map_err(StoreError::of("load holds"))?;
    found.add(&rows)?;
    let of_due = found.due.iter().filter_map(|mark| Some((found.holds.get(&mark.id)?.lock_name()?, mark.id.uuid())));
    let of_due: BTreeMap<LockName, Uuid> = of_due.collect();
    let more = related(of_due.keys(), registry).into_iter().filter(|name| !names.contains_key(name));
    // Most have one claim only, and that is here.
    let known = |name: &LockName| of_due.get(name).copied().unwrap_or_default();
    let more: BTreeMap<LockName, Uuid> = more.map(|name| (name.clone(), known(&name))).collect();
    if !more.is_empty() {
        let rows = fetch_holds(connection, &Wants::default(), &more, locked).await;
        found.add(&rows.map_err(StoreError::of("load the claims on locks"))?)?;
    }
    let now = |lane| locked.iter().find(|locked| locked.lane == lane).map(|locked| locked.now);
    let page = |want: &DueWant| Some(due_page(want, &found.due, now(want.lane)?));
    let pages = wants.due.iter().filter_map(page).collect();
    Ok((found.holds.into_values().collect(), pages))
}

#[derive(Default)]
struct Found {
    holds: BTreeMap<HoldId, Hold>,
    due: BTreeSet<DueMark>,
}

impl Found {
    fn add(&mut self, rows: &[PgRow]) -> Result<(), StoreError> {
        for row in rows {
            let is_due = get(row, "is_due").map_err(StoreError::of("read the row of a hold"))?;
            let hold = row::hold(row).map_err(StoreError::of("read the row of a hold"))?;
            if let (true, Some(due_at)) = (is_due, hold.due_at()) {
                self.due.insert(DueMark { due_at, is_start: hold.status == Status::Pending, id: hold.id });
            }
            self.holds.insert(hold.id, hold);
        }
        Ok(())
    }
}

/// The claims on each of `names` but for the one that is known already.
async fn fetch_holds(
    connection: &mut PgConnection,
    wants: &Wants,
    names: &BTreeMap<LockName, Uuid>,
    locked: &[LockedLane],
) -> Result<Vec<PgRow>, sqlx::Error> {
    let now = |lane| locked.iter().find(|locked| locked.lane == lane).map(|locked| locked.now);
    // What is due is told by the clock of a lane, so only a locked lane has a page.
    let due: Vec<(&DueWant, Instant)> =
        wants.due.iter().filter_map(|want| now(want.lane).map(|now| (want, now))).collect();
    let after = |of: fn(&DueMark) -> Uuid| column(&due, |(want, _)| want.after.as_ref().map_or(Uuid::nil(), of));
    sqlx::query(sql::LOAD_HOLDS.clone())
        .bind(lane_numbers(wants.holds.iter().map(|id| id.lane())))
        .bind(column(&wants.holds, |id| id.uuid()))
        .bind(lane_numbers(names.keys().map(LockName::lane)))
        .bind(names.keys().map(|name| name.tenant.as_str()).collect::<Vec<_>>())
        .bind(names.keys().map(|name| name.resource.as_str()).collect::<Vec<_>>())
        .bind(lane_numbers(due.iter().map(|(want, _)| want.lane)))
        .bind(column(&due, |(_, now)| *now))
        .bind(column(&due, |(want, _)| want.after.map(|mark| mark.due_at)))
        .bind(column(&due, |(want, _)| want.after.is_some_and(|mark| mark.is_start)))
        .bind(after(|mark| mark.id.uuid()))
        .bind(column(&due, |(want, _)| i32::try_from(want.limit).unwrap_or(i32::MAX)))
        .bind(names.values().copied().collect::<Vec<Uuid>>())
        .fetch_all(connection)
        .await
}

fn due_page(want: &DueWant, due: &BTreeSet<DueMark>, until: Instant) -> DuePage {
    let due: Vec<DueMark> = due.iter().filter(|mark| mark.id.lane() == want.lane).copied().collect();
    DuePage { lane: want.lane, is_full: due.len() >= want.limit as usize, due, until }
}
