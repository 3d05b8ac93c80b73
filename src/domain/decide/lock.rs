//! `lock`: claims a named resource; its holder is told that it holds it, anybody else that it is held.

use super::Caller;
use crate::domain::command::TakeLock;
use crate::domain::event::EventType;
use crate::domain::hold::{Claim, Hold, Lock, Status};
use crate::domain::id::{HoldId, Lane};
use crate::domain::outcome::{Answer, LockAnswer, LockStatus, Outcome, Refusal};
use crate::domain::resource::LockName;
use crate::domain::state::State;
use crate::domain::tick::tick_hold;
use crate::domain::window::{Instant, later};

pub(super) fn decide(state: &mut State, caller: &Caller, command: &TakeLock) -> Outcome {
    let name = caller.lock_name(&command.resource);
    let lane = name.lane();
    let now = state.now(lane).ok_or(Refusal::NotFound)?;
    if let Some(claim) = present_claim(state, &name) {
        let is_callers = claim.lock().is_some_and(|lock| lock.requester == command.requester);
        return match is_callers {
            true => answer(command, LockStatus::AlreadyHad, Some(claim)),
            false => answer(command, LockStatus::AlreadyHeld, None),
        };
    }

    let fencing_token = state.draw_fence(lane);
    let claim = new_claim(caller, command, now, lane, fencing_token);
    let claim = state.record(claim, EventType::Active, now, &caller.cause);
    answer(command, LockStatus::Acquired, Some(claim))
}

/// The live claim on a lock, after what was due for it has been done.
pub(super) fn present_claim(state: &mut State, name: &LockName) -> Option<Hold> {
    let id = state.lock_holder(name)?.id;
    tick_hold(state, id);
    state.lock_holder(name).cloned()
}

fn new_claim(caller: &Caller, command: &TakeLock, now: Instant, lane: Lane, fencing_token: i64) -> Hold {
    Hold {
        id: HoldId::mint(now, lane, &caller.entropy),
        tenant: caller.tenant.clone(),
        status: Status::Active,
        end_reason: None,
        version: 0,
        created_at: now,
        created_by: caller.cause.actor.clone(),
        deactivated_at: None,
        expires_at: command.ttl_seconds.map(|seconds| later(now, seconds)),
        last_seq: 0,
        claim: Claim::Lock(Lock {
            requester: command.requester.clone(),
            resource: command.resource.clone(),
            resource_type: command.resource_type.clone(),
            release_token: caller.entropy.token(),
            fencing_token,
        }),
    }
}

fn answer(command: &TakeLock, status: LockStatus, claim: Option<Hold>) -> Outcome {
    let (requester, resource) = (command.requester.clone(), command.resource.clone());
    Ok(Answer::Lock(LockAnswer { requester, resource, status, claim }))
}
