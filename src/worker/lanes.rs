//! What this worker keeps of each lane between batches, each under a lock of its own, so that two batches of one
//! worker never meet on a lane in the database.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::domain::id::{Lane, LaneSet};
use crate::store::batch::DueMark;
use crate::store::lane::CachedLane;

/// How often the search for due holds begins at the beginning again.
const MARK_KEPT: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct Slot {
    pub cached: Option<CachedLane>,
    /// Everything due before it has been carried out, so that the search need not pass over the dead index entries
    /// of what was. Holds that a later batch writes are due after that batch's time, and so after the mark.
    mark: Option<(DueMark, Instant)>,
}

impl Slot {
    pub fn mark(&self) -> Option<DueMark> {
        self.mark.filter(|(_, since)| since.elapsed() < MARK_KEPT).map(|(mark, _)| mark)
    }

    pub fn set_mark(&mut self, mark: DueMark) {
        let since = match self.mark {
            Some((_, since)) if since.elapsed() < MARK_KEPT => since,
            _ => Instant::now(),
        };
        self.mark = Some((mark, since));
    }

    /// Forgets all of it: the next batch reads the lane anew.
    pub fn evict(&mut self) {
        *self = Slot::default();
    }
}

#[derive(Clone, Debug)]
pub struct Lanes(Arc<Vec<Arc<Mutex<Slot>>>>);

/// The slots of a batch's lanes, in ascending order, locked until it is dropped.
pub type Locked = Vec<(Lane, OwnedMutexGuard<Slot>)>;

impl Lanes {
    pub fn new() -> Lanes {
        Lanes(Arc::new(Lane::all().map(|_| Arc::default()).collect()))
    }

    /// In ascending order, so that two batches never wait for each other.
    pub async fn lock(&self, lanes: LaneSet) -> Locked {
        let mut locked = Vec::with_capacity(lanes.len());
        for lane in lanes.iter() {
            if let Some(slot) = self.0.get(usize::from(lane.number())) {
                locked.push((lane, slot.clone().lock_owned().await));
            }
        }
        locked
    }
}

/// What is known of these lanes, for a batch; what is not put back is forgotten.
pub fn take(locked: &mut Locked) -> BTreeMap<Lane, CachedLane> {
    locked.iter_mut().filter_map(|(lane, slot)| Some((*lane, slot.cached.take()?))).collect()
}

pub fn put_back(locked: &mut Locked, mut lanes: BTreeMap<Lane, CachedLane>) {
    for (lane, slot) in locked {
        slot.cached = lanes.remove(lane);
    }
}
