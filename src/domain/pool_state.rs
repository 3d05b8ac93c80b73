//! A pool and its units in use over time: in all, and in each of its zones. A reservation in a zone counts in both.

use std::collections::BTreeMap;

use super::booked::Stretch;
use super::hold::{Hold, Status, usage_change};
use super::id::{HoldId, ZoneName};
use super::resource::{CAPACITY_MAX, Capacity, Pool};
use super::usage::{self, Usage};
use super::window::{Delta, Instant, later};

/// As of the lane's last committed batch.
#[derive(Debug)]
pub struct PoolState {
    pub pool: Pool,
    /// Of everything that is booked, in whichever zone or in none.
    pub usage: Usage,
    /// Of what is booked in each zone: those that the pool has, and those that something is booked in.
    zones: BTreeMap<ZoneName, Usage>,
}

/// Takes back one [`PoolState::apply`].
#[derive(Debug)]
pub struct Undo {
    pool: usage::Undo,
    zone: Option<(ZoneName, usage::Undo)>,
}

impl PoolState {
    /// A pool of which nothing is booked.
    pub fn new(pool: Pool) -> PoolState {
        let usage = Usage::new(&pool.capacity);
        let mut state = PoolState { pool, usage, zones: BTreeMap::new() };
        state.set_capacities();
        state
    }

    /// Sets the configuration, and gives that of before. What is booked stays.
    pub fn configure(&mut self, pool: Pool) -> Pool {
        let before = std::mem::replace(&mut self.pool, pool);
        self.set_capacities();
        before
    }

    /// Looks at the pool as it would be with another configuration; `look` has to leave it as it is.
    pub fn with_config<T>(&mut self, wanted: &Pool, look: impl FnOnce(&mut PoolState) -> T) -> T {
        let before = self.configure(wanted.clone());
        let seen = look(self);
        self.configure(before);
        seen
    }

    fn set_capacities(&mut self) {
        self.usage.set_capacity(&self.pool.capacity);
        for zone in self.pool.zones.keys() {
            if !self.zones.contains_key(zone) {
                self.zones.insert(zone.clone(), Usage::new(&Capacity::Constant(0)));
            }
        }
        for (zone, usage) in &mut self.zones {
            usage.set_capacity(&zone_capacity(&self.pool, zone));
        }
    }

    /// Adds a hold that was read from the database.
    pub fn load(&mut self, hold: &Hold) {
        let lapses_at = hold.expires_at.filter(|_| hold.status == Status::Held);
        let zone = hold.reservation().and_then(|reservation| reservation.zone.as_ref());
        self.apply(hold.id, zone, &usage_change(None, hold), lapses_at);
    }

    /// Moves the load by a hold's change, as [`Usage::apply`] does. A hold's zone never changes.
    pub fn apply(&mut self, id: HoldId, zone: Option<&ZoneName>, change: &[Delta], lapses_at: Option<Instant>) -> Undo {
        let pool = self.usage.apply(id, change, lapses_at);
        let zone = zone.map(|zone| {
            let capacity = || Usage::new(&zone_capacity(&self.pool, zone));
            let usage = self.zones.entry(zone.clone()).or_insert_with(capacity);
            (zone.clone(), usage.apply(id, change, lapses_at))
        });
        Undo { pool, zone }
    }

    /// Takes back an `apply`, the latest first.
    pub fn undo(&mut self, undo: Undo) {
        self.usage.undo(undo.pool);
        if let Some((zone, undo)) = undo.zone
            && let Some(usage) = self.zones.get_mut(&zone)
        {
            usage.undo(undo);
        }
    }

    /// Takes out every claim whose time has come.
    pub fn lapse(&mut self, now: Instant) {
        self.usage.lapse(now);
        self.zones.values_mut().for_each(|usage| usage.lapse(now));
    }

    /// Forgets when things changed before `until`.
    pub fn fold(&mut self, until: Instant) {
        self.usage.fold(until);
        self.zones.values_mut().for_each(|usage| usage.fold(until));
    }

    /// The greatest load at any instant of `[start, end)`, of the pool or of the zone, whichever is greater: so many
    /// units are missing, or free where it is negative. A zone that the pool never had has no units.
    pub fn peak(&self, zone: Option<&ZoneName>, start: Instant, end: Instant) -> i64 {
        let of_pool = self.usage.peak(start, end);
        let of_zone = zone.map(|zone| self.zones.get(zone).map_or(0, |usage| usage.peak(start, end)));
        of_zone.map_or(of_pool, |of_zone| of_zone.max(of_pool))
    }

    /// The first instant from `start` on at which the load is above `limit`, of the pool or of the zone.
    pub fn first_above(&self, zone: Option<&ZoneName>, start: Instant, limit: i64) -> Option<Instant> {
        let of_pool = self.usage.first_above(start, limit);
        let of_zone = match zone.map(|zone| self.zones.get(zone)) {
            None => None,
            Some(Some(usage)) => usage.first_above(start, limit),
            Some(None) => (limit < 0).then_some(start),
        };
        of_pool.into_iter().chain(of_zone).min()
    }

    /// What is above `limit` at `start`, the pool or the zone, is so until this instant. It may be that one of them is
    /// above it again there: that is for the caller to see. `None`: it stays so for ever.
    pub fn above_until(&self, zone: Option<&ZoneName>, start: Instant, limit: i64) -> Option<Instant> {
        let of_pool = self.usage.first_at_most(start, limit)?;
        let of_zone = match zone.map(|zone| self.zones.get(zone)) {
            None => start,
            Some(Some(usage)) => usage.first_at_most(start, limit)?,
            Some(None) if limit < 0 => return None,
            Some(None) => start,
        };
        Some(of_pool.max(of_zone))
    }

    /// Every stretch from `now` on in which more is booked than there is: those of the pool, then those of each zone.
    pub fn overbooked(&self, now: Instant) -> Vec<Stretch> {
        let mut found = self.stretches(None, &self.usage, &self.pool.capacity, now);
        for (zone, usage) in &self.zones {
            found.extend(self.stretches(Some(zone), usage, &zone_capacity(&self.pool, zone), now));
        }
        found
    }

    fn stretches(&self, zone: Option<&ZoneName>, usage: &Usage, capacity: &Capacity, now: Instant) -> Vec<Stretch> {
        if usage.first_above(now, 0).is_none() {
            return Vec::new();
        }
        let stretch = |(start, end, load): (Instant, Option<Instant>, i64)| {
            let worst = usage.first_above(start, load - 1).unwrap_or(start);
            let available = capacity.at(worst);
            let requested = u32::try_from(i64::from(available).saturating_add(load)).unwrap_or(u32::MAX);
            let end = end.unwrap_or_else(|| later(now, self.pool.policy.horizon_seconds).max(start));
            Stretch { zone: zone.cloned(), start, end, requested, available }
        };
        usage.overcommitted(now).into_iter().map(stretch).collect()
    }
}

/// A zone that the pool has no longer, or never had, has no units.
fn zone_capacity(pool: &Pool, zone: &ZoneName) -> Capacity {
    match pool.zones.get(zone) {
        Some(Some(capacity)) => capacity.clone(),
        Some(None) => Capacity::Constant(CAPACITY_MAX),
        None => Capacity::Constant(0),
    }
}
