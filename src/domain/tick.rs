//! The clock's commands: what is due happens, whoever notices first.
//!
//! At one instant whatever runs comes before whatever has not started, each by id: ends, expiries and the warnings of
//! what runs, then starts and the warnings of what is pending. A reservation whose start and warning fall together
//! starts first.

use std::collections::BTreeSet;

use super::contention;
use super::ending_soon;
use super::event::{Credits, EventType};
use super::hold::{Claim, EndReason, Hold, Status, Units};
use super::id::HoldId;
use super::pause;
use super::resource::LockName;
use super::state::{Cause, State};
use super::window::Instant;

/// What the clock does to a hold next.
struct Transition {
    due_at: Instant,
    event_type: EventType,
    /// The hold afterwards, its version still that of before.
    hold: Hold,
    credits: Credits,
}

/// The one place that says what time does to a hold; [`Hold::due_at`] says when.
fn next_transition(hold: &Hold) -> Option<Transition> {
    if hold.status.is_terminal() {
        return None; // what opens a place again is no change of it
    }
    let due_at = hold.due_at()?;
    if hold.moves_at() != Some(due_at) {
        let warned = ending_soon::warned(hold.clone());
        return Some(Transition {
            due_at,
            event_type: EventType::EndingSoon,
            hold: warned,
            credits: Credits::default(),
        });
    }
    let over = |status, reason| ended(hold.clone(), status, reason, due_at);
    let (event_type, mut hold) = match (hold.status, &hold.claim) {
        (Status::Pending, Claim::Reservation(_)) => (EventType::Active, activated(hold.clone())),
        (Status::Held, _) => (EventType::Expired, over(Status::Expired, EndReason::HoldExpired)),
        (_, Claim::Reservation(_)) => (EventType::Ended, over(Status::Ended, EndReason::EndTime)),
        (Status::Waitlisted, _) => (EventType::Expired, over(Status::Expired, EndReason::WaitExpired)),
        (_, Claim::Lock(_)) => (EventType::Expired, over(Status::Expired, EndReason::TtlExpired)),
    };
    let pause_cents = hold.reservation_mut().and_then(|reservation| pause::settle(reservation, due_at));
    Some(Transition { due_at, event_type, hold, credits: Credits { pause_cents, return_cents: None } })
}

/// The reservation as it becomes active: its units are bound.
pub(super) fn activated(mut hold: Hold) -> Hold {
    hold.status = Status::Active;
    if let Some(reservation) = hold.reservation_mut() {
        reservation.units = Units::first(reservation.quantity);
        reservation.units_bound = reservation.quantity;
    }
    hold
}

/// The hold as it becomes terminal.
pub(super) fn ended(mut hold: Hold, status: Status, reason: EndReason, at: Instant) -> Hold {
    hold.status = status;
    hold.end_reason = Some(reason);
    hold.deactivated_at = Some(at);
    hold
}

/// The hold as it is at `now`, with every transition that is due: what a reader shows while no event has been
/// written yet, with the version that the coming event will carry.
pub fn as_of(mut hold: Hold, now: Instant) -> Hold {
    while let Some(next) = next_transition(&hold).filter(|next| next.due_at <= now) {
        hold = next.hold;
        hold.version += 1;
    }
    hold
}

/// Every transition that is due at `now` and has not been carried out, in order: what it is, when it was due, the hold
/// after it, with the version that the coming event will carry, and what it credits.
pub fn coming(hold: &Hold, now: Instant) -> impl Iterator<Item = (EventType, Instant, Hold, Credits)> {
    let next = move |hold: &Hold| {
        let Transition { due_at, event_type, mut hold, credits } =
            next_transition(hold).filter(|next| next.due_at <= now)?;
        hold.version += 1;
        Some((event_type, due_at, hold, credits))
    };
    std::iter::successors(next(hold), move |(_, _, hold, _)| next(hold))
}

/// Carries out everything that is due for one hold.
pub fn tick_hold(state: &mut State, id: HoldId) {
    let mut freed = Freed::new();
    while carry_out_next(state, id, &mut freed) {}
    contention::serve(state, freed);
}

/// The locks that came free, for those who wait for them. They get them when all that is due has ended: so a queue is
/// looked through once, however many of it run out at one instant.
type Freed = BTreeSet<LockName>;

/// Carries out what is due next for a hold, and what follows of it for others. `false`: nothing is.
fn carry_out_next(state: &mut State, id: HoldId, freed: &mut Freed) -> bool {
    let Some(now) = state.now(id.lane()) else { return false };
    let Some(hold) = state.hold(id).filter(|hold| hold.due_at().is_some_and(|due_at| due_at <= now)) else {
        return false;
    };
    let name = hold.lock_name();
    match next_transition(hold) {
        Some(next) => {
            if hold.lock().is_some_and(|lock| lock.is_blocker) && end_needing(state, id, freed) {
                return true;
            }
            let hold = state.record_with(next.hold, next.event_type, next.due_at, &Cause::clock(), next.credits);
            if hold.status.is_terminal() {
                contention::settle_blockers(state, &hold, next.due_at, &Cause::clock());
                freed.extend(name);
            }
        }
        None => {
            let closed = hold.clone();
            state.open_place(closed);
            freed.extend(name);
        }
    }
    true
}

/// A blocker whose time is over ends with the locks for which it is held, after each of them. `false`: there is none.
fn end_needing(state: &mut State, id: HoldId, freed: &mut Freed) -> bool {
    let needing = state.hold(id).map_or_else(Vec::new, |blocker| contention::needing(state, blocker));
    needing.iter().filter(|claim| carry_out_next(state, claim.id, freed)).count() > 0
}

/// Carries out what is due for the claims on a lock and for all that they can depend on.
pub(super) fn tick_related(state: &mut State, name: &LockName) {
    let Some(now) = state.now(name.lane()) else { return };
    let related = state.related([name]);
    let claims = related.iter().flat_map(|name| state.claims(name));
    let due: Vec<HoldId> =
        claims.filter(|claim| claim.due_at().is_some_and(|due_at| due_at <= now)).map(|claim| claim.id).collect();
    if !due.is_empty() {
        tick_due(state, &due, now);
    }
}

/// Announces at once the end that a command has just set, where the instant for that has passed already: what is
/// written is never due before the time at which it was written. Gives the hold as it is then.
pub(super) fn announce_late(state: &mut State, hold: Hold, now: Instant) -> Hold {
    match ending_soon::warning_at(&hold).is_some_and(|warning_at| warning_at <= now) {
        true => state.record(ending_soon::warned(hold), EventType::EndingSoon, now, &Cause::clock()),
        false => hold,
    }
}

/// Ends at once what a command has just made active where its end has passed already: what is kept of a hold may be over.
/// It counts from now, as its beginning does.
pub(super) fn end_late(state: &mut State, hold: Hold, now: Instant) -> Hold {
    match hold.status == Status::Active && hold.moves_at().is_some_and(|end_time| end_time <= now) {
        true => {
            let over = ended(hold, Status::Ended, EndReason::EndTime, now);
            state.record(over, EventType::Ended, now, &Cause::clock())
        }
        false => hold,
    }
}

/// Carries out what is due among the given holds up to `horizon`, in order of instant, ends before starts, then id.
/// What is not loaded or whose lane is not locked is passed over.
pub fn tick_due(state: &mut State, due: &[HoldId], horizon: Instant) {
    let mut queue: BTreeSet<Mark> = due.iter().filter_map(|id| mark(state, *id)).collect();
    let mut freed = Freed::new();
    while let Some((due_at, _, id)) = queue.pop_first()
        && due_at <= horizon
    {
        if carry_out_next(state, id, &mut freed) {
            queue.extend(mark(state, id));
        }
    }
    contention::serve(state, freed);
}

/// A hold's place in the order in which transitions are carried out: when, whether it has still to start, and its id.
type Mark = (Instant, bool, HoldId);

fn mark(state: &State, id: HoldId) -> Option<Mark> {
    let hold = state.hold(id)?;
    Some((hold.due_at()?, hold.status == Status::Pending, id))
}
