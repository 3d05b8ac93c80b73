//! A dry run: decided upon the state as it is at its place in the batch, and taken back.

use super::carry_out;
use crate::domain::command::{Command, Request};
use crate::domain::hold::{Hold, Units};
use crate::domain::outcome::{Answer, Outcome};
use crate::domain::state::State;

/// What is due for the hold that it names is taken back with the rest: the clock does that, or the next command.
pub(super) fn decide(state: &mut State, request: &Request) -> Outcome {
    let answer = state.tried(|state| carry_out(state, request))?;
    Ok(Answer::DryRun(Box::new(match (&request.command, answer) {
        (Command::Reserve(_), Answer::Reservation(hold)) => Answer::Reservation(Box::new(unborn(*hold))),
        (_, answer) => answer,
    })))
}

/// A reservation that nobody made: no version, and no units, whose names would begin with its id.
fn unborn(mut hold: Hold) -> Hold {
    hold.version = 0;
    if let Some(reservation) = hold.reservation_mut() {
        reservation.units = Units::default();
    }
    hold
}
