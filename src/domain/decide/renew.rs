//! `renew`: a new time to live from now on, with the same fencing token.

use super::Caller;
use super::lock::present_claim;
use crate::domain::command::Renew;
use crate::domain::event::EventType;
use crate::domain::hold::Hold;
use crate::domain::outcome::{Answer, Outcome, Refusal, RenewAnswer, RenewStatus};
use crate::domain::state::State;
use crate::domain::window::later;

pub(super) fn decide(state: &mut State, caller: &Caller, command: &Renew) -> Outcome {
    let name = caller.lock_name(&command.resource);
    let now = state.now(name.lane()).ok_or(Refusal::NotFound)?;
    let Some(mut claim) = present_claim(state, &name) else {
        return answer(command, RenewStatus::NotReserved, None);
    };
    if claim.lock().is_none_or(|lock| lock.release_token != command.release_token) {
        return answer(command, RenewStatus::DoesntOwnReservation, None);
    }
    let expires_at = Some(later(now, command.ttl_seconds));
    if claim.expires_at == expires_at {
        return answer(command, RenewStatus::Renewed, Some(claim));
    }

    claim.expires_at = expires_at;
    let claim = state.record(claim, EventType::Extended, now, &caller.cause);
    answer(command, RenewStatus::Renewed, Some(claim))
}

fn answer(command: &Renew, status: RenewStatus, claim: Option<Hold>) -> Outcome {
    Ok(Answer::Renew(RenewAnswer { resource: command.resource.clone(), status, claim }))
}
