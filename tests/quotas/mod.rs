//! The dumbest right answer for quotas: every live hold of the tenant looked at, minute by minute.

use berth::domain::command::Command;
use berth::domain::hold::{Hold, Status};
use berth::domain::id::Tenant;
use berth::domain::outcome::{Outcome, Refusal};
use berth::domain::quota::{Limits, Quota};
use berth::domain::tick::as_of;
use berth::domain::window::{Instant, Interval};

use crate::ops::minute;
use crate::world::World;

/// Minutes; longer than anything that is asked for.
const LENGTH: i64 = 400;
const HOUR: i128 = 3_600_000_000;

pub fn acme() -> Tenant {
    Tenant::parse("acme").unwrap()
}

/// What the tenant has at an instant, in its holds' own words.
pub struct Counted {
    now: Instant,
    intervals: Vec<Interval>,
    locks: u64,
}

impl Counted {
    pub fn of(world: &World, now: Instant) -> Counted {
        let holds: Vec<Hold> = world.holds.values().map(|hold| as_of(hold.clone(), now)).collect();
        let counts = |hold: &&Hold| {
            matches!(hold.status, Status::Held | Status::Pending | Status::Active | Status::Paused)
                && hold.tenant == acme()
        };
        let (locks, reservations): (Vec<&Hold>, Vec<&Hold>) =
            holds.iter().filter(counts).partition(|hold| hold.lock().is_some());
        let intervals = reservations.iter().flat_map(|hold| hold.reservation().unwrap().intervals.clone()).collect();
        Counted { now, intervals, locks: locks.len() as u64 }
    }

    /// The most units at any instant of a window, but for what is past.
    fn units(&self, start: Instant, end: Instant) -> u64 {
        let at = |number| {
            let (from, to) = (minute(number).max(start).max(self.now), minute(number + 1).min(end));
            let covers = |interval: &&Interval| interval.start <= from && to <= interval.end;
            let units = self.intervals.iter().filter(covers).map(|interval| u64::from(interval.quantity)).sum();
            if from < to { units } else { 0 }
        };
        (0..LENGTH).map(at).max().unwrap()
    }

    fn unit_micros(&self, intervals: &[Interval]) -> i128 {
        let one = |it: &Interval| {
            let micros = (it.end - it.start.max(self.now)).num_microseconds().unwrap().max(0);
            i128::from(micros) * i128::from(it.quantity)
        };
        intervals.iter().map(one).sum()
    }

    /// Units, begun unit-hours and locks, as they are shown.
    pub fn shown(&self) -> (u64, u64, u64) {
        let hours = (self.unit_micros(&self.intervals) + HOUR - 1) / HOUR;
        (self.units(self.now, minute(LENGTH)), u64::try_from(hours).unwrap(), self.locks)
    }

    pub fn is_within(&self, limits: &Limits) -> bool {
        let (units, _, locks) = self.shown();
        let hours = limits.unit_hours.is_none_or(|max| self.unit_micros(&self.intervals) <= i128::from(max) * HOUR);
        hours && limits.units.is_none_or(|max| units <= max) && limits.locks.is_none_or(|max| locks <= max)
    }

    /// Checks an outcome against what there was before it. `added`: what an extension adds.
    pub fn check(&self, limits: &Limits, command: &Command, added: Option<Interval>, outcome: &Outcome) {
        let asked: Vec<Interval> = match command {
            Command::Reserve(reserve) => reserve.intervals.clone(),
            _ => added.into_iter().collect(),
        };
        let ahead = asked.iter().filter(|it| it.end > self.now);
        let misfit = ahead
            .map(|it| (self.units(it.start, it.end), u64::from(it.quantity)))
            .find(|(used, requested)| limits.units.is_some_and(|max| used + requested > max));
        let all = self.unit_micros(&self.intervals) + self.unit_micros(&asked);
        let has_hours = limits.unit_hours.is_none_or(|max| all <= i128::from(max) * HOUR);
        match outcome {
            Err(Refusal::QuotaExceeded { quota: Quota::Units, used, requested, .. }) => {
                assert_eq!(misfit, Some((*used, *requested)));
            }
            Err(Refusal::QuotaExceeded { quota: Quota::UnitHours, limit, used, requested }) => {
                assert!(misfit.is_none() && !has_hours && used + requested > *limit);
            }
            Err(Refusal::QuotaExceeded { quota: Quota::Locks, limit, used, .. }) => {
                assert_eq!((*used, *limit), (self.locks, limits.locks.unwrap()));
                assert!(used >= limit);
            }
            // Looked at after the quota.
            Err(Refusal::InsufficientCapacity { .. }) if !asked.is_empty() => assert!(misfit.is_none() && has_hours),
            _ => {}
        }
    }
}
