//! What a batch decides upon: the locked lanes with their pools, the holds that its commands name, and what has
//! changed so far. Commands see the changes of those before them; nothing is visible outside before the commit.

mod trial;

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use self::trial::Trial;
use super::command::{Request, Trace};
use super::event::{Credits, Event, EventType};
use super::hold::{Hold, usage_change};
use super::id::{Actor, HoldId, Lane, PoolName, Tenant};
use super::lock::Resource;
pub use super::pool_state::PoolState;
use super::pool_state::Undo;
use super::quota::{TenantConfig, TenantState, TenantUndo, Tenants};
use super::registry::{self, Registry};
use super::resource::{LockName, Pool};
use super::window::Instant;

/// How far back a pool's use is kept in memory, days. Nothing is decided about what is older than a grain.
const USAGE_KEPT_DAYS: i64 = 2;

/// The counters of a lane. They move only under its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number of the lane's last event.
    pub seq: i64,
    /// The last fencing token drawn.
    pub fence: i64,
    /// The time of this batch: never earlier than that of any batch before it.
    pub now: Instant,
}

/// All that is kept in memory of a lane between batches.
#[derive(Debug)]
pub struct LaneState {
    pub head: Head,
    pub pools: BTreeMap<PoolName, PoolState>,
    pub registry: Registry,
}

/// Who or what changes a hold; the clock is nobody.
#[derive(Clone, Debug, Default)]
pub struct Cause {
    pub actor: Option<Actor>,
    pub trace: Option<Trace>,
}

impl Cause {
    pub fn clock() -> Cause {
        Cause::default()
    }

    pub fn request(request: &Request) -> Cause {
        Cause { actor: request.actor.clone(), trace: request.trace.clone() }
    }
}

/// What a batch writes.
#[derive(Debug, Default, PartialEq)]
pub struct Changes {
    /// Holds that are new, and holds that were there before; each once, with its last state.
    pub inserted: Vec<Hold>,
    pub updated: Vec<Hold>,
    /// Every version of every changed hold, in the order in which they were decided.
    pub events: Vec<Event>,
    pub pools: Vec<Pool>,
    /// The registered resources that are new or have changed.
    pub resources: Vec<Resource>,
    pub heads: BTreeMap<Lane, Head>,
    /// Configurations of tenants that are new or have changed.
    pub tenants: Vec<TenantConfig>,
    /// The loaded tenants whose use or configuration has changed, each with the time of the batch.
    pub tenant_times: BTreeMap<Tenant, Instant>,
}

impl Changes {
    /// Are they changes of holds, with their events, and of nothing else?
    pub fn is_of_holds(&self) -> bool {
        self.pools.is_empty() && self.resources.is_empty() && self.tenants.is_empty() && self.tenant_times.is_empty()
    }
}

#[derive(Clone, Debug)]
struct Known {
    hold: Hold,
    is_stored: bool,
    is_changed: bool,
}

/// What a command changes here, a dry run takes back (`trial`): that has to know of every field.
#[derive(Debug)]
pub struct State {
    lanes: BTreeMap<Lane, LaneState>,
    holds: BTreeMap<HoldId, Known>,
    /// The claims on each lock that hold it, wait for it, or keep it closed.
    claims: BTreeMap<LockName, BTreeSet<HoldId>>,
    changed_pools: BTreeSet<PoolName>,
    changed_resources: BTreeSet<LockName>,
    /// How many reservations a pool has that would no longer fit: more than are loaded.
    booked: BTreeMap<PoolName, u64>,
    events: Vec<Event>,
    tenants: Tenants,
    rollback: Rollback,
    /// While a dry run is decided: what it has changed.
    trial: Option<Trial>,
}

impl State {
    pub fn new(lanes: BTreeMap<Lane, LaneState>) -> State {
        State {
            lanes,
            holds: BTreeMap::new(),
            claims: BTreeMap::new(),
            changed_pools: BTreeSet::new(),
            changed_resources: BTreeSet::new(),
            booked: BTreeMap::new(),
            events: Vec::new(),
            tenants: Tenants::default(),
            rollback: Rollback::default(),
            trial: None,
        }
    }

    /// Adds a hold that was read from the database.
    pub fn load(&mut self, hold: Hold) {
        if let Some(name) = hold.lock_name().filter(|_| concerns_others(&hold)) {
            self.claims.entry(name).or_default().insert(hold.id);
        }
        self.holds.insert(hold.id, Known { hold, is_stored: true, is_changed: false });
    }

    /// The time of this batch in a lane; `None` where the lane is not locked.
    pub fn now(&self, lane: Lane) -> Option<Instant> {
        self.lanes.get(&lane).map(|lane| lane.head.now)
    }

    /// The latest time of all the locked lanes: the batch's own, for what belongs to none of them.
    pub fn latest_now(&self) -> Option<Instant> {
        self.lanes.values().map(|lane| lane.head.now).max()
    }

    pub fn hold(&self, id: HoldId) -> Option<&Hold> {
        self.holds.get(&id).map(|known| &known.hold)
    }

    /// Who holds a lock, waits for it, or keeps it closed, by id.
    pub fn claims<'a>(&'a self, name: &LockName) -> impl Iterator<Item = &'a Hold> + use<'a> {
        self.claims.get(name).into_iter().flatten().filter_map(|id| self.hold(*id))
    }

    /// The names that claims on these can come to depend on, with them.
    pub fn related<'a>(&self, names: impl IntoIterator<Item = &'a LockName>) -> BTreeSet<LockName> {
        registry::related(names, |lane| self.registry(lane))
    }

    /// What is registered in a lane.
    pub fn registry(&self, lane: Lane) -> Option<&Registry> {
        self.lanes.get(&lane).map(|lane| &lane.registry)
    }

    pub fn pool(&self, name: &PoolName) -> Option<&PoolState> {
        self.lanes.get(&Lane::of_pool(name))?.pools.get(name)
    }

    /// The pools of the locked lanes.
    pub fn pools(&self) -> impl Iterator<Item = &PoolState> {
        self.lanes.values().flat_map(|lane| lane.pools.values())
    }

    /// The tenants whose limits and use may matter.
    pub fn tenants(&self) -> &Tenants {
        &self.tenants
    }

    pub fn tenants_mut(&mut self) -> &mut Tenants {
        &mut self.tenants
    }

    /// Takes what has lapsed by now out of a pool's use, and forgets its distant past. Each pool when it is decided
    /// upon, because a lane may have thousands.
    pub fn lapse(&mut self, name: &PoolName) {
        let Some(lane) = self.lanes.get_mut(&Lane::of_pool(name)) else { return };
        if let Some(pool) = lane.pools.get_mut(name) {
            pool.lapse(lane.head.now);
            pool.fold(lane.head.now - TimeDelta::days(USAGE_KEPT_DAYS));
        }
    }

    /// Looks at a pool's use as it would be with another configuration; `look` has to leave it as it is. `None`: there
    /// is no such pool.
    pub fn with_config<T>(&mut self, wanted: &Pool, look: impl FnOnce(&mut PoolState) -> T) -> Option<T> {
        let known = self.lanes.get_mut(&wanted.lane())?.pools.get_mut(&wanted.name)?;
        Some(known.with_config(wanted, look))
    }

    /// Tells how many reservations of a pool would no longer fit, of which the first are loaded.
    pub fn load_booked(&mut self, name: PoolName, count: u64) {
        self.booked.insert(name, count);
    }

    /// The number told by `load_booked`.
    pub fn booked_count(&self, name: &PoolName) -> u64 {
        self.booked.get(name).copied().unwrap_or_default()
    }

    /// The reservations of a pool that are loaded, over or not.
    pub fn reservations_of(&self, name: &PoolName) -> impl Iterator<Item = &Hold> {
        let holds = self.holds.values().map(|known| &known.hold);
        holds.filter(move |hold| hold.reservation().is_some_and(|reservation| reservation.pool == *name))
    }

    /// The next fencing token of a lane: larger than any before it, for ever.
    pub fn draw_fence(&mut self, lane: Lane) -> i64 {
        let Some(lane) = self.lanes.get_mut(&lane) else { return 0 };
        lane.head.fence += 1;
        lane.head.fence
    }

    /// The one way in which a hold changes: gives it its next version, writes the event, and moves the pool's usage
    /// and that of its tenant.
    /// `hold` is the state after the change, its version still that of before (0 for a new one).
    pub fn record(&mut self, hold: Hold, event_type: EventType, effective_at: Instant, cause: &Cause) -> Hold {
        self.record_with(hold, event_type, effective_at, cause, Credits::default())
    }

    /// The same for a change that gives something back.
    pub fn record_with(
        &mut self,
        mut hold: Hold,
        event_type: EventType,
        effective_at: Instant,
        cause: &Cause,
        credits: Credits,
    ) -> Hold {
        let lane = hold.id.lane();
        let before = self.holds.get(&hold.id);
        let usage = usage_change(before.map(|known| &known.hold), &hold);
        hold.version += 1;
        let Some(lane_state) = self.lanes.get_mut(&lane) else { return hold };
        lane_state.head.seq += 1;
        let previous_seq = before.map(|known| known.hold.last_seq).filter(|seq| *seq > 0);
        hold.last_seq = lane_state.head.seq;
        let event = Event {
            lane,
            seq: hold.last_seq,
            previous_seq,
            event_type,
            at: lane_state.head.now,
            effective_at,
            previous_status: before.map(|known| known.hold.status),
            actor: cause.actor.clone(),
            trace: cause.trace.clone(),
            hold: hold.clone(),
            usage,
            credits,
        };
        if let Some(reservation) = hold.reservation()
            && let Some(pool) = lane_state.pools.get_mut(&reservation.pool)
        {
            let undo = pool.apply(hold.id, reservation.zone.as_ref(), &event.usage, event.lapses_at());
            self.rollback.0.push(Step::Usage(reservation.pool.clone(), undo));
        }
        let undo = self.tenants.record(before.map(|known| &known.hold), &hold);
        self.rollback.0.extend(undo.map(Step::Tenant));
        self.events.push(event);
        self.remember(hold.clone());
        hold
    }

    fn remember(&mut self, hold: Hold) {
        self.note_for_trial(&hold);
        if let Some(name) = hold.lock_name() {
            let claims = self.claims.entry(name).or_default();
            match concerns_others(&hold) {
                true => claims.insert(hold.id),
                false => claims.remove(&hold.id),
            };
        }
        let is_stored = self.holds.get(&hold.id).is_some_and(|known| known.is_stored);
        self.holds.insert(hold.id, Known { hold, is_stored, is_changed: true });
    }

    /// What has been recorded, in order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Opens a place that was closed after a lock on it ran out: that is no event.
    pub fn open_place(&mut self, mut hold: Hold) {
        if let Some(lock) = hold.lock_mut() {
            lock.delay_seconds = 0;
        }
        self.remember(hold);
    }

    /// Sets what is registered of a resource; the claims on it stay as they are.
    pub fn put_resource(&mut self, resource: Resource) {
        let name = resource.lock_name();
        let Some(lane) = self.lanes.get_mut(&name.lane()) else { return };
        let before = lane.registry.put(resource);
        self.changed_resources.insert(name.clone());
        self.rollback.0.push(Step::Resource(name, before));
    }

    /// Sets a pool's configuration; its use stays as it is.
    pub fn put_pool(&mut self, pool: Pool) {
        let Some(lane) = self.lanes.get_mut(&pool.lane()) else { return };
        self.changed_pools.insert(pool.name.clone());
        let before = match lane.pools.get_mut(&pool.name) {
            Some(known) => Some(known.configure(pool.clone())),
            None => {
                lane.pools.insert(pool.name.clone(), PoolState::new(pool.clone()));
                None
            }
        };
        self.rollback.0.push(Step::Pool(pool.name, before));
    }

    /// Sets what the operator says of a tenant; its use stays as it is.
    pub fn put_tenant(&mut self, config: TenantConfig) {
        let undo = self.tenants.put(config);
        self.rollback.0.push(Step::Tenant(undo));
    }

    /// What has to be written, the lanes as they are once it is committed, and the way back where it is not.
    pub fn finish(self) -> Decided {
        let now = self.latest_now();
        let mut changes = Changes { events: self.events, ..Changes::default() };
        for known in self.holds.into_values().filter(|known| known.is_changed) {
            match known.is_stored {
                true => changes.updated.push(known.hold),
                false => changes.inserted.push(known.hold),
            }
        }
        let is_changed = |state: &&PoolState| self.changed_pools.contains(&state.pool.name);
        let pools = self.lanes.values().flat_map(|lane| lane.pools.values());
        changes.pools = pools.filter(is_changed).map(|state| state.pool.clone()).collect();
        let resource = |name: &LockName| self.lanes.get(&name.lane())?.registry.get(name).cloned();
        changes.resources = self.changed_resources.iter().filter_map(resource).collect();
        changes.heads = self.lanes.iter().map(|(lane, state)| (*lane, state.head)).collect();
        let (configs, changed, tenants) = self.tenants.finish();
        changes.tenants = configs;
        changes.tenant_times = changed.into_iter().filter_map(|tenant| Some((tenant, now?))).collect();
        Decided { lanes: self.lanes, tenants, changes, rollback: self.rollback }
    }
}

/// A batch that has been decided and not yet committed.
#[derive(Debug)]
pub struct Decided {
    pub lanes: BTreeMap<Lane, LaneState>,
    pub tenants: BTreeMap<Tenant, TenantState>,
    pub changes: Changes,
    pub rollback: Rollback,
}

/// What a batch did to the lanes in memory, latest last.
#[derive(Debug, Default)]
pub struct Rollback(Vec<Step>);

#[derive(Debug)]
enum Step {
    Usage(PoolName, Undo),
    /// The pool's configuration before; `None`: there was none.
    Pool(PoolName, Option<Pool>),
    /// What was registered before; `None`: nothing.
    Resource(LockName, Option<Resource>),
    Tenant(TenantUndo),
}

impl Rollback {
    /// Makes pools and tenants what they were before the batch. The counters of the lanes are read again with their
    /// lock.
    pub fn apply(self, lanes: &mut BTreeMap<Lane, LaneState>, tenants: &mut BTreeMap<Tenant, TenantState>) {
        for step in self.0.into_iter().rev() {
            match step {
                Step::Usage(name, undo) => {
                    let lane = lanes.get_mut(&Lane::of_pool(&name));
                    if let Some(pool) = lane.and_then(|lane| lane.pools.get_mut(&name)) {
                        pool.undo(undo);
                    }
                }
                Step::Pool(name, before) => restore(lanes, name, before),
                Step::Resource(name, before) => restore_resource(lanes, &name, before),
                Step::Tenant(undo) => undo.apply(tenants),
            }
        }
    }
}

fn restore(lanes: &mut BTreeMap<Lane, LaneState>, name: PoolName, before: Option<Pool>) {
    let Some(lane) = lanes.get_mut(&Lane::of_pool(&name)) else { return };
    match (before, lane.pools.get_mut(&name)) {
        (Some(pool), Some(known)) => drop(known.configure(pool)),
        _ => {
            lane.pools.remove(&name);
        }
    }
}

fn restore_resource(lanes: &mut BTreeMap<Lane, LaneState>, name: &LockName, before: Option<Resource>) {
    let Some(lane) = lanes.get_mut(&name.lane()) else { return };
    drop(match before {
        Some(resource) => lane.registry.put(resource),
        None => lane.registry.remove(name),
    });
}

/// Does a claim on a lock matter to others: does it hold the lock, wait for it, or keep it closed?
fn concerns_others(hold: &Hold) -> bool {
    !hold.status.is_terminal() || hold.opens_at().is_some()
}
