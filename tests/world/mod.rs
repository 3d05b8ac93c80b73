//! A database in memory for the tests of deciding: lanes and holds between batches.

use std::collections::BTreeMap;

use berth::domain::command::{Command, Request, Siblings};
use berth::domain::decide::decide;
use berth::domain::hold::Hold;
use berth::domain::id::{Entropy, HoldId, Lane, LaneSet, PoolName, Tenant};
use berth::domain::outcome::Outcome;
use berth::domain::state::{Changes, Decided, Head, LaneState, State};
use berth::domain::tick::tick_due;
use berth::domain::window::Instant;

#[derive(Debug)]
pub struct World {
    pub lanes: BTreeMap<Lane, LaneState>,
    pub holds: BTreeMap<HoldId, Hold>,
}

impl World {
    pub fn new(now: Instant) -> World {
        let lane = || LaneState { head: Head { seq: 0, fence: 0, now }, pools: BTreeMap::new() };
        World { lanes: Lane::all().map(|number| (number, lane())).collect(), holds: BTreeMap::new() }
    }

    pub fn set_now(&mut self, now: Instant) {
        self.lanes.values_mut().for_each(|lane| lane.head.now = now);
    }

    /// The lanes of these requests, with what they name loaded, as the store gives it to a batch.
    pub fn open(&mut self, requests: &[Request], due: &[HoldId]) -> State {
        let mut wanted = requests.iter().map(Request::lanes).fold(LaneSet::default(), LaneSet::union);
        due.iter().for_each(|id| wanted.insert(id.lane()));
        if wanted.is_empty() {
            wanted = Lane::all().collect();
        }
        let lanes = wanted.iter().filter_map(|lane| self.lanes.remove_entry(&lane)).collect();
        let mut state = State::new(lanes);
        let names: Vec<_> = requests.iter().flat_map(Request::lock_names).collect();
        let named = requests.iter().flat_map(|request| request.command.hold_ids()).chain(due.iter().copied());
        let locks = self
            .holds
            .values()
            .filter(|hold| !hold.status.is_terminal() && hold.lock_name().is_some_and(|name| names.contains(&name)));
        let locks: Vec<HoldId> = locks.map(|hold| hold.id).collect();
        for id in named.chain(locks) {
            if let Some(hold) = self.holds.get(&id) {
                state.load(hold.clone());
            }
        }
        for request in requests {
            if let Command::PoolPut(put) = &request.command {
                self.load_booked(&mut state, &put.pool);
            }
        }
        state
    }

    /// All that is live in a pool: more than the store gives, which looks for what no longer fits.
    fn load_booked(&self, state: &mut State, pool: &PoolName) {
        for hold in self.holds.values().filter(|hold| !hold.status.is_terminal()) {
            if hold.reservation().is_some_and(|reservation| reservation.pool == *pool) {
                state.load(hold.clone());
            }
        }
    }

    pub fn commit(&mut self, state: State) -> Changes {
        let Decided { lanes, changes, .. } = state.finish();
        self.lanes.extend(lanes);
        let holds = changes.inserted.iter().chain(&changes.updated);
        self.holds.extend(holds.map(|hold| (hold.id, hold.clone())));
        changes
    }

    /// One batch: what each request is answered with, and what is written.
    pub fn batch(&mut self, requests: &[Request]) -> (Vec<Outcome>, Changes) {
        let mut state = self.open(requests, &[]);
        let outcomes = requests.iter().map(|request| decide(&mut state, request)).collect();
        (outcomes, self.commit(state))
    }

    /// The clock's batch, over everything.
    pub fn tick(&mut self, horizon: Instant) -> Changes {
        let due: Vec<HoldId> = self.holds.keys().copied().collect();
        let mut state = self.open(&[], &due);
        tick_due(&mut state, &due, horizon);
        self.commit(state)
    }

    /// The greatest load of a pool (units in use minus capacity) in a window.
    pub fn peak(&self, pool: &PoolName, start: Instant, end: Instant) -> Option<i64> {
        Some(self.lanes.get(&Lane::of_pool(pool))?.pools.get(pool)?.usage.peak(start, end))
    }
}

/// A tenant's request; `number` stands for its randomness.
pub fn request(tenant: &str, number: u64, command: Command) -> Request {
    let mut entropy = [0; 16];
    entropy[..8].copy_from_slice(&number.to_be_bytes());
    Request {
        tenant: Tenant::parse(tenant),
        actor: None,
        not_after: None,
        trace: None,
        entropy: Entropy::new(entropy),
        is_dry_run: false,
        siblings: Siblings::default(),
        command,
    }
}
