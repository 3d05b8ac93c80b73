//! The rows of the run: each reservation and lock is one, in the state and with the end that were answered last, and no
//! pool has more in use than there is.

use std::collections::{BTreeMap, HashSet};

use futures::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use super::expected::{Claim, Expected, Hold as Wanted, State};
use super::fault;
use crate::cli::CliError;
use crate::cli::bench::mix::Mix;
use crate::cli::bench::plan::Run;
use crate::domain::command::{List, ListCursor, SortBy};
use crate::domain::hold::{Hold, Status};
use crate::domain::id::{HoldId, PoolName, ResourceName, Tenant};
use crate::domain::resource::LockName;
use crate::store::query::Reader;
use crate::store::start::Database;

/// Rows of one read.
const PAGE: u32 = 1000;
const CONNECTIONS: u32 = 4;
/// Rows of locks that are over are read one by one: so many of them at most, spread over the run.
const RETURNED_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub struct Found {
    pub ids: HashSet<Uuid>,
    /// Locks that were given back and are not looked for.
    pub passed_over: HashSet<Uuid>,
    /// Units in use, by pool: what is added at an instant, in microseconds.
    steps: BTreeMap<PoolName, BTreeMap<i64, i64>>,
    wrong: Wrong,
}

/// Rows that are not as they were answered.
#[derive(Debug, Default)]
struct Wrong {
    state: usize,
    end: usize,
    version: usize,
    still_held: usize,
}

/// Before the load, so that a database that can't be read costs nothing.
pub async fn open(url: &str) -> Result<Reader, CliError> {
    let database = Database::connect(url, CONNECTIONS).await.map_err(CliError::of("read the database"))?;
    Ok(Reader::new(database))
}

pub async fn read(reader: &Reader, run: &Run, mix: &Mix, expected: &Expected) -> Result<Found, CliError> {
    let mut found = Found::default();
    if mix.needs_pools() {
        for tenant in run.tenants() {
            reservations(reader, tenant, run, expected, &mut found).await?;
        }
    }
    if mix.has_locks() {
        live_locks(reader, run, expected, &mut found).await?;
        returned_locks(reader, run, expected, &mut found).await?;
    }
    Ok(found)
}

async fn reservations(
    reader: &Reader,
    tenant: &Tenant,
    run: &Run,
    expected: &Expected,
    found: &mut Found,
) -> Result<(), CliError> {
    let mut list = List {
        pool: None,
        instance_type: None,
        region: None,
        status: None,
        sort_by: SortBy::CreatedAt,
        is_descending: true,
        limit: PAGE,
        after: None,
    };
    loop {
        let (holds, has_more, _) =
            reader.list(tenant, &list).await.map_err(CliError::of("read the rows of the run"))?;
        for hold in &holds {
            found.use_up(hold);
            found.add(run, expected, hold);
        }
        match holds.last() {
            Some(last) if has_more => list.after = Some(ListCursor { status: None, id: last.id }),
            _ => return Ok(()),
        }
    }
}

/// The live claims on all locks that were granted.
async fn live_locks(reader: &Reader, run: &Run, expected: &Expected, found: &mut Found) -> Result<(), CliError> {
    let name = |hold: &Wanted| {
        let Claim::Lock { round, number, item } = hold.claim else { return None };
        let resource = ResourceName::parse(&run.lock(round, number, item))?;
        Some(LockName { tenant: run.tenant(hold.tenant)?.clone(), resource })
    };
    let names: Vec<LockName> = expected.holds.values().filter_map(name).collect();
    for names in names.chunks(PAGE as usize) {
        let (holds, _) = reader.locks(names).await.map_err(CliError::of("read the rows of the run"))?;
        for hold in &holds {
            let is_returned = |wanted: &Wanted| wanted.is_sure && wanted.state == State::Returned;
            match expected.holds.get(&hold.id.uuid()).is_some_and(is_returned) {
                true => found.wrong.still_held += 1,
                false => found.add(run, expected, hold),
            }
        }
    }
    Ok(())
}

async fn returned_locks(reader: &Reader, run: &Run, expected: &Expected, found: &mut Found) -> Result<(), CliError> {
    let returned: Vec<(&Uuid, &Wanted)> =
        expected.holds.iter().filter(|(_, hold)| hold.state == State::Returned).collect();
    let step = returned.len().div_ceil(RETURNED_MAX).max(1);
    let (wanted, others): (Vec<_>, Vec<_>) = returned.into_iter().enumerate().partition(|(place, _)| place % step == 0);
    found.passed_over = others.into_iter().map(|(_, (id, _))| *id).collect();
    let reads = wanted.into_iter().map(async |(_, (id, hold))| match run.tenant(hold.tenant) {
        Some(tenant) => Ok(reader.hold(tenant, HoldId::from_uuid(*id)).await?.0),
        None => Ok(None),
    });
    let mut holds = stream::iter(reads).buffer_unordered(CONNECTIONS as usize);
    let read_error = |error: crate::store::StoreError| CliError::of("read the rows of the run")(error);
    while let Some(hold) = holds.try_next().await.map_err(read_error)? {
        if let Some(hold) = hold {
            found.add(run, expected, &hold);
        }
    }
    Ok(())
}

impl Found {
    fn add(&mut self, run: &Run, expected: &Expected, hold: &Hold) {
        self.ids.insert(hold.id.uuid());
        let Some(wanted) = expected.holds.get(&hold.id.uuid()).filter(|wanted| wanted.is_sure) else { return };
        let is_as_wanted = match wanted.state {
            State::Live => !hold.status.is_terminal(),
            State::Canceled => hold.status == Status::Canceled,
            State::Returned => hold.status == Status::Ended,
        };
        let is_end_as_wanted = match (wanted.claim, hold.reservation()) {
            (Claim::Reservation { end }, Some(reservation)) => reservation.end_time == run.instant(end),
            (Claim::Lock { .. }, None) => true,
            _ => false,
        };
        self.wrong.state += usize::from(!is_as_wanted);
        self.wrong.end += usize::from(!is_end_as_wanted);
        self.wrong.version += usize::from(hold.version != wanted.versions);
    }

    fn use_up(&mut self, hold: &Hold) {
        let Some(reservation) = hold.reservation() else { return };
        let steps = self.steps.entry(reservation.pool.clone()).or_default();
        for interval in hold.occupied() {
            *steps.entry(interval.start.timestamp_micros()).or_default() += i64::from(interval.quantity);
            *steps.entry(interval.end.timestamp_micros()).or_default() -= i64::from(interval.quantity);
        }
    }

    pub fn judge(&self, run: &Run, capacity: u32, faults: &mut Vec<String>) {
        fault(faults, self.wrong.state, "rows are not in the state that was answered last");
        fault(faults, self.wrong.end, "rows do not have the end that was answered last");
        fault(faults, self.wrong.version, "rows do not have as many versions as changes");
        fault(faults, self.wrong.still_held, "locks that were given back are still held in their rows");
        let overcommitted = self.steps.values().filter(|steps| peak(steps) > i64::from(capacity)).count();
        fault(faults, overcommitted, "pools have more in use than their capacity");
        let pools: HashSet<PoolName> = run.pool_names().collect();
        let foreign = self.steps.keys().filter(|pool| !pools.contains(pool)).count();
        fault(faults, foreign, "pools are none of this run's");
    }
}

/// The most units in use at any instant. Counted here anew, because the worker's own sums are what is in question.
fn peak(steps: &BTreeMap<i64, i64>) -> i64 {
    let mut load = 0;
    steps
        .values()
        .map(|step| {
            load += step;
            load
        })
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_that_touch_do_not_add_up() {
        let steps = |windows: &[(i64, i64)]| {
            let mut steps = BTreeMap::new();
            for (start, end) in windows {
                *steps.entry(*start).or_default() += 1;
                *steps.entry(*end).or_default() -= 1;
            }
            steps
        };
        assert_eq!(peak(&steps(&[(0, 10), (10, 20)])), 1);
        assert_eq!(peak(&steps(&[(0, 11), (10, 20)])), 2);
    }
}
