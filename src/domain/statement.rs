//! What a reservation was granted, has used and costs, told from its events: what `usage` shows.

use std::collections::VecDeque;

use super::command::UnitId;
use super::event::EventType;
use super::hold::{Hold, Reservation, Status, Units};
use super::id::Label;
use super::past::Recorded;
use super::window::{Instant, Interval};

/// Of each list the latest so many are told.
pub const LINES_MAX: usize = 1_000;

/// Units over one interval, at one price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// 0, 1, 2 …: its place among the reservation's grants.
    pub number: u32,
    pub interval: Interval,
    /// Cents per unit-hour.
    pub unit_price_cents: i64,
    /// What was credited while it was the latest, cents.
    pub pause_credit_cents: i64,
    pub return_credit_cents: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitStatus {
    Running,
    Paused,
    Terminated,
}

/// What became of one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitChange {
    /// The version of the reservation that changed it.
    pub version: u32,
    pub at: Instant,
    pub unit: UnitId,
    pub status: UnitStatus,
}

/// One of the events of the reservation as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Milestone {
    pub at: Instant,
    pub event_type: EventType,
    pub name: Option<Label>,
}

/// Unit-microseconds, and cents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Over all intervals, as they stand.
    pub reserved: i128,
    /// Up to now, while Active and while Paused.
    pub active: i128,
    pub idle: i128,
    pub pause_credit_cents: i64,
    pub return_credit_cents: i64,
}

/// Events in, in the order of their versions; the statement out.
#[derive(Debug, Default)]
pub struct Statement {
    last: Option<Recorded>,
    grants: VecDeque<Grant>,
    granted: u32,
    units: VecDeque<UnitChange>,
    milestones: VecDeque<Milestone>,
    sums: Sums,
}

/// A statement as of `at`.
#[derive(Debug)]
pub struct Stated {
    pub at: Instant,
    pub hold: Hold,
    pub sums: Sums,
    /// In the order in which they were made; the latest [`LINES_MAX`] of each.
    pub grants: VecDeque<Grant>,
    pub units: VecDeque<UnitChange>,
    pub milestones: VecDeque<Milestone>,
}

impl Statement {
    pub fn add(&mut self, event: Recorded) {
        self.run_to(event.effective_at);
        self.grant(&event);
        self.credit(&event);
        self.tell_units(&event);
        self.tell_milestone(&event);
        self.last = Some(event);
    }

    /// `present`: the reservation, for where no event is known.
    pub fn finish(mut self, at: Instant, present: Hold) -> Stated {
        self.run_to(at);
        let hold = self.last.map_or(present, |last| last.hold);
        self.sums.reserved = hold.occupied().iter().map(|interval| unit_micros(interval, None)).sum();
        let Statement { sums, grants, units, milestones, .. } = self;
        Stated { at, hold, sums, grants, units, milestones }
    }

    /// Counts what ran, or was paused, from the last event to `at`.
    fn run_to(&mut self, at: Instant) {
        let Some(last) = &self.last else { return };
        let sum = match last.hold.status {
            Status::Active => &mut self.sums.active,
            Status::Paused => &mut self.sums.idle,
            _ => return,
        };
        let within = Some((last.effective_at, at));
        *sum += last.hold.occupied().iter().map(|interval| unit_micros(interval, within)).sum::<i128>();
    }

    fn grant(&mut self, event: &Recorded) {
        let Some(after) = event.hold.reservation() else { return };
        let before = self.last.as_ref().and_then(|last| last.hold.reservation());
        let added: Vec<Interval> = match (event.event_type, before) {
            // What a part of a hold confirms takes the hold's place.
            (EventType::Placed | EventType::Held, _) | (_, None) => {
                self.grants.clear();
                self.granted = 0;
                after.intervals.clone()
            }
            (EventType::Extended, Some(before)) => extension(before, after).into_iter().collect(),
            _ => Vec::new(),
        };
        for interval in added {
            let unit_price_cents = after.unit_price_cents;
            let number = self.granted;
            self.granted += 1;
            let grant = Grant { number, interval, unit_price_cents, pause_credit_cents: 0, return_credit_cents: 0 };
            push(&mut self.grants, grant);
        }
    }

    /// Credits are computed by the offer of the latest grant, and told with it.
    fn credit(&mut self, event: &Recorded) {
        let (pause, return_) = (event.pause_credit_cents.unwrap_or(0), event.return_credit_cents.unwrap_or(0));
        let add = |sum: &mut i64, cents: i64| *sum = sum.saturating_add(cents);
        add(&mut self.sums.pause_credit_cents, pause);
        add(&mut self.sums.return_credit_cents, return_);
        if let Some(latest) = self.grants.back_mut() {
            add(&mut latest.pause_credit_cents, pause);
            add(&mut latest.return_credit_cents, return_);
        }
    }

    fn tell_units(&mut self, event: &Recorded) {
        let Recorded { effective_at: at, hold, .. } = event;
        let before = match &self.last {
            Some(last) => Some(&last.hold),
            None if hold.version > 1 => return, // the beginning is forgotten
            None => None,
        };
        let (was, is) = (before.and_then(live_units), live_units(hold));
        let is_same_status = before.is_some_and(|before| before.status == hold.status);
        if is_same_status && was == is {
            return;
        }
        let none = Units::default();
        let (was, is) = (was.unwrap_or(&none), is.unwrap_or(&none));
        let change = |number, status| UnitChange {
            version: hold.version,
            at: *at,
            unit: UnitId { hold: hold.id, number },
            status,
        };
        for number in was.iter().filter(|number| !is.contains(*number)) {
            push(&mut self.units, change(number, UnitStatus::Terminated));
        }
        let status = if hold.status == Status::Paused { UnitStatus::Paused } else { UnitStatus::Running };
        for number in is.iter().filter(|_| !is_same_status) {
            push(&mut self.units, change(number, status));
        }
    }

    fn tell_milestone(&mut self, event: &Recorded) {
        if matches!(event.event_type.name(), "active" | "paused" | "extended") {
            let name = event.hold.reservation().and_then(|reservation| reservation.name.clone());
            let milestone = Milestone { at: event.effective_at, event_type: event.event_type, name };
            push(&mut self.milestones, milestone);
        }
    }
}

/// The units of a reservation that has started and is not over: at its end it shows them still.
fn live_units(hold: &Hold) -> Option<&Units> {
    let is_bound = matches!(hold.status, Status::Active | Status::Paused);
    hold.reservation().filter(|_| is_bound).map(|reservation| &reservation.units)
}

fn push<T>(lines: &mut VecDeque<T>, line: T) {
    if lines.len() == LINES_MAX {
        lines.pop_front();
    }
    lines.push_back(line);
}

/// What an extension added: at the quantity of the last interval.
fn extension(before: &Reservation, after: &Reservation) -> Option<Interval> {
    let (start, end) = (before.end_time, after.end_time);
    let last = after.intervals.last().filter(|_| start < end)?;
    Some(Interval { start, end, quantity: last.quantity })
}

/// Units × microseconds of an interval, within a window where one is given.
fn unit_micros(interval: &Interval, within: Option<(Instant, Instant)>) -> i128 {
    let (from, to) = within.unwrap_or((interval.start, interval.end));
    let micros = interval.end.min(to).timestamp_micros() - interval.start.max(from).timestamp_micros();
    i128::from(micros.max(0)) * i128::from(interval.quantity)
}
