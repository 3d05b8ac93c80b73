//! `unlock`: gives a lock up; only its holder can, by name and token.

use super::Caller;
use super::lock::present_claim;
use crate::domain::command::Unlock;
use crate::domain::event::EventType;
use crate::domain::hold::{EndReason, Status};
use crate::domain::outcome::{Answer, Outcome, Refusal, ReleaseStatus, UnlockAnswer};
use crate::domain::state::State;
use crate::domain::tick::ended;

pub(super) fn decide(state: &mut State, caller: &Caller, command: &Unlock) -> Outcome {
    let name = caller.lock_name(&command.resource);
    let now = state.now(name.lane()).ok_or(Refusal::NotFound)?;
    let Some(claim) = present_claim(state, &name) else {
        return answer(command, ReleaseStatus::NotReserved);
    };
    let is_callers = claim
        .lock()
        .is_some_and(|lock| lock.release_token == command.release_token && lock.requester == command.requester);
    if !is_callers {
        return answer(command, ReleaseStatus::DoesntOwnReservation);
    }

    let claim = ended(claim, Status::Ended, EndReason::Released, now);
    state.record(claim, EventType::Ended, now, &caller.cause);
    answer(command, ReleaseStatus::Relinquished)
}

fn answer(command: &Unlock, status: ReleaseStatus) -> Outcome {
    let (requester, resource) = (command.requester.clone(), command.resource.clone());
    Ok(Answer::Unlock(UnlockAnswer { requester, resource, status }))
}
