//! Deciding without doing: what a dry run changes is noted, and taken back when it has been decided.

use std::collections::{BTreeMap, BTreeSet};

use super::{Head, Known, Rollback, State};
use crate::domain::hold::Hold;
use crate::domain::id::{HoldId, Lane, PoolName};
use crate::domain::resource::LockName;

/// What has been changed during a trial, as it was before; latest last.
#[derive(Debug, Default)]
pub(super) struct Trial {
    /// `None`: there was no such hold.
    holds: Vec<(HoldId, Option<Known>)>,
    /// The hold on a lock; `None`: nobody's.
    lock_holders: Vec<(LockName, Option<HoldId>)>,
}

/// Where a trial began.
struct Checkpoint {
    heads: BTreeMap<Lane, Head>,
    changed_pools: BTreeSet<PoolName>,
    events: usize,
    steps: usize,
    /// The trial within which this one takes place: it sees no change.
    outer: Option<Trial>,
}

impl State {
    /// Lets `decide` change the state as it will, and takes all of it back: holds, lock holders, events, pools with
    /// their use, and the counters of the lanes. What lapsed meanwhile stays so, because only time did that.
    pub fn tried<T>(&mut self, decide: impl FnOnce(&mut State) -> T) -> T {
        let checkpoint = Checkpoint {
            heads: self.lanes.iter().map(|(lane, state)| (*lane, state.head)).collect(),
            changed_pools: self.changed_pools.clone(),
            events: self.events.len(),
            steps: self.rollback.0.len(),
            outer: self.trial.replace(Trial::default()),
        };
        let decided = decide(self);
        self.take_back(checkpoint);
        decided
    }

    /// Notes what a hold and the holder of its lock are, before `remember` changes them.
    pub(super) fn note_for_trial(&mut self, hold: &Hold) {
        let Some(trial) = &mut self.trial else { return };
        trial.holds.push((hold.id, self.holds.get(&hold.id).cloned()));
        if let Some(name) = hold.lock_name() {
            let holder = self.lock_holders.get(&name).copied();
            trial.lock_holders.push((name, holder));
        }
    }

    fn take_back(&mut self, checkpoint: Checkpoint) {
        let trial = std::mem::replace(&mut self.trial, checkpoint.outer).unwrap_or_default();
        Rollback(self.rollback.0.split_off(checkpoint.steps)).apply(&mut self.lanes);
        for (lane, head) in checkpoint.heads {
            if let Some(state) = self.lanes.get_mut(&lane) {
                state.head = head;
            }
        }
        self.events.truncate(checkpoint.events);
        self.changed_pools = checkpoint.changed_pools;
        restore(&mut self.holds, trial.holds);
        restore(&mut self.lock_holders, trial.lock_holders);
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
