//! `renew`: a new time to live from now on, with the same fencing token.

use super::Caller;
use crate::domain::command::Renew;
use crate::domain::contention;
use crate::domain::event::EventType;
use crate::domain::hold::{Hold, Status};
use crate::domain::outcome::{Answer, Outcome, Refusal, RenewAnswer, RenewStatus};
use crate::domain::state::State;
use crate::domain::tick::tick_related;
use crate::domain::window::later;

pub(super) fn decide(state: &mut State, caller: &Caller, command: &Renew) -> Outcome {
    let name = caller.lock_name(&command.resource);
    let now = state.now(name.lane()).ok_or(Refusal::NotFound)?;
    tick_related(state, &name);
    let mut holders = state.claims(&name).filter(|claim| claim.status == Status::Active).peekable();
    if holders.peek().is_none() {
        return answer(command, RenewStatus::NotReserved, None);
    }
    let is_callers = |claim: &&Hold| {
        claim.lock().is_some_and(|lock| lock.release_token == command.release_token && !lock.is_blocker)
    };
    let claim = holders.find(is_callers).cloned();
    drop(holders);
    let Some(mut claim) = claim else { return answer(command, RenewStatus::DoesntOwnReservation, None) };
    let expires_at = Some(later(now, command.ttl_seconds));
    if claim.expires_at == expires_at {
        return answer(command, RenewStatus::Renewed, Some(claim));
    }

    claim.expires_at = expires_at;
    if let Some(lock) = claim.lock_mut() {
        lock.ttl_seconds = Some(command.ttl_seconds);
    }
    let claim = state.record(claim, EventType::Extended, now, &caller.cause);
    let blockers = claim.lock().map_or(&[][..], |lock| &lock.blockers);
    let needing = if blockers.is_empty() { Vec::new() } else { contention::requesters(state, &claim) };
    for blocker in blockers {
        contention::settle_blocker(state, &claim, &needing, blocker, now, &caller.cause);
    }
    answer(command, RenewStatus::Renewed, Some(claim))
}

fn answer(command: &Renew, status: RenewStatus, claim: Option<Hold>) -> Outcome {
    Ok(Answer::Renew(RenewAnswer { resource: command.resource.clone(), status, claim }))
}
