//! A dry run: decided upon the state as it is at its place in the batch, and taken back.

use super::carry_out;
use crate::domain::command::{Command, Request};
use crate::domain::hold::{Hold, Units};
use crate::domain::outcome::{Answer, LockAnswer, Outcome, RenewAnswer};
use crate::domain::state::State;

/// What is due for the hold that it names is taken back with the rest: the clock does that, or the next command.
pub(super) fn decide(state: &mut State, request: &Request) -> Outcome {
    let answer = state.tried(|state| carry_out(state, request))?;
    Ok(Answer::DryRun(Box::new(match (&request.command, answer) {
        (Command::Reserve(_), Answer::Reservation(hold)) => Answer::Reservation(Box::new(unborn(*hold))),
        (_, Answer::Lock(LockAnswer { claim, blockers, requester, resource, status, place })) => {
            let claim = claim.map(|claim| undrawn(state, claim));
            Answer::Lock(LockAnswer { claim, blockers, requester, resource, status, place })
        }
        (_, Answer::Renew(RenewAnswer { claim, resource, status })) => {
            Answer::Renew(RenewAnswer { claim: claim.map(|claim| undrawn(state, claim)), resource, status })
        }
        (_, answer) => answer,
    })))
}

/// A claim without what was drawn for it: of one that nobody made its id, its token and its fence, of one that waits
/// and would hold the lock by now its fence.
fn undrawn(state: &State, mut claim: Hold) -> Hold {
    let before = state.hold(claim.id);
    let fencing_token = before.and_then(Hold::lock).map_or(0, |lock| lock.fencing_token);
    if before.is_none() {
        claim.version = 0;
    }
    if let Some(lock) = claim.lock_mut() {
        lock.fencing_token = fencing_token;
    }
    claim
}

/// A reservation that nobody made: no version, and no units, whose names would begin with its id.
fn unborn(mut hold: Hold) -> Hold {
    hold.version = 0;
    if let Some(reservation) = hold.reservation_mut() {
        reservation.units = Units::default();
    }
    hold
}
