//! `extend`: a later end at the last interval's quantity.

use super::check::Limited;
use super::{Caller, Subject, answer, check, find_pool, offers};
use crate::domain::command::Extend;
use crate::domain::event::{Credits, EventType};
use crate::domain::hold::{Reservation, Status};
use crate::domain::outcome::{Outcome, Refusal};
use crate::domain::pause;
use crate::domain::price::cost_cents;
use crate::domain::resource::Policy;
use crate::domain::state::{PoolState, State};
use crate::domain::tick::announce_late;
use crate::domain::window::{Instant, Interval};

const ALLOWED: [Status; 3] = [Status::Pending, Status::Active, Status::Paused];

pub(super) fn decide(state: &mut State, caller: &Caller, command: &Extend) -> Outcome {
    let subject = Subject::find(state, caller, command.id)?;
    state.lapse(&subject.reservation.pool);
    state.tenants_mut().lapse(caller.tenant, subject.now);
    let limited = Limited::tenant(state, caller.tenant);
    let known = find_pool(state, &subject.reservation.pool)?;
    let checked = check(known, limited, &subject, command);
    let checked = checked.map_err(|refusal| offers::for_extension(refusal, known, limited, &subject, command))?;
    let Some((added, terms)) = checked else { return subject.unchanged() };

    let mut hold = subject.hold;
    let mut credits = Credits::default();
    if let Some(reservation) = hold.reservation_mut() {
        if terms.pause_buyback_price_cents != reservation.pause_buyback_price_cents {
            credits.pause_cents = pause::settle_and_go_on(reservation, subject.now);
        }
        lengthen(reservation, added, terms);
        reservation.ending_soon_seconds = subject.pool.policy.ending_soon_seconds;
    }
    let hold = state.record_with(hold, EventType::Extended, subject.now, &caller.cause, credits);
    answer(announce_late(state, hold, subject.now))
}

/// All that is checked of an extension, in order of precedence: what is added and on which terms; `None` where the end
/// stays as it is. What has lapsed must have been taken out of the pool's use before.
pub(super) fn check(
    known: &PoolState,
    limited: Limited,
    subject: &Subject,
    command: &Extend,
) -> Result<Option<(Interval, check::Terms)>, Refusal> {
    let (policy, reservation) = (&subject.pool.policy, &subject.reservation);
    check_policy(policy, reservation, command.end_time)?;
    if !ALLOWED.contains(&subject.hold.status) {
        return Err(subject.wrong_state(&ALLOWED));
    }
    if command.end_time == reservation.end_time {
        return Ok(None);
    }
    if command.end_time < reservation.end_time {
        return Err(check::out_of_range("end_time", "not earlier than the present end"));
    }
    check::horizon(policy, subject.now, command.end_time, || "end_time".to_owned())?;
    let added = added(reservation, command.end_time).ok_or_else(|| subject.wrong_state(&ALLOWED))?;
    limited.quota_and_capacity(known, reservation.zone.as_ref(), subject.now, &[added])?;
    let terms = check::terms(&subject.pool, command.price.offer_key.as_ref().or(Some(&reservation.offer_key)))?;
    check::price(&terms, &command.price)?;
    Ok(Some((added, terms)))
}

fn check_policy(policy: &Policy, reservation: &Reservation, end_time: Instant) -> Result<(), Refusal> {
    if !policy.extendable {
        return Err(Refusal::NotExtendable);
    }
    check::alignment(policy, end_time, || "end_time".to_owned())?;
    match check::runs(&reservation.intervals).last() {
        // What is not longer than now is no extension: it is told apart below.
        Some((start, _)) if end_time > reservation.end_time => {
            check::duration(policy, (end_time - *start).num_seconds())
        }
        _ => Ok(()),
    }
}

/// What is added: at the last interval's quantity, but never units that were given back in its last grain, where its
/// interval was too short to be cut.
pub(super) fn added(reservation: &Reservation, end: Instant) -> Option<Interval> {
    let last = reservation.intervals.last()?;
    let quantity = match reservation.units_bound {
        0 => last.quantity,
        _ => last.quantity.min(reservation.units.count()),
    };
    Some(Interval { start: last.end, end, quantity })
}

fn lengthen(reservation: &mut Reservation, added: Interval, terms: check::Terms) {
    match reservation.intervals.last_mut() {
        Some(last) if last.quantity == added.quantity => last.end = added.end,
        _ => {
            reservation.intervals.push(added);
            reservation.quantity = added.quantity;
        }
    }
    let cost = cost_cents(added.quantity, added.seconds(), terms.unit_price_cents);
    reservation.end_time = added.end;
    reservation.total_price_cents = reservation.total_price_cents.saturating_add(cost);
    reservation.offer_key = terms.offer_key;
    reservation.unit_price_cents = terms.unit_price_cents;
    reservation.return_buyback_price_cents = terms.return_buyback_price_cents;
    reservation.pause_buyback_price_cents = terms.pause_buyback_price_cents;
}
