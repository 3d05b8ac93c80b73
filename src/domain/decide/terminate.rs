//! `terminate`: gives a running reservation back, all of it or some of its units, from the next grid point on.

use super::{Caller, Subject, check};
use crate::domain::command::{Part, Terminate, UnitId};
use crate::domain::event::{Credits, EventType};
use crate::domain::hold::{EndReason, Hold, Reservation, Status};
use crate::domain::outcome::{Answer, FieldReason, Outcome, Refusal, Terminated};
use crate::domain::pause;
use crate::domain::price::worth_cents;
use crate::domain::resource::Policy;
use crate::domain::state::State;
use crate::domain::tick::{announce_late, ended};
use crate::domain::window::{Instant, Interval, ceil};

/// Most intervals of a reservation once parts of it have been given back, each of which may divide one: its event, with
/// every unit and all that it carries, has to fit into one message.
const INTERVALS_HELD_MAX: usize = 772;

const ALLOWED: [Status; 2] = [Status::Active, Status::Paused];

pub(super) fn decide(state: &mut State, caller: &Caller, command: &Terminate) -> Outcome {
    let subject = Subject::find(state, caller, command.id)?;
    let (policy, reservation) = (&subject.pool.policy, &subject.reservation);
    check_named(reservation, command)?;
    if subject.hold.status == Status::Ended {
        return nothing_given_back(subject.hold, named(command));
    }
    if !ALLOWED.contains(&subject.hold.status) {
        check_policy(policy, matches!(command.part, Part::All))?;
        return Err(subject.wrong_state(&ALLOWED));
    }
    let cut_at = ceil(subject.now, policy.grain_seconds);
    let (gone, already_terminated) = units_to_give_back(reservation, &command.part)?;
    if gone.is_empty() {
        return nothing_given_back(subject.hold, already_terminated);
    }
    let (gone, cut) = plan(policy, command, reservation, gone, cut_at)?;

    let credit_cents = worth_cents(cut.unit_seconds, reservation.return_buyback_price_cents);
    let (hold, event_type) = match gone.len() == held_count(reservation) {
        true => (ended(subject.hold, Status::Ended, EndReason::Terminated, subject.now), EventType::Ended),
        false => (subject.hold, EventType::Reduced),
    };
    let (hold, pause_cents) = without(hold, cut, cut_at, &gone, subject.now);
    let credits = Credits { return_cents: Some(credit_cents), pause_cents };
    let hold = state.record_with(hold, event_type, subject.now, &caller.cause, credits);
    let hold = announce_late(state, hold, subject.now);
    let terminated_units = gone.into_iter().map(|number| UnitId { hold: command.id, number }).collect();
    terminated(Terminated { hold, terminated_units, already_terminated, credit_cents })
}

/// What goes and what is left, if the pool's policy lets it. Who gives back all that was still to come gives back
/// all units, also where the reservation had more of them before.
fn plan(
    policy: &Policy,
    command: &Terminate,
    reservation: &Reservation,
    gone: Vec<u32>,
    cut_at: Instant,
) -> Result<(Vec<u32>, Cut), Refusal> {
    let count = u32::try_from(gone.len()).unwrap_or(u32::MAX);
    let cut = Cut::of(&reservation.intervals, cut_at, count);
    if gone.len() == held_count(reservation) || cut.leaves_nothing() {
        check_policy(policy, true)?;
        return Ok((reservation.units.iter().collect(), Cut::of(&reservation.intervals, cut_at, u32::MAX)));
    }
    check_policy(policy, false)?;
    cut.check_rest(policy, command)?;
    Ok((gone, cut))
}

fn held_count(reservation: &Reservation) -> usize {
    reservation.units.iter().count()
}

fn terminated(terminated: Terminated) -> Outcome {
    Ok(Answer::Terminated(Box::new(terminated)))
}

fn nothing_given_back(hold: Hold, already_terminated: Vec<UnitId>) -> Outcome {
    terminated(Terminated { hold, terminated_units: Vec::new(), already_terminated, credit_cents: 0 })
}

fn named(command: &Terminate) -> Vec<UnitId> {
    match &command.part {
        Part::Units(units) => units.clone(),
        Part::All | Part::Quantity(_) => Vec::new(),
    }
}

/// A unit that the reservation never had is not found, and nothing is done.
fn check_named(reservation: &Reservation, command: &Terminate) -> Result<(), Refusal> {
    let is_known = |unit: &UnitId| unit.hold == command.id && unit.number < reservation.units_bound;
    match named(command).iter().all(is_known) {
        true => Ok(()),
        false => Err(Refusal::NotFound),
    }
}

fn check_policy(policy: &Policy, is_all: bool) -> Result<(), Refusal> {
    match is_all {
        true if !policy.cancellable => Err(Refusal::NotCancellable),
        false if !policy.reducible => Err(Refusal::NotReducible),
        _ => Ok(()),
    }
}

/// The numbers of the units that go, in ascending order, and the named ones that are gone already.
fn units_to_give_back(reservation: &Reservation, part: &Part) -> Result<(Vec<u32>, Vec<UnitId>), Refusal> {
    let units = &reservation.units;
    match part {
        Part::All => Ok((units.iter().collect(), Vec::new())),
        Part::Quantity(quantity) => match units.count().checked_sub(*quantity) {
            Some(kept) => Ok((units.iter().skip(usize::try_from(kept).unwrap_or(usize::MAX)).collect(), Vec::new())),
            None => Err(check::out_of_range("quantity", format!("an integer from 1 to {}", units.count()))),
        },
        Part::Units(named) => {
            let (held, already): (Vec<UnitId>, Vec<UnitId>) =
                named.iter().partition(|unit| units.contains(unit.number));
            let mut gone: Vec<u32> = held.iter().map(|unit| unit.number).collect();
            gone.sort_unstable();
            Ok((gone, already))
        }
    }
}

/// What is left of a reservation's intervals once some units are given back.
struct Cut {
    /// What lies before the cut: as it was.
    kept: Vec<Interval>,
    /// What lies behind it, with fewer units.
    rest: Vec<Interval>,
    /// Did anything lie behind it?
    has_cut: bool,
    /// How much is given back.
    unit_seconds: i128,
}

impl Cut {
    fn of(intervals: &[Interval], cut_at: Instant, units: u32) -> Cut {
        let mut cut = Cut { kept: Vec::new(), rest: Vec::new(), has_cut: false, unit_seconds: 0 };
        for interval in intervals {
            if interval.start < cut_at {
                cut.kept.push(Interval { end: interval.end.min(cut_at), ..*interval });
            }
            if interval.end > cut_at {
                cut.has_cut = true;
                let behind = Interval { start: interval.start.max(cut_at), ..*interval };
                let gone = units.min(interval.quantity);
                cut.unit_seconds += i128::from(gone) * i128::from(behind.seconds());
                if gone < interval.quantity {
                    cut.rest.push(Interval { quantity: interval.quantity - gone, ..behind });
                }
            }
        }
        cut
    }

    /// Everything that was still to come is given back.
    fn leaves_nothing(&self) -> bool {
        self.has_cut && self.rest.is_empty()
    }

    /// What remains has to be what the pool's policy lets one hold.
    fn check_rest(&self, policy: &Policy, command: &Terminate) -> Result<(), Refusal> {
        let field = match command.part {
            Part::Units(_) => "units",
            Part::All | Part::Quantity(_) => "quantity",
        };
        let min = policy.quantity_min.unwrap_or(1);
        let is_allowed = |rest: &Interval| rest.quantity >= min && rest.quantity.is_multiple_of(policy.quantity_step);
        if self.kept.len() + self.rest.len() > INTERVALS_HELD_MAX {
            let expected = format!("so that no more than {INTERVALS_HELD_MAX} intervals remain: give it back whole");
            return Err(Refusal::field(field, FieldReason::TooManyItems, expected));
        }
        match self.rest.iter().all(is_allowed) {
            true => Ok(()),
            false => {
                let expected = format!("so many that a multiple of {}, at least {min}, remains", policy.quantity_step);
                Err(check::out_of_range(field, expected))
            }
        }
    }
}

/// The whole of a reservation that runs, given back from `cut_at` on: the hold as it is then, and what it is credited.
pub(super) fn given_back(hold: Hold, reason: EndReason, now: Instant, cut_at: Instant) -> (Hold, Credits) {
    let hold = ended(hold, Status::Ended, reason, now);
    let Some(reservation) = hold.reservation() else { return (hold, Credits::default()) };
    let cut = Cut::of(&reservation.intervals, cut_at, u32::MAX);
    let return_cents = Some(worth_cents(cut.unit_seconds, reservation.return_buyback_price_cents));
    let units: Vec<u32> = reservation.units.iter().collect();
    let (hold, pause_cents) = without(hold, cut, cut_at, &units, now);
    (hold, Credits { return_cents, pause_cents })
}

/// The hold without what is given back, and what was paused of it until then, in cents.
fn without(mut hold: Hold, cut: Cut, cut_at: Instant, given_back: &[u32], now: Instant) -> (Hold, Option<i64>) {
    let goes_on = !hold.status.is_terminal();
    let Some(reservation) = hold.reservation_mut() else { return (hold, None) };
    let pause_cents = match goes_on {
        true => pause::settle_and_go_on(reservation, now),
        false => pause::settle(reservation, now),
    };
    shorten(reservation, cut, cut_at, given_back);
    (hold, pause_cents)
}

fn shorten(reservation: &mut Reservation, cut: Cut, cut_at: Instant, given_back: &[u32]) {
    reservation.units = reservation.units.without(given_back);
    reservation.quantity = cut.rest.iter().map(|rest| rest.quantity).max().unwrap_or(reservation.quantity);
    reservation.intervals = cut.kept;
    reservation.intervals.extend(cut.rest);
    reservation.end_time = reservation.intervals.last().map_or(cut_at, |last| last.end);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::HoldId;
    use crate::domain::window::from_micros;

    #[test]
    fn parts_that_are_given_back_divide_a_reservation_so_often_and_no_more() {
        let command = Terminate { id: HoldId::from_uuid(uuid::Uuid::nil()), part: Part::Quantity(1) };
        let after = |kept: usize| {
            let interval = Interval { start: from_micros(0), end: from_micros(1), quantity: 2 };
            let cut = Cut { kept: vec![interval; kept], rest: vec![interval], has_cut: true, unit_seconds: 0 };
            cut.check_rest(&Policy::default(), &command)
        };
        assert!(after(INTERVALS_HELD_MAX - 1).is_ok());
        let refusal = after(INTERVALS_HELD_MAX).unwrap_err();
        assert!(matches!(refusal, Refusal::InvalidRequest { .. }), "{refusal:?}");
    }
}
