//! What is held of a pool over time, as a step function.

use std::collections::BTreeMap;

use super::hold::{Hold, Status};
use super::id::ZoneName;
use super::window::{Instant, Interval};

/// From `effective_at` on so many units, until the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub effective_at: Instant,
    pub units: i64,
}

/// The sum of some reservations' intervals from an instant on. Takes room for each instant at which it may change,
/// not for each reservation.
#[derive(Clone, Debug)]
pub struct Schedule {
    from: Instant,
    changes: BTreeMap<Instant, i64>,
}

impl Schedule {
    pub fn new(from: Instant) -> Schedule {
        Schedule { from, changes: BTreeMap::new() }
    }

    /// Adds what a reservation holds and has held.
    pub fn add(&mut self, hold: &Hold) {
        for interval in held(hold).filter(|interval| interval.end > self.from) {
            let units = i64::from(interval.quantity);
            *self.changes.entry(interval.start.max(self.from)).or_default() += units;
            *self.changes.entry(interval.end).or_default() -= units;
        }
    }

    /// The first step stands at the schedule's first instant, no two neighbours are equal, the last is of 0 units.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = vec![Step { effective_at: self.from, units: 0 }];
        let mut units = 0;
        for (at, change) in &self.changes {
            units += change;
            match steps.last_mut() {
                Some(last) if last.units == units => {}
                Some(last) if last.effective_at == *at => last.units = units,
                _ => steps.push(Step { effective_at: *at, units }),
            }
        }
        steps
    }
}

/// What some reservations of a pool hold of it: in all, and in each zone in which they hold anything.
#[derive(Clone, Debug)]
pub struct Allocation {
    total: Schedule,
    by_zone: BTreeMap<ZoneName, Schedule>,
}

impl Allocation {
    pub fn new(from: Instant) -> Allocation {
        Allocation { total: Schedule::new(from), by_zone: BTreeMap::new() }
    }

    /// Adds what a reservation holds and has held.
    pub fn add(&mut self, hold: &Hold) {
        self.total.add(hold);
        if let Some(zone) = hold.reservation().and_then(|reservation| reservation.zone.as_ref()) {
            let from = self.total.from;
            self.by_zone.entry(zone.clone()).or_insert_with(|| Schedule::new(from)).add(hold);
        }
    }

    pub fn total(&self) -> Vec<Step> {
        self.total.steps()
    }

    pub fn by_zone(&self) -> BTreeMap<ZoneName, Vec<Step>> {
        let steps = self.by_zone.iter().map(|(zone, schedule)| (zone.clone(), schedule.steps()));
        steps.filter(|(_, steps)| steps.iter().any(|step| step.units != 0)).collect()
    }
}

/// The intervals that a reservation holds and has held. One that was terminated has them as they were cut; one that
/// was given up or ran out before it was confirmed held them until then.
fn held(hold: &Hold) -> impl Iterator<Item = Interval> {
    let until = match hold.status {
        Status::Canceled | Status::Expired => hold.deactivated_at,
        _ => None,
    };
    let intervals = match (hold.status, hold.reservation()) {
        (Status::Waitlisted, _) | (_, None) => &[][..],
        (_, Some(reservation)) => &reservation.intervals,
    };
    let cut = move |interval: &Interval| {
        let end = until.map_or(interval.end, |until| interval.end.min(until));
        (interval.start < end).then_some(Interval { end, ..*interval })
    };
    intervals.iter().filter_map(cut)
}
