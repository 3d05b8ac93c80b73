//! Who may hold which lock beside whom, and who is next.
//!
//! A claim needs its resource and all that is to be held with it. It is granted where each of them has room: a place
//! that is neither taken nor closed, and nothing held above or below it in its tree, but by those that share it or by
//! its own requester; and where nobody waits before it for the same.

use std::collections::{BTreeMap, BTreeSet};

use super::event::EventType;
use super::hold::{Claim, Hold, Status};
use super::id::{Entropy, HoldId, Requester, ResourceName, ResourceType, Tenant};
use super::lock::{Lock, Mode};
use super::registry::Registry;
use super::resource::LockName;
use super::state::{Cause, State};
use super::tick::ended;
use super::window::{Instant, later};

/// What a claim needs.
#[derive(Debug)]
pub(super) struct Need<'a> {
    pub tenant: &'a Tenant,
    /// `None`: anybody who has no lock yet.
    pub requester: Option<&'a Requester>,
    pub mode: Mode,
    pub resource: &'a ResourceName,
    /// What has to be held with it.
    pub blockers: Vec<ResourceName>,
}

/// Where a claim comes to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Its requester has this already for another of its locks.
    Had,
    /// Its requester has a lock on this, which may end before: it comes to stand beside that, in its place.
    Beside(Option<u32>),
    /// `None`: the resource has one place only.
    Place(Option<u32>),
}

/// Why a claim can't be granted now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// Somebody holds it, or what is above or below it, or it is closed after such a claim ran out.
    Held,
    /// All of its places are taken.
    NoPlace,
    /// Somebody waits for it.
    Awaited,
}

impl<'a> Need<'a> {
    pub fn new(state: &State, name: &'a LockName, requester: Option<&'a Requester>, mode: Mode) -> Need<'a> {
        let blockers = state.registry(name.lane()).map_or_else(Vec::new, |registry| registry.blockers(name));
        Need { blockers, ..Need::alone(name, requester, mode) }
    }

    /// The same of the resource alone, whatever is held with it.
    pub fn alone(name: &'a LockName, requester: Option<&'a Requester>, mode: Mode) -> Need<'a> {
        Need { tenant: &name.tenant, requester, mode, resource: &name.resource, blockers: Vec::new() }
    }

    /// The resource first.
    fn names(&self) -> impl Iterator<Item = LockName> {
        let name = |resource: &ResourceName| LockName { tenant: self.tenant.clone(), resource: resource.clone() };
        [self.resource].into_iter().chain(&self.blockers).map(name)
    }

    fn is_own(&self, state: &State, claim: &Hold) -> bool {
        lasts(state, claim) && claim.lock().is_some_and(|lock| self.requester == Some(&lock.requester))
    }
}

/// Where a claim would stand on each of the names that it needs, its resource first.
/// `is_awaited`: does somebody wait for it who came before?
pub(super) fn rooms(state: &State, need: &Need, is_awaited: impl Fn(&LockName) -> bool) -> Result<Vec<Room>, Obstacle> {
    let room = |name: LockName| {
        let room = room(state, need, &name)?;
        match room {
            Room::Had | Room::Beside(_) if name.resource == *need.resource => Err(Obstacle::Held),
            Room::Place(_) if is_awaited(&name) => Err(Obstacle::Awaited),
            room => Ok(room),
        }
    };
    need.names().map(room).collect()
}

/// The same for one name, whoever waits.
pub(super) fn room(state: &State, need: &Need, name: &LockName) -> Result<Room, Obstacle> {
    if let Some(own) = own_room(state, need, name) {
        return own;
    }
    let mut taken = BTreeSet::new();
    let mut are_compatible = true;
    for claim in state.claims(name).filter(|claim| claim.status != Status::Waitlisted) {
        let Some(lock) = claim.lock() else { continue };
        taken.insert(lock.slot.unwrap_or(0));
        are_compatible &= is_compatible(state, claim, lock, need);
    }
    let Some(registry) = state.registry(name.lane()) else { return Err(Obstacle::Held) };
    let place = match registry.capacity(name) {
        0 | 1 if are_compatible => None,
        0 | 1 => return Err(Obstacle::Held),
        capacity => Some((0..capacity).find(|place| !taken.contains(place)).ok_or(Obstacle::NoPlace)?),
    };
    match in_tree(state, registry, name).all(|claim| stands_aside(state, claim, need)) {
        true => Ok(Room::Place(place)),
        false => Err(Obstacle::Held),
    }
}

/// `None`: its requester has nothing of it.
fn own_room(state: &State, need: &Need, name: &LockName) -> Option<Result<Room, Obstacle>> {
    let own: Vec<&Lock> = state.claims(name).filter(|claim| need.is_own(state, claim)).filter_map(Hold::lock).collect();
    let first = own.first()?;
    if !own.iter().any(|lock| lock.mode.covers(need.mode)) {
        return Some(Err(Obstacle::Held));
    }
    let has_blocker = own.iter().any(|lock| lock.is_blocker);
    Some(Ok(if has_blocker { Room::Had } else { Room::Beside(first.slot) }))
}

/// The claims above and below it.
fn in_tree<'a>(state: &'a State, registry: &'a Registry, name: &LockName) -> impl Iterator<Item = &'a Hold> {
    let tenant = name.tenant.clone();
    let related = registry.ancestors(name).chain(registry.descendants(name));
    related.flat_map(move |resource| state.claims(&LockName { tenant: tenant.clone(), resource: resource.clone() }))
}

fn stands_aside(state: &State, claim: &Hold, need: &Need) -> bool {
    let Some(lock) = claim.lock() else { return true };
    claim.status == Status::Waitlisted || need.is_own(state, claim) || is_compatible(state, claim, lock, need)
}

/// What keeps a place closed goes with nothing.
fn is_compatible(state: &State, claim: &Hold, lock: &Lock, need: &Need) -> bool {
    lasts(state, claim) && lock.mode.goes_with(need.mode)
}

/// Does it hold its lock now? One that has run out goes with nothing, as if it were closed already, until its end is
/// carried out: else it would depend on the order in which ends of one instant are, who is granted what.
fn lasts(state: &State, claim: &Hold) -> bool {
    let now = state.now(claim.id.lane());
    claim.status == Status::Active && now.is_some_and(|now| claim.expires_at.is_none_or(|at| at > now))
}

/// Who holds what stands in the way of a name: the claims on it, or those above and below it.
pub(super) fn holders(state: &State, name: &LockName) -> Vec<Hold> {
    let is_active = |claim: &&Hold| claim.status == Status::Active;
    let mut holders: Vec<Hold> = state.claims(name).filter(is_active).cloned().collect();
    if let (true, Some(registry)) = (holders.is_empty(), state.registry(name.lane())) {
        holders = in_tree(state, registry, name).filter(is_active).cloned().collect();
    }
    holders.sort_by_key(|holder| holder.lock().map(|lock| lock.fencing_token));
    holders
}

/// What is needed by those who wait, by name: so a queue is looked through once, however long it is.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    at: BTreeMap<LockName, Awaiting>,
    /// By the names above those that are waited for.
    below: BTreeMap<LockName, Awaiting>,
}

#[derive(Debug, Default)]
struct Awaiting {
    exclusive: Who,
    shared: Who,
}

#[derive(Debug, Default)]
enum Who {
    #[default]
    Nobody,
    One(Requester),
    Several,
}

impl Ahead {
    /// All who wait for one of these names.
    pub fn of(state: &State, names: &BTreeSet<LockName>) -> Ahead {
        let mut ahead = Ahead::default();
        for waiter in names.iter().flat_map(|name| state.claims(name)).filter(|claim| is_waiting(state, claim)) {
            if let (Some(name), Some(lock)) = (waiter.lock_name(), waiter.lock()) {
                ahead.add(state, &Need::new(state, &name, Some(&lock.requester), lock.mode));
            }
        }
        ahead
    }

    fn add(&mut self, state: &State, need: &Need) {
        for name in need.names() {
            if let Some(registry) = state.registry(name.lane()) {
                for ancestor in registry.ancestors(&name) {
                    let above = name.sibling(ancestor);
                    self.below.entry(above).or_default().add(need);
                }
            }
            self.at.entry(name).or_default().add(need);
        }
    }

    pub fn stands_before(&self, state: &State, need: &Need, name: &LockName) -> bool {
        if self.at.is_empty() {
            return false;
        }
        let is_awaited = |by: &BTreeMap<LockName, Awaiting>, name: &LockName| {
            by.get(name).is_some_and(|awaiting| awaiting.stands_before(need))
        };
        is_awaited(&self.at, name)
            || is_awaited(&self.below, name)
            || state
                .registry(name.lane())
                .is_some_and(|registry| registry.ancestors(name).any(|it| is_awaited(&self.at, &name.sibling(it))))
    }
}

impl Awaiting {
    fn add(&mut self, need: &Need) {
        let who = match need.mode {
            Mode::Exclusive => &mut self.exclusive,
            Mode::Shared => &mut self.shared,
        };
        *who = match (&*who, need.requester) {
            (Who::Nobody, Some(requester)) => Who::One(requester.clone()),
            (Who::One(known), Some(requester)) if known == requester => return,
            _ => Who::Several,
        };
    }

    fn stands_before(&self, need: &Need) -> bool {
        self.exclusive.is_another(need) || (need.mode == Mode::Exclusive && self.shared.is_another(need))
    }
}

impl Who {
    fn is_another(&self, than: &Need) -> bool {
        match self {
            Who::Nobody => false,
            Who::One(requester) => than.requester != Some(requester),
            Who::Several => true,
        }
    }
}

/// Does it wait, and has its wait not run out?
pub(super) fn is_waiting(state: &State, claim: &Hold) -> bool {
    let now = state.now(claim.id.lane());
    claim.status == Status::Waitlisted && now.is_some_and(|now| claim.expires_at.is_none_or(|at| at > now))
}

/// How many wait for it.
pub(super) fn waiting(state: &State, name: &LockName) -> usize {
    state.claims(name).filter(|claim| is_waiting(state, claim)).count()
}

/// Makes a claim, new or waiting, one that holds: with its blockers, each with a fencing token of its own.
pub(super) fn grant(state: &mut State, claim: Hold, need: &Need, rooms: &[Room], now: Instant, cause: &Cause) -> Hold {
    let lane = claim.id.lane();
    let mut claim = claim;
    let slot = rooms.first().and_then(|room| room.slot());
    claim.status = Status::Active;
    let fencing_token = state.draw_fence(lane);
    if let Some(lock) = claim.lock_mut() {
        claim_place(state, need.tenant, lock, slot, fencing_token);
        lock.blockers = need.blockers.clone();
        claim.expires_at = claim.lock().and_then(|lock| lock.ttl_seconds).map(|seconds| later(now, seconds));
    }
    let claim = state.record(claim, EventType::Active, now, cause);
    if need.blockers.is_empty() {
        return claim;
    }
    let needing = requesters(state, &claim);
    let mut alike = claim.clone();
    alike.lock_mut().iter_mut().for_each(|lock| lock.blockers.clear());
    for (index, (blocker, room)) in need.blockers.iter().zip(rooms.iter().skip(1)).enumerate() {
        match room {
            Room::Had => drop(settle_blocker(state, &claim, &needing, blocker, now, cause)),
            Room::Place(slot) | Room::Beside(slot) => take_blocker(state, &alike, blocker, *slot, index, now, cause),
        }
    }
    claim
}

impl Room {
    fn slot(self) -> Option<u32> {
        match self {
            Room::Place(slot) | Room::Beside(slot) => slot,
            Room::Had => None,
        }
    }
}

/// What a claim takes over from what is registered when it is granted.
fn claim_place(state: &State, tenant: &Tenant, lock: &mut Lock, slot: Option<u32>, fencing_token: i64) {
    let name = LockName { tenant: tenant.clone(), resource: lock.resource.clone() };
    let registry = state.registry(name.lane());
    lock.slot = slot;
    lock.fencing_token = fencing_token;
    lock.path = registry.map_or_else(Vec::new, |registry| registry.path(&name));
    lock.delay_seconds = registry.and_then(|it| it.get(&name)).map_or(0, |resource| resource.lock_delay_seconds);
}

/// `with`: the claim with which it comes, but for its blockers.
fn take_blocker(
    state: &mut State,
    with: &Hold,
    blocker: &ResourceName,
    slot: Option<u32>,
    index: usize,
    now: Instant,
    cause: &Cause,
) {
    let Some(needing) = with.lock() else { return };
    let lane = with.id.lane();
    let fencing_token = state.draw_fence(lane);
    // Nobody else has the token of the lock that it goes with.
    let entropy = Entropy::new(*needing.release_token.as_bytes()).item(index);
    let mut lock = Lock {
        resource: blocker.clone(),
        resource_type: resource_type(state, &with.tenant, blocker).unwrap_or_else(|| needing.resource_type.clone()),
        ttl_seconds: None,
        is_blocker: true,
        ..needing.clone()
    };
    claim_place(state, &with.tenant, &mut lock, slot, fencing_token);
    let claim = Hold {
        id: HoldId::mint(now, lane, &entropy),
        end_reason: None,
        version: 0,
        created_at: now,
        last_seq: 0,
        claim: Claim::Lock(lock.into()),
        ..with.clone()
    };
    state.record(claim, EventType::Active, now, cause);
}

/// The label that is registered for a resource.
pub(super) fn resource_type(state: &State, tenant: &Tenant, resource: &ResourceName) -> Option<ResourceType> {
    let name = LockName { tenant: tenant.clone(), resource: resource.clone() };
    state.registry(name.lane())?.get(&name)?.resource_type.clone()
}

/// The locks for which a blocker is held, those that end first before others; none for a claim that is no blocker.
pub(super) fn needing(state: &State, blocker: &Hold) -> Vec<Hold> {
    let Some(lock) = blocker.lock().filter(|lock| lock.is_blocker) else { return Vec::new() };
    let mut needing = requesters(state, blocker);
    needing.retain(|claim| needs(claim, &lock.resource));
    needing.sort_by_key(|claim| (claim.expires_at.is_none(), claim.expires_at, claim.id));
    needing
}

/// The locks of a claim's requester, among all that it can depend on, with which others are held.
pub(super) fn requesters(state: &State, claim: &Hold) -> Vec<Hold> {
    let Some((name, lock)) = claim.lock_name().zip(claim.lock()) else { return Vec::new() };
    let is_own = |other: &Lock| other.requester == lock.requester && !other.blockers.is_empty();
    let related = state.related([&name]);
    let active = related.iter().flat_map(|name| state.claims(name)).filter(|claim| claim.status == Status::Active);
    active.filter(|claim| claim.lock().is_some_and(is_own)).cloned().collect()
}

fn needs(claim: &Hold, blocker: &ResourceName) -> bool {
    claim.lock().is_some_and(|lock| lock.blockers.binary_search(blocker).is_ok())
}

/// A blocker lasts as long as one of its requester's locks needs it: ends it after the last, or moves its end. Gives it
/// where it ended. `needing`: the `requesters` of that lock.
pub(super) fn settle_blocker(
    state: &mut State,
    by: &Hold,
    needing: &[Hold],
    blocker: &ResourceName,
    at: Instant,
    cause: &Cause,
) -> Option<Hold> {
    let requester = &by.lock()?.requester;
    let name = LockName { tenant: by.tenant.clone(), resource: blocker.clone() };
    let active = state.claims(&name).filter(|claim| claim.status == Status::Active);
    let mut claims = active.filter(|claim| claim.lock().is_some_and(|it| it.is_blocker && it.requester == *requester));
    let mut claim = claims.next()?.clone();
    drop(claims);
    let needing = needing.iter().filter(|claim| needs(claim, blocker));
    let ends: Vec<Option<Instant>> = needing.map(|claim| claim.expires_at).collect();
    if let (true, Some(reason)) = (ends.is_empty(), by.end_reason) {
        let event_type = if by.status == Status::Expired { EventType::Expired } else { EventType::Ended };
        return Some(state.record(ended(claim, by.status, reason, at), event_type, at, cause));
    }
    let expires_at = ends.iter().copied().collect::<Option<Vec<Instant>>>().and_then(|ends| ends.into_iter().max());
    if !ends.is_empty() && claim.expires_at != expires_at {
        claim.expires_at = expires_at;
        state.record(claim, EventType::Extended, at, cause);
    }
    None
}

/// What follows when a claim is over: its blockers go with it, and those who waited get what came free. Gives what of
/// all this its requester has no more.
pub(super) fn freed(state: &mut State, over: &Hold, at: Instant, cause: &Cause) -> Vec<Hold> {
    let free = settle_blockers(state, over, at, cause);
    serve(state, over.lock_name());
    free
}

/// The same before anybody gets what came free: that is for `serve`.
pub(super) fn settle_blockers(state: &mut State, over: &Hold, at: Instant, cause: &Cause) -> Vec<Hold> {
    let Some(lock) = over.lock() else { return Vec::new() };
    let needing = if lock.blockers.is_empty() { Vec::new() } else { requesters(state, over) };
    let blockers = lock.blockers.iter();
    let ended = blockers.filter_map(|blocker| settle_blocker(state, over, &needing, blocker, at, cause));
    let mut free: Vec<Hold> = [over.clone()].into_iter().chain(ended).collect();
    free.retain(|claim| claim.lock().is_some_and(|lock| !has_another(state, claim, lock)));
    free
}

/// Grants what came free with these names to those who wait.
pub(super) fn serve(state: &mut State, names: impl IntoIterator<Item = LockName>) {
    let mut served = BTreeSet::new();
    for name in names {
        if !served.contains(&name) {
            let related = state.related([&name]);
            grant_waiting(state, &related);
            served.extend(related);
        }
    }
}

/// Has its requester another claim on the same?
fn has_another(state: &State, claim: &Hold, lock: &Lock) -> bool {
    let name = LockName { tenant: claim.tenant.clone(), resource: lock.resource.clone() };
    let mut active = state.claims(&name).filter(|claim| claim.status == Status::Active).filter_map(Hold::lock);
    active.any(|other| other.requester == lock.requester)
}

/// Grants to those who wait for one of these names, in the order in which they came, what they can have by now. Limits
/// bind commands, and theirs was let in with its blockers: nothing would wake one again that was passed over for them.
pub(super) fn grant_waiting(state: &mut State, names: &BTreeSet<LockName>) {
    let waiting = names.iter().flat_map(|name| state.claims(name)).filter(|claim| is_waiting(state, claim));
    // While it waits a claim has one event only, so its number tells when it came.
    let mut waiting: Vec<(i64, HoldId)> = waiting.map(|claim| (claim.last_seq, claim.id)).collect();
    waiting.sort_unstable();
    let mut ahead = Ahead::default();
    for (_, id) in waiting {
        let Some(claim) = state.hold(id).cloned() else { continue };
        let (Some(name), Some(lock), Some(now)) = (claim.lock_name(), claim.lock(), state.now(id.lane())) else {
            continue;
        };
        let requester = lock.requester.clone();
        let need = Need::new(state, &name, Some(&requester), lock.mode);
        let is_awaited = |name: &LockName| ahead.stands_before(state, &need, name);
        // Asked first, because a long queue is looked through for a room.
        let rooms = if is_awaited(&name) { Err(Obstacle::Awaited) } else { rooms(state, &need, is_awaited) };
        match rooms {
            Ok(rooms) => drop(grant(state, claim, &need, &rooms, now, &Cause::clock())),
            Err(_) => ahead.add(state, &need),
        }
    }
}

/// How many claims come with one that comes to stand so.
pub(super) fn blockers_to_take(rooms: &[Room]) -> u64 {
    rooms.iter().skip(1).filter(|room| **room != Room::Had).count() as u64
}

/// Two claims of different requesters that can't both stand as things are registered now, as the first does that is
/// found of each name.
pub(super) fn conflicts(state: &State, names: &BTreeSet<LockName>) -> BTreeSet<ResourceName> {
    let mut found = BTreeSet::new();
    for claim in names.iter().flat_map(|name| state.claims(name)).filter(|claim| claim.status == Status::Active) {
        let (Some(name), Some(lock)) = (claim.lock_name(), claim.lock()) else { continue };
        let need = Need::alone(&name, Some(&lock.requester), lock.mode);
        let Some(registry) = state.registry(name.lane()) else { continue };
        let is_in_way = in_tree(state, registry, &name)
            .any(|other| other.status == Status::Active && !stands_aside(state, other, &need));
        if is_in_way {
            found.insert(name.resource);
        }
    }
    found
}
