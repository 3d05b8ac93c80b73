//! `lock`: claims a named resource; its holder is told that it holds it, anybody else that it is held, or is queued.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::Caller;
use crate::domain::command::TakeLock;
use crate::domain::contention::{self, Ahead, Need, Obstacle};
use crate::domain::event::EventType;
use crate::domain::hold::{Claim, Hold, Status};
use crate::domain::id::{HoldId, Requester, ResourceType};
use crate::domain::lock::{Lock, Mode, RELATED_CLAIMS_MAX, WAITERS_MAX};
use crate::domain::outcome::{Answer, LockAnswer, LockStatus, Outcome, Place, Refusal};
use crate::domain::resource::LockName;
use crate::domain::state::State;
use crate::domain::tick::tick_related;
use crate::domain::window::{Instant, later};

pub(super) fn decide(state: &mut State, caller: &Caller, command: &TakeLock) -> Outcome {
    let name = caller.lock_name(&command.resource);
    let now = state.now(name.lane()).ok_or(Refusal::NotFound)?;
    tick_related(state, &name);
    if !is_valid(state, &name, command.mode) {
        return answer(command, LockStatus::NotValid);
    }
    if let Some(own) = own_claim(state, &name, &command.requester) {
        return had(state, command, own, now);
    }

    let need = Need::new(state, &name, Some(&command.requester), command.mode);
    if has_too_many(state, &name, need.blockers.len() + 1) {
        return answer(command, LockStatus::NotAvailable);
    }
    // A long queue is looked through only where there is a room.
    let ahead = OnceCell::new();
    let ahead = || ahead.get_or_init(|| Ahead::of(state, &state.related([&name])));
    let rooms = contention::rooms(state, &need, |name| ahead().stands_before(state, &need, name));
    match (rooms, command.wait_seconds) {
        (Ok(rooms), _) => {
            let count = 1 + contention::blockers_to_take(&rooms);
            state.tenants().check_locks(caller.tenant, now, count)?;
            let claim = new_claim(state, caller, command, now);
            let claim = contention::grant(state, claim, &need, &rooms, now, &caller.cause);
            answered(state, command, LockStatus::Acquired, claim, now)
        }
        (Err(_), Some(wait_seconds)) if contention::waiting(state, &name) < WAITERS_MAX => {
            state.tenants().check_locks(caller.tenant, now, 1 + need.blockers.len() as u64)?;
            let mut claim = new_claim(state, caller, command, now);
            claim.expires_at = Some(later(now, wait_seconds));
            let claim = state.record(claim, EventType::Queued, now, &caller.cause);
            answered(state, command, LockStatus::Queued, claim, now)
        }
        (Err(Obstacle::NoPlace), _) => answer(command, LockStatus::NotAvailable),
        (Err(Obstacle::Held | Obstacle::Awaited), _) => answer(command, LockStatus::AlreadyHeld),
    }
}

/// Would there be more claims than can be looked through? Of what hangs together with nothing only who waits is bounded.
fn has_too_many(state: &State, name: &LockName, more: usize) -> bool {
    let related = state.related([name]);
    let claims = || related.iter().map(|name| state.claims(name).count()).sum::<usize>();
    related.len() > 1 && claims() + more > RELATED_CLAIMS_MAX
}

/// May a lock of this name be taken at all, and in this mode?
pub(super) fn is_valid(state: &State, name: &LockName, mode: Mode) -> bool {
    let Some(registry) = state.registry(name.lane()) else { return false };
    let must_be_registered = state.tenants().is_registered_prefix(&name.tenant, &name.resource);
    match registry.get(name) {
        Some(resource) => mode == Mode::Exclusive || resource.capacity == 1,
        None => !must_be_registered && !registry.is_place(name),
    }
}

/// The claim on a lock by which a requester holds it, or waits for it.
fn own_claim(state: &State, name: &LockName, requester: &Requester) -> Option<Hold> {
    let is_own = |claim: &&Hold| claim.lock().is_some_and(|lock| lock.requester == *requester);
    let own = state.claims(name).filter(|claim| !claim.status.is_terminal()).filter(is_own);
    // As a blocker it may have come while its requester waited for it, or held it.
    let is_blocker = |claim: &Hold| claim.lock().is_some_and(|lock| lock.is_blocker);
    own.min_by_key(|claim| (claim.status != Status::Active, is_blocker(claim))).cloned()
}

fn had(state: &State, command: &TakeLock, own: Hold, now: Instant) -> Outcome {
    let covers = own.lock().is_some_and(|lock| lock.mode.covers(command.mode));
    match own.status {
        Status::Waitlisted => answered(state, command, LockStatus::Queued, own, now),
        _ if covers => answered(state, command, LockStatus::AlreadyHad, own, now),
        // Shared, and wanted alone.
        _ => answer(command, LockStatus::AlreadyHeld),
    }
}

fn new_claim(state: &State, caller: &Caller, command: &TakeLock, now: Instant) -> Hold {
    let name = caller.lock_name(&command.resource);
    let registered = || contention::resource_type(state, caller.tenant, &command.resource);
    let resource_type = command.resource_type.clone().or_else(registered).unwrap_or_else(ResourceType::user_defined);
    Hold {
        id: HoldId::mint(now, name.lane(), &caller.entropy),
        tenant: caller.tenant.clone(),
        status: Status::Waitlisted,
        end_reason: None,
        version: 0,
        created_at: now,
        created_by: caller.cause.actor.clone(),
        deactivated_at: None,
        expires_at: None,
        last_seq: 0,
        claim: Claim::Lock(Arc::new(Lock {
            requester: command.requester.clone(),
            resource: command.resource.clone(),
            resource_type,
            release_token: caller.entropy.token(),
            fencing_token: 0,
            mode: command.mode,
            slot: None,
            ttl_seconds: command.ttl_seconds,
            is_blocker: false,
            blockers: Vec::new(),
            path: Vec::new(),
            delay_seconds: 0,
        })),
    }
}

fn answer(command: &TakeLock, status: LockStatus) -> Outcome {
    let (requester, resource) = (command.requester.clone(), command.resource.clone());
    Ok(Answer::Lock(LockAnswer { requester, resource, status, claim: None, blockers: Vec::new(), place: None }))
}

fn answered(state: &State, command: &TakeLock, status: LockStatus, claim: Hold, now: Instant) -> Outcome {
    let (requester, resource) = (command.requester.clone(), command.resource.clone());
    let place = (claim.status == Status::Waitlisted).then(|| place(state, &claim, now));
    let blockers = blockers(state, &claim);
    Ok(Answer::Lock(LockAnswer { requester, resource, status, claim: Some(claim), blockers, place }))
}

/// What its requester holds with a lock.
fn blockers(state: &State, claim: &Hold) -> Vec<Hold> {
    let Some((name, lock)) = claim.lock_name().zip(claim.lock()) else { return Vec::new() };
    let is_own = |other: &&Hold| {
        other.status == Status::Active && other.lock().is_some_and(|it| it.requester == lock.requester && it.is_blocker)
    };
    let names = lock.blockers.iter().map(|blocker| name.sibling(blocker));
    names.filter_map(|name| state.claims(&name).find(is_own).cloned()).collect()
}

/// Where a claim stands in its queue, and how long it would wait if everybody before it held the lock for as long as
/// they said.
fn place(state: &State, claim: &Hold, now: Instant) -> Place {
    let Some(name) = claim.lock_name() else { return Place { position: 1, wait_seconds: None } };
    let claims = state.claims(&name);
    let mut before: Vec<&Hold> =
        claims.filter(|other| contention::is_waiting(state, other) && other.last_seq < claim.last_seq).collect();
    before.sort_unstable_by_key(|other| other.last_seq);
    let seconds = |until: Instant| u64::try_from((until - now).num_milliseconds().max(0)).unwrap_or(0).div_ceil(1000);
    let mut free = free_after(state, &name, seconds);
    let mut wait_seconds = next_free(&mut free);
    for other in &before {
        let lasts = other.lock().and_then(|lock| lock.ttl_seconds).map(u64::from);
        let until = wait_seconds.zip(lasts).map(|(from, lasts)| from.saturating_add(lasts));
        free.push(until);
        wait_seconds = next_free(&mut free);
    }
    Place { position: before.len() + 1, wait_seconds }
}

/// When each of the places comes free, one that several have after the last of them; one that is free now waits for
/// something else.
fn free_after(state: &State, name: &LockName, seconds: impl Fn(Instant) -> u64) -> Vec<Option<u64>> {
    let held = contention::holders(state, name);
    let closed = state.claims(name).filter(|claim| claim.opens_at().is_some());
    let mut places: BTreeMap<u32, Option<u64>> = BTreeMap::new();
    for claim in held.iter().chain(closed) {
        let Some(lock) = claim.lock() else { continue };
        let place = lock.slot.filter(|_| lock.resource == name.resource).unwrap_or(0);
        let ends = if claim.status == Status::Active { claim.expires_at } else { claim.opens_at() }.map(&seconds);
        let latest = places.entry(place).or_insert(Some(0));
        *latest = latest.zip(ends).map(|(latest, ends)| latest.max(ends));
    }
    places.into_values().collect()
}

/// Takes out the place that comes free first; those that never do come last.
fn next_free(free: &mut Vec<Option<u64>>) -> Option<u64> {
    let first = free.iter().enumerate().min_by_key(|(_, at)| at.unwrap_or(u64::MAX)).map(|(index, _)| index);
    match first {
        Some(index) => free.swap_remove(index),
        None => Some(0),
    }
}
