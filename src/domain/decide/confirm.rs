//! `confirm`: makes a hold a placed reservation, all of it or part.

use super::reserve::place;
use super::{Caller, Subject, check};
use crate::domain::command::Confirm;
use crate::domain::hold::{Reservation, Status};
use crate::domain::outcome::{Outcome, Refusal};
use crate::domain::price::cost_cents;
use crate::domain::resource::Policy;
use crate::domain::state::State;
use crate::domain::window::Interval;

pub(super) fn decide(state: &mut State, caller: &Caller, command: &Confirm) -> Outcome {
    let subject = Subject::find(state, caller, command.id)?;
    match subject.hold.status {
        Status::Held => {}
        Status::Pending | Status::Active | Status::Paused | Status::Ended => return subject.unchanged(),
        _ => return Err(subject.wrong_state(&[Status::Held])),
    }
    let mut reservation = subject.reservation;
    if let Some(quantity) = command.quantity {
        keep(&mut reservation, &subject.pool.policy, quantity)?;
    }

    let mut hold = subject.hold;
    if let Some(held) = hold.reservation_mut() {
        *held = reservation;
    }
    place(state, caller, hold, subject.now)
}

/// Takes what is above `quantity` off every interval; one that has nothing left is dropped.
fn keep(reservation: &mut Reservation, policy: &Policy, quantity: u32) -> Result<(), Refusal> {
    let surplus = reservation.quantity.checked_sub(quantity).filter(|_| quantity > 0);
    let Some(surplus) = surplus else {
        return Err(check::out_of_range("quantity", format!("an integer from 1 to {}", reservation.quantity)));
    };
    if surplus == 0 {
        return Ok(());
    }
    let reduced = |interval: &Interval| {
        let quantity = interval.quantity.checked_sub(surplus).filter(|rest| *rest > 0)?;
        Some(Interval { quantity, ..*interval })
    };
    let intervals: Vec<Interval> = reservation.intervals.iter().filter_map(reduced).collect();
    for interval in &intervals {
        check::quantity(policy, interval.quantity, reservation.quantity, || "quantity".to_owned())?;
    }
    let cost = |it: &Interval| cost_cents(it.quantity, it.seconds(), reservation.unit_price_cents);
    reservation.total_price_cents = intervals.iter().map(cost).fold(0, i64::saturating_add);
    reservation.quantity = quantity;
    if let (Some(first), Some(last)) = (intervals.first(), intervals.last()) {
        reservation.start_time = first.start;
        reservation.end_time = last.end;
    }
    reservation.intervals = intervals;
    Ok(())
}
