//! `cancel`: gives a reservation up before it starts. Its whole price is credited.

use super::{Caller, Subject, answer};
use crate::domain::command::Cancel;
use crate::domain::event::{Credits, EventType};
use crate::domain::hold::{EndReason, Status};
use crate::domain::outcome::{Outcome, Refusal};
use crate::domain::state::State;
use crate::domain::tick::ended;

pub(super) fn decide(state: &mut State, caller: &Caller, command: &Cancel) -> Outcome {
    let subject = Subject::find(state, caller, command.id)?;
    match subject.hold.status {
        Status::Canceled => return subject.unchanged(),
        Status::Held => {}
        _ if !subject.pool.policy.cancellable => return Err(Refusal::NotCancellable),
        Status::Pending => {}
        _ => return Err(subject.wrong_state(&[Status::Held, Status::Pending])),
    }

    let credits = Credits { return_cents: Some(subject.reservation.total_price_cents), pause_cents: None };
    let hold = ended(subject.hold, Status::Canceled, EndReason::Canceled, subject.now);
    answer(state.record_with(hold, EventType::Canceled, subject.now, &caller.cause, credits))
}
