//! Ends reservations so that the rest fits into a capacity that is lowered.

use super::pool_put::live_on;
use super::terminate::given_back;
use crate::domain::booked::{Stretch, VICTIMS_MAX, VictimOrder, Withdrawn};
use crate::domain::event::{Credits, EventType};
use crate::domain::hold::{EndReason, Hold, Status, usage_change};
use crate::domain::outcome::{FieldReason, Refusal};
use crate::domain::pool_state::PoolState;
use crate::domain::resource::Pool;
use crate::domain::state::{Cause, State};
use crate::domain::tick::{ended, tick_hold};
use crate::domain::window::Instant;

/// Who has to go, in order. Changes nothing.
///
/// What was given back within the running grain counts to its end and can't be withdrawn: where that does not fit it is
/// refused all the same, with what would be left.
pub(super) fn plan(state: &mut State, wanted: &Pool, order: VictimOrder, now: Instant) -> Result<Vec<Hold>, Refusal> {
    let mut candidates = live_on(state, wanted, now);
    candidates.sort_by(|one, other| order.compare(one, other));
    let are_all_loaded = state.booked_count(&wanted.name) <= candidates.len() as u64;
    let planned = state.with_config(wanted, |pool| choose(pool, candidates, now));
    let (victims, stretches) = planned.unwrap_or_default();
    match stretches.is_empty() {
        _ if victims.len() > VICTIMS_MAX => Err(too_many()),
        true => Ok(victims),
        false if !are_all_loaded => Err(too_many()),
        false => Err(Refusal::StillBooked { stretches, reservations: Vec::new(), count: 0 }),
    }
}

/// Tries it out: takes each candidate out that is booked where too much is, looks at what is left, and puts all back.
fn choose(pool: &mut PoolState, candidates: Vec<Hold>, now: Instant) -> (Vec<Hold>, Vec<Stretch>) {
    let mut victims = Vec::new();
    let mut undos = Vec::new();
    for hold in candidates {
        if is_overbooked(pool, &hold, now) {
            let (gone, _) = withdrawn(hold.clone(), now);
            let zone = hold.reservation().and_then(|reservation| reservation.zone.as_ref());
            undos.push(pool.apply(hold.id, zone, &usage_change(Some(&hold), &gone), None));
            victims.push(hold);
        }
    }
    let left = pool.overbooked(now);
    undos.into_iter().rev().for_each(|undo| pool.undo(undo));
    (victims, left)
}

/// Is more booked than there is, at any instant that is still to come of what it holds?
fn is_overbooked(pool: &PoolState, hold: &Hold, now: Instant) -> bool {
    let zone = hold.reservation().and_then(|reservation| reservation.zone.as_ref());
    let to_come = hold.occupied().iter().filter(|interval| interval.end > now);
    to_come.into_iter().any(|interval| pool.peak(zone, interval.start.max(now), interval.end) > 0)
}

/// What runs is cut at once, not at the next point of the grid, because the units are gone.
fn withdrawn(hold: Hold, now: Instant) -> (Hold, Credits) {
    taken_back(hold, EndReason::CapacityWithdrawn, now, now)
}

/// A live reservation as it is once the operator takes it back, and what it is credited: what runs is cut at `cut_at`
/// and credited as if it had been terminated, what has not started as if it had been canceled: for the whole of its
/// price.
pub(super) fn taken_back(hold: Hold, reason: EndReason, now: Instant, cut_at: Instant) -> (Hold, Credits) {
    match hold.status {
        Status::Active | Status::Paused => given_back(hold, reason, now, cut_at),
        _ => {
            let return_cents = hold.reservation().map(|reservation| reservation.total_price_cents);
            (ended(hold, Status::Canceled, reason, now), Credits { return_cents, pause_cents: None })
        }
    }
}

/// Ends them, each with its event.
pub(super) fn carry_out(state: &mut State, victims: Vec<Hold>, now: Instant, cause: &Cause) -> Vec<Withdrawn> {
    let end = |victim: Hold| {
        tick_hold(state, victim.id);
        let hold = state.hold(victim.id)?.clone();
        let quantity = hold.reservation()?.quantity;
        let (hold, credits) = withdrawn(hold, now);
        let event_type = if hold.status == Status::Ended { EventType::Ended } else { EventType::Canceled };
        let hold = state.record_with(hold, event_type, now, cause, credits);
        let credit_cents = credits.return_cents.unwrap_or_default();
        Some(Withdrawn { id: hold.id, tenant: hold.tenant, status: hold.status, quantity, credit_cents })
    };
    victims.into_iter().filter_map(end).collect()
}

fn too_many() -> Refusal {
    let expected = format!("used on at most {VICTIMS_MAX} reservations; lower the capacity in steps");
    Refusal::field("force", FieldReason::TooManyItems, expected)
}
