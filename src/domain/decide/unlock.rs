//! `unlock`: gives a lock up, or the place in its queue; only who has it can, by name and token.

use super::Caller;
use crate::domain::command::Unlock;
use crate::domain::contention;
use crate::domain::event::EventType;
use crate::domain::hold::{EndReason, Hold, Status};
use crate::domain::outcome::{Answer, Outcome, Refusal, ReleaseStatus, UnlockAnswer};
use crate::domain::resource::LockName;
use crate::domain::state::{Cause, State};
use crate::domain::tick::{ended, tick_related};
use crate::domain::window::Instant;

pub(super) fn decide(state: &mut State, caller: &Caller, command: &Unlock) -> Outcome {
    let name = caller.lock_name(&command.resource);
    let now = state.now(name.lane()).ok_or(Refusal::NotFound)?;
    tick_related(state, &name);
    let is_callers = |claim: &&Hold| {
        let lock = claim.lock().filter(|lock| !lock.is_blocker);
        lock.is_some_and(|lock| lock.release_token == command.release_token && lock.requester == command.requester)
    };
    let mut live = live(state, &name).peekable();
    if live.peek().is_none() {
        return answer(command, ReleaseStatus::NotReserved, Vec::new());
    }
    let claim = live.find(is_callers).cloned();
    drop(live);
    let Some(claim) = claim else { return answer(command, ReleaseStatus::DoesntOwnReservation, Vec::new()) };

    let released = release(state, claim, EndReason::Released, now, &caller.cause);
    answer(command, ReleaseStatus::Relinquished, released)
}

fn live<'a>(state: &'a State, name: &LockName) -> impl Iterator<Item = &'a Hold> {
    state.claims(name).filter(|claim| !claim.status.is_terminal())
}

/// Ends a claim with its blockers, and lets those who wait have what came free. Gives the names of that; none for a
/// claim that waited itself.
pub(super) fn release(state: &mut State, claim: Hold, reason: EndReason, now: Instant, cause: &Cause) -> Vec<String> {
    if claim.status == Status::Waitlisted {
        let left =
            state.record(ended(claim, Status::Canceled, EndReason::Canceled, now), EventType::Canceled, now, cause);
        contention::freed(state, &left, now, cause);
        return Vec::new();
    }
    let over = state.record(ended(claim, Status::Ended, reason, now), EventType::Ended, now, cause);
    let free = contention::freed(state, &over, now, cause);
    free.iter().filter_map(|hold| hold.lock().map(|lock| lock.place())).collect()
}

fn answer(command: &Unlock, status: ReleaseStatus, released: Vec<String>) -> Outcome {
    let (requester, resource) = (command.requester.clone(), command.resource.clone());
    Ok(Answer::Unlock(UnlockAnswer { requester, resource, status, released }))
}
