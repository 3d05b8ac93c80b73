//! Units in use over time, minus capacity: a step function that answers "does it fit" for any window.

use std::collections::{BTreeMap, BTreeSet};

use super::hold::Hold;
use super::id::HoldId;
use super::resource::Capacity;
use super::window::{Delta, Instant, from_micros};

/// The load of a pool: units in use minus capacity, at every instant. Above zero means overcommitted.
#[derive(Debug)]
pub struct Usage {
    /// How the load changes at each instant (microseconds).
    steps: BTreeMap<i64, i64>,
    capacity: Capacity,
    /// Claims that lapse by themselves, until their hold's next event.
    claims: BTreeMap<HoldId, Claim>,
    due: BTreeSet<(Instant, HoldId)>,
}

#[derive(Clone, Debug, PartialEq)]
struct Claim {
    lapses_at: Instant,
    spans: Vec<Delta>,
    /// Its spans have been taken out already, because its time had come before its event did.
    has_lapsed: bool,
}

/// Takes back one [`Usage::apply`].
#[derive(Debug)]
pub struct Undo {
    id: HoldId,
    applied: Vec<Delta>,
    claim_before: Option<Claim>,
}

impl Usage {
    pub fn new(capacity: &Capacity) -> Usage {
        let mut usage = Usage {
            steps: BTreeMap::new(),
            capacity: Capacity::Constant(0),
            claims: BTreeMap::new(),
            due: BTreeSet::new(),
        };
        usage.set_capacity(capacity);
        usage
    }

    /// Adds a hold that was read from the database.
    pub fn load(&mut self, hold: &Hold) {
        let _ = self;
        let _ = hold;
        todo!()
    }

    /// Moves the load by a hold's change. `lapses_at`: when what the hold claims lapses by itself.
    pub fn apply(&mut self, id: HoldId, change: &[Delta], lapses_at: Option<Instant>) -> Undo {
        let _ = (id, change, lapses_at, &self.claims, &self.due);
        todo!()
    }

    pub fn undo(&mut self, undo: Undo) {
        let _ = (undo.id, undo.applied, undo.claim_before);
        todo!()
    }

    /// Takes out every claim whose time has come, whether or not its event has been written.
    pub fn lapse(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }

    /// Forgets when things changed before `until`: only the sum is kept.
    pub fn fold(&mut self, until: Instant) {
        let _ = until;
        todo!()
    }

    pub fn set_capacity(&mut self, capacity: &Capacity) {
        self.capacity = capacity.clone();
        todo!()
    }

    /// The greatest load at any instant of `[start, end)`.
    pub fn peak(&self, start: Instant, end: Instant) -> i64 {
        let _ = (start, end);
        todo!()
    }

    /// The first instant at or after `start` at which the load is above `limit`; `None`: never.
    pub fn first_above(&self, start: Instant, limit: i64) -> Option<Instant> {
        let _ = (start, limit, from_micros(0), &self.steps);
        todo!()
    }

    /// Every stretch from `from` on in which more is in use than there is, as `(start, end, load)` with the greatest
    /// load of the stretch; the last may have no end.
    pub fn overcommitted(&self, from: Instant) -> Vec<(Instant, Option<Instant>, i64)> {
        let _ = from;
        todo!()
    }
}
