//! The dumbest right answer: for each reservation, its units in each minute. Knows nothing of intervals, deltas or
//! trees.

mod course;

use std::collections::BTreeMap;

use berth::domain::booked::{VictimOrder, Withdrawn};
use berth::domain::command::{Command, Part, PoolPut, Reserve};
use berth::domain::hold::Status;
use berth::domain::id::{HoldId, Lane, PoolName, ZoneName};
use berth::domain::outcome::{Answer, LockStatus, Outcome, Refusal, Shortfall};
use berth::domain::resource::{Capacity, LockName};
use berth::domain::state::Changes;
use berth::domain::window::{Instant, Interval};

use crate::ops::{minute, pool_name, second, zone_name};
use course::Course;

/// Longer than anything that is asked for.
const LENGTH: usize = 400;

struct Booked {
    pool: PoolName,
    zone: Option<ZoneName>,
    /// The second at which it was made.
    created: i64,
    /// It was ended, and what is left of it can't be taken back.
    is_over: bool,
    /// It was taken back within a minute, and is no longer in use in what is left of that.
    is_withdrawn: bool,
    units: Vec<u32>,
    /// How many it has kept; it can't be extended with more.
    kept: u32,
    /// While it is only held: the second at which it lapses.
    lapses_at: Option<i64>,
}

pub struct Minutes {
    capacity: BTreeMap<PoolName, u32>,
    /// Of zone 0.
    of_zone: BTreeMap<PoolName, u32>,
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
        let capacity: BTreeMap<PoolName, u32> = [(pool_name(0), 8), (pool_name(1), 8)].into();
        let of_zone = capacity.clone();
        let (booked, versions, seqs, fences, course) = Default::default();
        Minutes { capacity, of_zone, booked, versions, seqs, fences, course }
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

    /// In the whole pool, or in a zone.
    fn used(&self, pool: &PoolName, zone: Option<&ZoneName>, at: usize, now: i64) -> u32 {
        let is_in =
            |booked: &Booked| booked.pool == *pool && zone.is_none_or(|zone| booked.zone.as_ref() == Some(zone));
        let counts = |booked: &&Booked| is_in(booked) && booked.lapses_at.is_none_or(|lapses| now < lapses);
        self.booked.values().filter(counts).map(|booked| booked.units[at]).sum()
    }

    /// The same, without what was taken back within the running minute: it is in use no longer.
    fn used_from(&self, pool: &PoolName, zone: Option<&ZoneName>, at: usize, now: i64) -> u32 {
        let is_in =
            |booked: &Booked| booked.pool == *pool && zone.is_none_or(|zone| booked.zone.as_ref() == Some(zone));
        let is_gone = |booked: &&Booked| is_in(booked) && booked.is_withdrawn;
        let gone: u32 = self.booked.values().filter(is_gone).map(|booked| booked.units[at]).sum();
        self.used(pool, zone, at, now) - if at == usize::try_from(now / 60).unwrap() { gone } else { 0 }
    }

    fn free(&self, pool: &PoolName, zone: Option<&ZoneName>, start: Instant, end: Instant, now: i64) -> u32 {
        let range = number_of(start)..number_of(end);
        let free = |at| {
            let of_pool = self.capacity[pool].saturating_sub(self.used(pool, None, at, now));
            let of_zone = self.of_zone[pool].saturating_sub(self.used(pool, Some(&zone_name(0)), at, now));
            if zone == Some(&zone_name(0)) { of_pool.min(of_zone) } else { of_pool }
        };
        range.map(free).min().unwrap()
    }

    /// How many units too many are in use in a minute: negative where some are free.
    fn load(&self, pool: &PoolName, zone: Option<u8>, at: usize, now: i64) -> i64 {
        let load = |zone: Option<&ZoneName>, capacity: u32| {
            i64::from(self.used_from(pool, zone, at, now)) - i64::from(capacity)
        };
        let of_pool = load(None, self.capacity[pool]);
        if zone == Some(0) { of_pool.max(load(Some(&zone_name(0)), self.of_zone[pool])) } else { of_pool }
    }

    /// Never more in use than there is, from now on; and the loads are these, from the beginning.
    pub fn check_loads(&self, loads: &[i64], now: i64) {
        for (index, load) in loads.iter().enumerate() {
            let length = loads.len() / 6;
            let (pool, at) = (pool_name(u8::try_from(index / length / 3).unwrap()), index % length);
            let zone = [None, Some(0), Some(1)][index / length % 3];
            let expected = self.load(&pool, zone, at, now);
            assert_eq!(*load, expected, "{pool} {zone:?} in minute {at}");
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
                let booked = &self.booked[&extend.id];
                let free = self.free(&booked.pool, booked.zone.as_ref(), missing.start, missing.end, now);
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
                let Booked { units, kept, is_over, .. } = self.booked.get_mut(&terminate.id).unwrap();
                *is_over |= done.hold.status == Status::Ended;
                *kept = done.hold.reservation().unwrap().units.count();
                units[cut..].iter_mut().for_each(|units| *units = units.saturating_sub(count));
            }
            (Command::ReservationTerminate(it), Ok(Answer::Terminated(done))) => self.end(it.id, done.hold.status, now),
            (Command::PoolPut(put), outcome) => self.check_put(put, outcome, now),
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
            let available = self.free(&pool, reserve.zone.as_ref(), interval.start, interval.end, now);
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
        let (zone, created) = (reserve.zone.clone(), now);
        let (kept, is_over, is_withdrawn) = (u32::MAX, false, false);
        self.booked.insert(id, Booked { pool, zone, created, is_over, is_withdrawn, units, kept, lapses_at });
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

    /// Whatever it held is given back: from the next minute on where it ran, all of it where it did not.
    fn end(&mut self, id: HoldId, status: Status, now: i64) {
        let Booked { units, is_over, .. } = self.booked.get_mut(&id).unwrap();
        match status {
            Status::Canceled => units.fill(0),
            _ => units[usize::try_from((now + 59) / 60).unwrap()..].fill(0),
        }
        *is_over = true;
    }

    /// The minutes from now on in which too much is in use, in the pool or in zone 0.
    fn overbooked(&self, pool: &PoolName, zone: Option<u8>, now: i64) -> Vec<usize> {
        let from_now = usize::try_from(now / 60).unwrap()..LENGTH;
        from_now.filter(|at| self.load(pool, zone, *at, now) > 0).collect()
    }

    /// Who holds something in a minute in which too much is in use?
    fn in_the_way(&self, pool: &PoolName, now: i64) -> Vec<HoldId> {
        let (of_pool, of_zone) = (self.overbooked(pool, None, now), self.overbooked(pool, Some(0), now));
        let is_in_the_way = |booked: &Booked| {
            let minutes = if booked.zone == Some(zone_name(0)) { &of_zone } else { &of_pool };
            let is_live = !booked.is_over && booked.lapses_at.is_none_or(|lapses| now < lapses);
            is_live && booked.pool == *pool && minutes.iter().any(|at| booked.units[*at] > 0)
        };
        self.booked.iter().filter(|(_, booked)| is_in_the_way(booked)).map(|(id, _)| *id).collect()
    }

    /// It succeeds if and only if it fits; by force, those go that are in the way, in their order, and nobody else.
    fn check_put(&mut self, put: &PoolPut, outcome: &Outcome, now: i64) {
        let (pool, Capacity::Constant(capacity)) = (&put.pool, &put.capacity) else { panic!() };
        let Some(Some(Capacity::Constant(of_zone))) = put.zones.get(&zone_name(0)) else { panic!() };
        let before = (self.capacity[pool], self.of_zone[pool]);
        self.capacity.insert(pool.clone(), *capacity);
        self.of_zone.insert(pool.clone(), *of_zone);
        let fits = self.overbooked(pool, Some(0), now).is_empty();
        match (outcome, put.force) {
            (Ok(Answer::Pool(_)), _) => assert!(fits),
            (Ok(Answer::Lowered(lowered)), Some(order)) => self.check_withdrawn(pool, order, &lowered.withdrawn, now),
            (Err(Refusal::StillBooked { stretches, .. }), force) => {
                assert!(!fits && !stretches.is_empty());
                // Only what is over and counts to the end of its minute can be in the way of force.
                let running = usize::try_from(now / 60).unwrap();
                let is_stub = |booked: &&Booked| booked.pool == *pool && booked.is_over && !booked.is_withdrawn;
                let stubs = |zone: Option<ZoneName>| -> u32 {
                    let is_in = |it: &&Booked| zone.is_none() || it.zone == zone;
                    self.booked.values().filter(is_stub).filter(is_in).map(|booked| booked.units[running]).sum()
                };
                assert!(force.is_none() || stubs(None) > *capacity || stubs(Some(zone_name(0))) > *of_zone);
                (*self.capacity.get_mut(pool).unwrap(), *self.of_zone.get_mut(pool).unwrap()) = before;
            }
            (outcome, _) => panic!("{outcome:?}"),
        }
    }

    fn check_withdrawn(&mut self, pool: &PoolName, order: VictimOrder, withdrawn: &[Withdrawn], now: i64) {
        let mut before = None;
        for (position, victim) in withdrawn.iter().enumerate() {
            let booked = &self.booked[&victim.id];
            let in_the_way = self.in_the_way(pool, now);
            assert!(in_the_way.contains(&victim.id), "{victim:?} had not to go");
            let (by_quantity, by_age) = order.signs();
            let place = (by_quantity * i32::try_from(victim.quantity).unwrap(), i64::from(by_age) * booked.created);
            assert!(before.is_none_or(|before| before <= place), "in order");
            before = Some(place);
            if by_quantity == 0 {
                let goes_before = |other: &HoldId| i64::from(by_age) * self.booked[other].created < place.1;
                let goes_later = |other: &HoldId| withdrawn[position..].iter().any(|victim| victim.id == *other);
                let is_passed_over = |other: &HoldId| goes_before(other) && !goes_later(other);
                assert!(!in_the_way.iter().any(is_passed_over), "nobody is passed over");
            }
            self.end(victim.id, victim.status, now);
            self.booked.get_mut(&victim.id).unwrap().is_withdrawn = true;
        }
        assert!(self.overbooked(pool, Some(0), now).is_empty(), "the rest fits");
    }
}
