//! Deciding without doing: what a dry run changes is noted, and taken back when it has been decided.

use std::collections::{BTreeMap, BTreeSet};

use super::{Head, Known, Rollback, State};
use crate::domain::hold::Hold;
use crate::domain::id::{HoldId, Lane, PoolName};
use crate::domain::quota::Touched;
use crate::domain::resource::LockName;

/// What has been changed during a trial, as it was before; latest last.
#[derive(Debug, Default)]
pub(super) struct Trial {
    /// `None`: there was no such hold.
    holds: Vec<(HoldId, Option<Known>)>,
    /// The claims on a lock; `None`: there were none.
    claims: Vec<(LockName, Option<BTreeSet<HoldId>>)>,
}

/// Where a trial began.
struct Checkpoint {
    heads: BTreeMap<Lane, Head>,
    changed_pools: BTreeSet<PoolName>,
    changed_resources: BTreeSet<LockName>,
    tenants: Touched,
    events: usize,
    steps: usize,
    /// The trial within which this one takes place: it sees no change.
    outer: Option<Trial>,
}

impl State {
    /// Lets `decide` change the state as it will, and takes all of it back: holds, claims on locks, events, pools with
    /// their use, what is registered, and the counters of the lanes. What lapsed meanwhile stays so, because only time
    /// did that.
    pub fn tried<T>(&mut self, decide: impl FnOnce(&mut State) -> T) -> T {
        self.attempted(|state| (decide(state), false))
    }

    /// The same, but what was changed stays where `decide` says so.
    pub fn attempted<T>(&mut self, decide: impl FnOnce(&mut State) -> (T, bool)) -> T {
        let checkpoint = Checkpoint {
            heads: self.lanes.iter().map(|(lane, state)| (*lane, state.head)).collect(),
            changed_pools: self.changed_pools.clone(),
            changed_resources: self.changed_resources.clone(),
            tenants: self.tenants.touched(),
            events: self.events.len(),
            steps: self.rollback.0.len(),
            outer: self.trial.replace(Trial::default()),
        };
        let (decided, is_kept) = decide(self);
        match is_kept {
            true => self.keep(checkpoint.outer),
            false => self.take_back(checkpoint),
        }
        decided
    }

    /// What was changed belongs to the trial within which this one took place, if there is one.
    fn keep(&mut self, outer: Option<Trial>) {
        let inner = std::mem::replace(&mut self.trial, outer);
        if let (Some(outer), Some(inner)) = (&mut self.trial, inner) {
            outer.holds.extend(inner.holds);
            outer.claims.extend(inner.claims);
        }
    }

    /// Notes what a hold and the claims on its lock are, before `remember` changes them.
    pub(super) fn note_for_trial(&mut self, hold: &Hold) {
        let Some(trial) = &mut self.trial else { return };
        trial.holds.push((hold.id, self.holds.get(&hold.id).cloned()));
        if let Some(name) = hold.lock_name() {
            let claims = self.claims.get(&name).cloned();
            trial.claims.push((name, claims));
        }
    }

    fn take_back(&mut self, checkpoint: Checkpoint) {
        let trial = std::mem::replace(&mut self.trial, checkpoint.outer).unwrap_or_default();
        Rollback(self.rollback.0.split_off(checkpoint.steps)).apply(&mut self.lanes, self.tenants.known_mut());
        self.tenants.set_touched(checkpoint.tenants);
        for (lane, head) in checkpoint.heads {
            if let Some(state) = self.lanes.get_mut(&lane) {
                state.head = head;
            }
        }
        self.events.truncate(checkpoint.events);
        self.changed_pools = checkpoint.changed_pools;
        restore(&mut self.holds, trial.holds);
        self.changed_resources = checkpoint.changed_resources;
        restore(&mut self.claims, trial.claims);
    }
}

fn restore<K: Ord, V>(map: &mut BTreeMap<K, V>, noted: Vec<(K, Option<V>)>) {
    for (key, before) in noted.into_iter().rev() {
        match before {
            Some(value) => map.insert(key, value),
            None => map.remove(&key),
        };
    }
}
