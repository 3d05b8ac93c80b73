//! The events that this worker has just committed, for its own relay: what is at hand need not be read back.
//!
//! It is only ever a shorter way to what stands in the journal: a lane whose events here do not follow its cursor
//! without a gap (another worker wrote in between, a commit's answer was lost, the queue was full) is read from there.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::id::Lane;
use crate::store::journal::Entry;

/// Most events that are kept; beyond it they are forgotten, and read from the journal.
const KEPT_MAX: usize = 16_384;

#[derive(Clone, Debug, Default)]
pub struct Recent(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// Does this worker's relay publish now? Otherwise nothing is kept.
    is_wanted: bool,
    lanes: BTreeMap<Lane, VecDeque<Entry>>,
    count: usize,
}

impl Recent {
    /// Committed events, in the order of each lane.
    pub fn add(&self, entries: impl Iterator<Item = Entry>) {
        let mut inner = self.lock();
        if !inner.is_wanted {
            return;
        }
        for entry in entries {
            inner.count += 1;
            inner.lanes.entry(entry.lane).or_default().push_back(entry);
        }
        if inner.count > KEPT_MAX {
            inner.forget();
        }
    }

    pub(super) fn want(&self, is_wanted: bool) {
        let mut inner = self.lock();
        inner.is_wanted = is_wanted;
        inner.forget();
    }

    /// Up to `limit` events and about `bytes_max` bytes that follow the cursors without a gap, by lane; the cursors
    /// move behind them.
    pub(super) fn take(&self, cursors: &mut [(Lane, i64)], limit: usize, bytes_max: usize) -> Vec<Entry> {
        let mut inner = self.lock();
        let (mut taken, mut bytes) = (Vec::new(), 0);
        for (lane, cursor) in cursors {
            let Some(mut entries) = inner.lanes.remove(lane) else { continue };
            inner.count -= entries.len();
            while let Some(next) = entries.front().map(|entry| entry.seq)
                && next <= *cursor + 1
                && taken.len() < limit
                && bytes < bytes_max
            {
                let Some(entry) = entries.pop_front() else { break };
                if next == *cursor + 1 {
                    *cursor = next;
                    bytes += entry.payload.len();
                    taken.push(entry);
                }
            }
            inner.count += entries.len();
            inner.lanes.insert(*lane, entries);
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn forget(&mut self) {
        self.lanes.clear();
        self.count = 0;
    }
}
