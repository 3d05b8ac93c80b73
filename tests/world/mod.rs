//! A database in memory for the tests of deciding: lanes and holds between batches.

use std::collections::{BTreeMap, BTreeSet};

use berth::domain::command::{Command, Request, Siblings};
use berth::domain::decide::decide;
use berth::domain::hold::Hold;
use berth::domain::id::{Entropy, HoldId, Lane, LaneSet, PoolName, Tenant};
use berth::domain::outcome::Outcome;
use berth::domain::quota::{TenantState, TenantUse};
use berth::domain::registry::Registry;
use berth::domain::state::{Changes, Decided, Head, LaneState, State};
use berth::domain::tick::tick_due;
use berth::domain::window::Instant;

#[derive(Debug)]
pub struct World {
    pub lanes: BTreeMap<Lane, LaneState>,
    pub holds: BTreeMap<HoldId, Hold>,
    /// The tenants of whom the operator has said something.
    pub tenants: BTreeMap<Tenant, TenantState>,
}

impl World {
    pub fn new(now: Instant) -> World {
        let lane = || LaneState {
            head: Head { seq: 0, fence: 0, now },
            pools: BTreeMap::new(),
            registry: Registry::default(),
        };
        World {
            lanes: Lane::all().map(|number| (number, lane())).collect(),
            holds: BTreeMap::new(),
            tenants: BTreeMap::new(),
        }
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
        let mut state_tenants = Vec::new();
        let mut names: Vec<_> = requests.iter().flat_map(Request::lock_names).collect();
        names.extend(due.iter().filter_map(|id| self.holds.get(id)?.lock_name()));
        let names = state.related(&names);
        let named = requests.iter().flat_map(|request| request.command.hold_ids()).chain(due.iter().copied());
        let locks = self
            .holds
            .values()
            .filter(|hold| !hold.status.is_terminal() || hold.due_at().is_some())
            .filter(|hold| hold.lock_name().is_some_and(|name| names.contains(&name)));
        let locks: Vec<HoldId> = locks.map(|hold| hold.id).collect();
        for tenant in self.tenants_of(requests, due) {
            let known = self.tenants.remove(&tenant);
            let is_kept = |known: &TenantState| known.config.as_ref().is_some_and(|config| config.limits.has_any());
            let state = match known {
                Some(known) if is_kept(&known) => known,
                known => TenantState { config: known.and_then(|known| known.config), used: self.used(&tenant) },
            };
            state_tenants.push((tenant, state));
        }
        state_tenants.into_iter().for_each(|(tenant, known)| state.tenants_mut().load(tenant, known));
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

    /// The tenants with a limit that a batch concerns, and those that get one.
    fn tenants_of(&self, requests: &[Request], due: &[HoldId]) -> BTreeSet<Tenant> {
        let put = requests.iter().filter_map(|request| match &request.command {
            Command::TenantPut(put) => Some(put.tenant.clone()),
            _ => None,
        });
        let owners = due.iter().filter_map(|id| Some(self.holds.get(id)?.tenant.clone()));
        let callers = requests.iter().filter_map(|request| request.tenant.clone());
        let is_limited = |tenant: &Tenant| {
            let config = self.tenants.get(tenant).and_then(|known| known.config.as_ref());
            config.is_some_and(|config| config.limits.has_any() || !config.registered_prefixes.is_empty())
        };
        put.chain(callers.chain(owners).filter(is_limited)).collect()
    }

    /// What a tenant has, as a worker finds it that reads it from the database.
    pub fn used(&self, tenant: &Tenant) -> TenantUse {
        let mut used = TenantUse::default();
        for hold in self.holds.values().filter(|hold| hold.tenant == *tenant && !hold.status.is_terminal()) {
            match hold.reservation() {
                Some(it) => used.load_reservation(hold.id, hold.status, hold.expires_at, &it.intervals),
                None => used.load_lock(hold.id, hold.expires_at),
            }
        }
        used
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
        let Decided { lanes, changes, tenants, .. } = state.finish();
        self.tenants.extend(tenants);
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
