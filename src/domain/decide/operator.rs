//! The operator's hand on what belongs to a tenant: no policy of the pool binds it.

use super::withdraw::taken_back;
use super::{Caller, Subject, unlock};
use crate::domain::command::{LockRelease, Request, ReservationTerminate, UnitId};
use crate::domain::contention;
use crate::domain::event::EventType;
use crate::domain::hold::{EndReason, Hold, Status};
use crate::domain::outcome::{Answer, LockReleased, Outcome, Refusal, Terminated};
use crate::domain::state::{Cause, State};
use crate::domain::tick::tick_related;
use crate::domain::window::ceil;

/// Cancels what has not started, ends what runs; what is over stays as it is.
pub(super) fn terminate(state: &mut State, request: &Request, command: &ReservationTerminate) -> Outcome {
    let cause = Cause::request(request);
    let caller = Caller { tenant: &command.tenant, cause, entropy: request.entropy, siblings: &[] };
    let Subject { hold, pool, now, .. } = Subject::find(state, &caller, command.id)?;
    if hold.status.is_terminal() {
        return answer(hold, Vec::new(), 0);
    }
    let units = hold.reservation().map(|reservation| reservation.units.iter().collect()).unwrap_or_default();
    let cut_at = ceil(now, pool.policy.grain_seconds);
    let (hold, credits) = taken_back(hold, EndReason::Operator, now, cut_at);
    let event_type = if hold.status == Status::Ended { EventType::Ended } else { EventType::Canceled };
    let hold = state.record_with(hold, event_type, now, &caller.cause, credits);
    answer(hold, units, credits.return_cents.unwrap_or_default())
}

fn answer(hold: Hold, units: Vec<u32>, credit_cents: i64) -> Outcome {
    let terminated_units = units.into_iter().map(|number| UnitId { hold: hold.id, number }).collect();
    let already_terminated = Vec::new();
    Ok(Answer::Terminated(Box::new(Terminated { hold, terminated_units, already_terminated, credit_cents })))
}

/// Ends the claims that hold a lock, without their tokens, with the locks that can't be held without it; who waits gets
/// what comes free.
pub(super) fn release(state: &mut State, request: &Request, command: &LockRelease) -> Outcome {
    let name = command.name();
    let now = state.now(name.lane()).ok_or(Refusal::NotFound)?;
    tick_related(state, &name);
    let active = state.claims(&name).filter(|claim| claim.status == Status::Active);
    let mut claims: Vec<Hold> = active.cloned().collect();
    let needing: Vec<Hold> = claims.iter().flat_map(|claim| contention::needing(state, claim)).collect();
    // A blocker ends with the last that needs it.
    claims.sort_by_key(|claim| claim.lock().is_some_and(|lock| lock.is_blocker));
    claims.splice(..0, needing);
    for claim in &claims {
        if let Some(claim) = state.hold(claim.id).filter(|claim| claim.status == Status::Active).cloned() {
            unlock::release(state, claim, EndReason::Operator, now, &Cause::request(request));
        }
    }
    let granted = |claim: &Hold| claim.lock().map(|lock| lock.fencing_token);
    claims.sort_by_key(|claim| (claim.lock_name().as_ref() != Some(&name), granted(claim)));
    let ended = claims.iter().filter_map(|claim| state.hold(claim.id).cloned()).collect();
    let (tenant, resource) = (command.tenant.clone(), command.resource.clone());
    Ok(Answer::LockReleased(LockReleased { tenant, resource, claims: ended }))
}
