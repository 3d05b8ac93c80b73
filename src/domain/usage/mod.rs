//! Units in use over time, minus capacity: a step function that answers "does it fit" for any window.

mod steps;

use std::collections::{BTreeMap, BTreeSet};

use self::steps::Steps;
use super::hold::{Hold, Status, usage_change};
use super::id::HoldId;
use super::resource::Capacity;
use super::window::{Delta, Instant, from_micros};

/// The load of a pool: units in use minus capacity, at every instant. Above zero means overcommitted.
#[derive(Debug)]
pub struct Usage {
    /// How the load changes over time, from `folded_until` on.
    steps: Steps,
    /// The load before the first step.
    base: i64,
    /// Microseconds since 1970: what changed before is only in `base`.
    folded_until: i64,
    capacity: Capacity,
    /// Claims that lapse by themselves, until their hold's next event.
    claims: BTreeMap<HoldId, Claim>,
    /// Those of them that have not lapsed.
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
            steps: Steps::new(),
            base: 0,
            folded_until: i64::MIN,
            capacity: Capacity::Constant(0),
            claims: BTreeMap::new(),
            due: BTreeSet::new(),
        };
        usage.set_capacity(capacity);
        usage
    }

    /// Adds a hold that was read from the database.
    pub fn load(&mut self, hold: &Hold) {
        let lapses_at = hold.expires_at.filter(|_| hold.status == Status::Held);
        self.apply(hold.id, &usage_change(None, hold), lapses_at);
    }

    /// Moves the load by a hold's change. `lapses_at`: when what the hold claims lapses by itself.
    ///
    /// `change` counts from what the hold had before, so that of a claim that has lapsed already is not taken out a
    /// second time. A hold that claims without lapsing never lapses later.
    pub fn apply(&mut self, id: HoldId, change: &[Delta], lapses_at: Option<Instant>) -> Undo {
        let claim_before = self.remove_claim(id);
        let mut applied = change.to_vec();
        let mut spans = Vec::new();
        if let Some(claim) = &claim_before {
            spans.clone_from(&claim.spans);
            if claim.has_lapsed {
                applied.extend_from_slice(&claim.spans);
            }
        }
        self.add(&applied, 1);
        if let Some(lapses_at) = lapses_at {
            spans.extend_from_slice(change);
            self.insert_claim(id, Claim { lapses_at, spans, has_lapsed: false });
        }
        Undo { id, applied, claim_before }
    }

    /// Takes back an `apply`, the latest first. What lapsed in between stays lapsed.
    pub fn undo(&mut self, undo: Undo) {
        if let Some(claim) = self.remove_claim(undo.id)
            && claim.has_lapsed
        {
            self.add(&claim.spans, 1);
        }
        self.add(&undo.applied, -1);
        if let Some(claim) = undo.claim_before {
            self.insert_claim(undo.id, claim);
        }
    }

    /// Takes out every claim whose time has come, whether or not its event has been written.
    pub fn lapse(&mut self, now: Instant) {
        while let Some((lapses_at, id)) = self.due.first().copied()
            && lapses_at <= now
        {
            self.due.pop_first();
            if let Some(mut claim) = self.claims.remove(&id) {
                self.add(&claim.spans, -1);
                claim.has_lapsed = true;
                self.claims.insert(id, claim);
            }
        }
    }

    /// Forgets when things changed before `until`: only the sum is kept. What is asked about earlier instants from
    /// then on is answered as for `until`.
    pub fn fold(&mut self, until: Instant) {
        let until = until.timestamp_micros();
        if until > self.folded_until {
            self.base += self.steps.take_before(until);
            self.folded_until = until;
        }
    }

    pub fn set_capacity(&mut self, capacity: &Capacity) {
        let before = std::mem::replace(&mut self.capacity, capacity.clone());
        self.add_capacity(&before, 1);
        self.add_capacity(capacity, -1);
    }

    /// The greatest load at any instant of `[start, end)`.
    pub fn peak(&self, start: Instant, end: Instant) -> i64 {
        self.base + self.steps.peak(start.timestamp_micros(), end.timestamp_micros())
    }

    /// The first instant at or after `start` at which the load is above `limit`; `None`: never.
    pub fn first_above(&self, start: Instant, limit: i64) -> Option<Instant> {
        let limit = limit.saturating_sub(self.base);
        match self.steps.sum_at(start.timestamp_micros()) > limit {
            true => Some(start),
            false => self.steps.first_above(start.timestamp_micros(), limit).map(from_micros),
        }
    }

    /// The first instant at or after `start` at which the load is `limit` or less; `None`: never.
    pub fn first_at_most(&self, start: Instant, limit: i64) -> Option<Instant> {
        let limit = limit.saturating_sub(self.base);
        match self.steps.sum_at(start.timestamp_micros()) <= limit {
            true => Some(start),
            false => self.steps.first_at_most(start.timestamp_micros(), limit).map(from_micros),
        }
    }

    /// Every stretch from `from` on in which more is in use than there is, as `(start, end, load)` with the greatest
    /// load of the stretch; the last may have no end. Looks at everything from `from` on: for refusals only.
    pub fn overcommitted(&self, from: Instant) -> Vec<(Instant, Option<Instant>, i64)> {
        let mut load = self.base + self.steps.sum_at(from.timestamp_micros());
        let mut open = (load > 0).then_some((from, load));
        let mut found = Vec::new();
        for (at, delta) in self.steps.after(from.timestamp_micros()) {
            load += delta;
            open = match (open, load > 0) {
                (Some((start, peak)), true) => Some((start, load.max(peak))),
                (None, true) => Some((from_micros(at), load)),
                (Some((start, peak)), false) => {
                    found.push((start, Some(from_micros(at)), peak));
                    None
                }
                (None, false) => None,
            };
        }
        found.extend(open.map(|(start, peak)| (start, None, peak)));
        found
    }

    fn remove_claim(&mut self, id: HoldId) -> Option<Claim> {
        let claim = self.claims.remove(&id)?;
        self.due.remove(&(claim.lapses_at, id));
        Some(claim)
    }

    fn insert_claim(&mut self, id: HoldId, claim: Claim) {
        if !claim.has_lapsed {
            self.due.insert((claim.lapses_at, id));
        }
        self.claims.insert(id, claim);
    }

    fn add(&mut self, spans: &[Delta], sign: i64) {
        for span in spans {
            self.step(span.start, sign * span.units);
            self.step(span.end, -sign * span.units);
        }
    }

    fn add_capacity(&mut self, capacity: &Capacity, sign: i64) {
        match capacity {
            Capacity::Constant(quantity) => self.base += sign * i64::from(*quantity),
            Capacity::Schedule(steps) => {
                let mut before = 0;
                for step in steps {
                    let quantity = i64::from(step.quantity);
                    self.step(step.effective_at, sign * (quantity - before));
                    before = quantity;
                }
            }
        }
    }

    fn step(&mut self, at: Instant, delta: i64) {
        match at.timestamp_micros() {
            at if at < self.folded_until => self.base += delta,
            at => self.steps.add(at, delta),
        }
    }
}

#[cfg(test)]
mod tests;
