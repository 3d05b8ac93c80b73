//! The dumbest right answer: for each reservation, its units in each minute. Knows nothing of intervals, deltas or
//! trees.

mod course;

use std::collections::BTreeMap;

use berth::domain::command::{Command, Part, Reserve};
use berth::domain::hold::Status;
use berth::domain::id::{HoldId, Lane, PoolName};
use berth::domain::outcome::{Answer, LockStatus, Outcome, Refusal, Shortfall};
use berth::domain::resource::{Capacity, LockName};
use berth::domain::state::Changes;
use berth::domain::window::{Instant, Interval};

use crate::ops::{minute, pool_name, second};
use course::Course;

/// Longer than anything that is asked for.
const LENGTH: usize = 400;

struct Booked {
    pool: PoolName,
    units: Vec<u32>,
    /// How many it has kept; it can't be extended with more.
    kept: u32,
    /// While it is only held: the second at which it lapses.
    lapses_at: Option<i64>,
}

pub struct Minutes {
    capacity: BTreeMap<PoolName, u32>,
    booked: BTreeMap<HoldId, Booked>,
    versions: BTreeMap<HoldId, u32>,
    seqs: BTreeMap<Lane, i64>,
    fences: BTreeMap<LockName, i64>,
    course: Course,
}

/// The number of the minute in which an instant lies.
fn number_of(at: Instant) -> usize {
    usize::try_from((at - second(0)).num_seconds() / 60).unwrap()
}

impl Minutes {
    pub fn new() -> Minutes {
        let capacity = [(pool_name(0), 8), (pool_name(1), 8)].into();
        let (booked, versions, seqs, fences, course) = Default::default();
        Minutes { capacity, booked, versions, seqs, fences, course }
    }

    /// Versions and sequence numbers have no gaps; pauses are credited and ends announced as they should.
    pub fn record(&mut self, changes: &Changes) {
        for event in &changes.events {
            let version = self.versions.entry(event.hold.id).or_default();
            *version += 1;
            assert_eq!(event.hold.version, *version, "{event:?}");
            let seq = self.seqs.entry(event.lane).or_default();
            *seq += 1;
            assert_eq!(event.seq, *seq, "{event:?}");
            let booked = self.booked.get(&event.hold.id);
            let units_at = |second: i64| {
                let in_minute = |it: &Booked| it.units[usize::try_from(second / 60).unwrap()].min(it.kept);
                booked.map_or(0, in_minute)
            };
            self.course.record(event, units_at);
        }
        for hold in changes.inserted.iter().chain(&changes.updated) {
            assert_eq!(self.versions[&hold.id], hold.version, "written with its last state");
        }
    }

    fn used(&self, pool: &PoolName, at: usize, now: i64) -> u32 {
        let counts = |booked: &&Booked| booked.pool == *pool && booked.lapses_at.is_none_or(|lapses| now < lapses);
        self.booked.values().filter(counts).map(|booked| booked.units[at]).sum()
    }

    fn free(&self, pool: &PoolName, start: Instant, end: Instant, now: i64) -> u32 {
        let range = number_of(start)..number_of(end);
        range.map(|at| self.capacity[pool].saturating_sub(self.used(pool, at, now))).min().unwrap()
    }

    /// Never more in use than there is, from now on; and the loads are these, from the beginning.
    pub fn check_loads(&self, loads: &[Option<i64>], now: i64) {
        for (index, load) in loads.iter().enumerate() {
            let half = loads.len() / 2;
            let (pool, at) = (pool_name(u8::try_from(index / half).unwrap()), index % half);
            let expected = i64::from(self.used(&pool, at, now)) - i64::from(self.capacity[&pool]);
            assert_eq!(*load, Some(expected), "{pool} in minute {at}");
            assert!(expected <= 0 || at < usize::try_from(now / 60).unwrap(), "{pool} is overcommitted at {at}");
        }
    }

    /// Checks an outcome, and does the same to the minutes.
    pub fn check(&mut self, command: &Command, made: Option<&HoldId>, outcome: &Outcome, now: i64) {
        match (command, outcome) {
            (Command::Reserve(reserve), outcome) => self.check_reserve(reserve, *made.unwrap(), outcome, now),
            (Command::Extend(extend), Err(Refusal::InsufficientCapacity { intervals, .. })) => {
                let missing = intervals[0];
                assert_eq!((missing.end, intervals.len()), (extend.end_time, 1));
                let free = self.free(&self.booked[&extend.id].pool, missing.start, missing.end, now);
                assert_eq!(missing.available, free);
                assert!(missing.requested > free);
            }
            (Command::Extend(extend), Ok(_)) => {
                let Booked { units, kept, .. } = self.booked.get_mut(&extend.id).unwrap();
                let end = units.iter().rposition(|units| *units > 0).unwrap() + 1;
                let last = units[end - 1].min(*kept);
                units[end..number_of(extend.end_time).max(end)].fill(last);
            }
            (Command::Confirm(confirm), outcome) => self.check_confirm(confirm.id, confirm.quantity, outcome, now),
            (Command::Cancel(cancel), Ok(_)) => self.booked.get_mut(&cancel.id).unwrap().units.fill(0),
            (Command::Terminate(terminate), Ok(Answer::Terminated(done))) => {
                let count = u32::try_from(done.terminated_units.len()).unwrap();
                match &terminate.part {
                    Part::Quantity(quantity) if !done.hold.status.is_terminal() => assert_eq!(count, *quantity),
                    _ => {}
                }
                let count = if done.hold.status == Status::Ended && count > 0 { u32::MAX } else { count };
                let cut = usize::try_from((now + 59) / 60).unwrap();
                let Booked { units, kept, .. } = self.booked.get_mut(&terminate.id).unwrap();
                *kept = done.hold.reservation().unwrap().units.count();
                units[cut..].iter_mut().for_each(|units| *units = units.saturating_sub(count));
            }
            (Command::Update(update), Ok(Answer::Reservation(hold))) => {
                let is_paused = hold.status == Status::Paused;
                assert_eq!(is_paused, update.paused.unwrap_or(is_paused));
                let reservation = hold.reservation().unwrap();
                assert_eq!(reservation.name, update.name.clone().or(reservation.name.clone()));
            }
            (Command::Update(update), Err(Refusal::InvalidState { status, .. })) => {
                assert!(status.is_terminal() || update.paused == Some(true) && *status != Status::Active);
            }
            (Command::Update(_), Err(refusal)) => {
                assert!(matches!(refusal, Refusal::NotFound | Refusal::HoldExpired), "{refusal:?}");
            }
            (Command::PoolPut(put), outcome) => self.check_put(&put.pool, &put.capacity, outcome, now),
            (Command::Lock(_), Ok(Answer::Lock(answer))) if answer.status == LockStatus::Acquired => {
                let claim = answer.claim.as_ref().unwrap();
                let fence = claim.lock().unwrap().fencing_token;
                let before = self.fences.insert(claim.lock_name().unwrap(), fence);
                assert!(before.is_none_or(|before| before < fence));
            }
            _ => {}
        }
    }

    /// It succeeds if and only if it fits.
    fn check_reserve(&mut self, reserve: &Reserve, id: HoldId, outcome: &Outcome, now: i64) {
        let pool = reserve.pool.clone().unwrap();
        let missing = |interval: &Interval| {
            let available = self.free(&pool, interval.start, interval.end, now);
            let Interval { start, end, quantity: requested } = *interval;
            (requested > available).then_some(Shortfall { start, end, requested, available })
        };
        let missing: Vec<Shortfall> = reserve.intervals.iter().filter_map(missing).collect();
        if !missing.is_empty() {
            let Err(Refusal::InsufficientCapacity { intervals, .. }) = outcome else { panic!("{outcome:?}") };
            assert_eq!(*intervals, missing);
            return;
        }
        assert!(outcome.is_ok(), "{outcome:?}");
        let mut units = vec![0; LENGTH];
        for interval in &reserve.intervals {
            units[number_of(interval.start)..number_of(interval.end)].fill(interval.quantity);
        }
        let end = reserve.intervals.last().unwrap().end;
        let lapses_at = reserve.hold_seconds.map(|hold| (now + i64::from(hold)).min((end - minute(0)).num_seconds()));
        self.booked.insert(id, Booked { pool, units, kept: u32::MAX, lapses_at });
    }

    fn check_confirm(&mut self, id: HoldId, quantity: Option<u32>, outcome: &Outcome, now: i64) {
        let Some(booked) = self.booked.get_mut(&id) else {
            return assert_eq!(*outcome, Err(Refusal::NotFound));
        };
        let is_canceled = booked.units.iter().all(|units| *units == 0);
        match booked.lapses_at {
            Some(lapses_at) if lapses_at <= now && !is_canceled => assert_eq!(*outcome, Err(Refusal::HoldExpired)),
            Some(_) if outcome.is_ok() => {
                let most = booked.units.iter().copied().max().unwrap();
                let surplus = most - quantity.unwrap_or(most);
                booked.units.iter_mut().for_each(|units| *units = units.saturating_sub(surplus));
                booked.lapses_at = None;
            }
            _ => {}
        }
    }

    fn check_put(&mut self, pool: &PoolName, capacity: &Capacity, outcome: &Outcome, now: i64) {
        let Capacity::Constant(capacity) = *capacity else { return };
        let mut from_now = usize::try_from(now / 60).unwrap()..LENGTH;
        assert_eq!(outcome.is_ok(), from_now.all(|at| self.used(pool, at, now) <= capacity), "{outcome:?}");
        if outcome.is_ok() {
            self.capacity.insert(pool.clone(), capacity);
        }
    }
}
