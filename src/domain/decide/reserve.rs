//! `reserve`: units of a pool over one or several intervals, all of them or nothing.

use super::check::Limited;
use super::{Caller, answer, check, find_pool, offers};
use crate::domain::command::Reserve;
use crate::domain::event::EventType;
use crate::domain::hold::{Claim, Hold, Reservation, Status, Units};
use crate::domain::id::{HoldId, Lane};
use crate::domain::outcome::{FieldReason, Outcome, Refusal};
use crate::domain::price::cost_cents;
use crate::domain::resource::{Policy, Pool};
use crate::domain::state::{PoolState, State};
use crate::domain::tick::{activated, announce_late, end_late};
use crate::domain::window::{Instant, ceil, floor, later};

pub(super) fn decide(state: &mut State, caller: &Caller, command: &Reserve) -> Outcome {
    let name = command.pool.as_ref().ok_or(Refusal::UnknownPool)?;
    let now = state.now(Lane::of_pool(name)).ok_or(Refusal::UnknownPool)?;
    state.lapse(name);
    state.tenants_mut().lapse(caller.tenant, now);
    let limited = Limited::tenant(state, caller.tenant);
    let known = find_pool(state, name)?;
    let terms = match check(known, limited, now, command) {
        Ok(terms) => terms,
        Err(refusal) => {
            let refusal = offers::for_new(refusal, known, limited, now, command);
            return Err(offers::elsewhere(refusal, state, caller, command));
        }
    };

    let pool = &known.pool;
    let reservation = reservation(pool, command, terms).ok_or_else(no_interval)?;
    let hold = Hold {
        id: HoldId::mint(now, pool.lane(), &caller.entropy),
        tenant: caller.tenant.clone(),
        status: Status::Pending,
        end_reason: None,
        version: 0,
        created_at: now,
        created_by: caller.cause.actor.clone(),
        deactivated_at: None,
        expires_at: None,
        last_seq: 0,
        claim: Claim::Reservation(reservation.into()),
    };
    match command.hold_seconds {
        Some(seconds) => hold_for(state, caller, hold, now, seconds),
        None => place(state, caller, hold, now),
    }
}

/// All that is checked of a new reservation, in order of precedence; gives its terms. What has lapsed must have been
/// taken out of the pool's use before.
pub(super) fn check(
    known: &PoolState,
    limited: Limited,
    now: Instant,
    command: &Reserve,
) -> Result<check::Terms, Refusal> {
    let pool = &known.pool;
    check::kind(pool, command.wanted_kind.as_ref())?;
    check_policy(&pool.policy, command)?;
    check_zone(pool, command)?;
    let terms = check::terms(pool, command.price.offer_key.as_ref())?;
    check_time(&pool.policy, now, command)?;
    limited.quota_and_capacity(known, command.zone.as_ref(), now, &command.intervals)?;
    check::price(&terms, &command.price)?;
    Ok(terms)
}

/// Records a reservation that stands now, that it is active where its start has come, that its end is near where it is,
/// and that it is over where that has passed.
pub(super) fn place(state: &mut State, caller: &Caller, mut hold: Hold, now: Instant) -> Outcome {
    hold.status = Status::Pending;
    hold.expires_at = None;
    let placed = state.record(hold, EventType::Placed, now, &caller.cause);
    let placed = match placed.moves_at().is_some_and(|start_time| start_time <= now) {
        true => state.record(activated(placed), EventType::Active, now, &caller.cause),
        false => placed,
    };
    let announced = announce_late(state, placed, now);
    answer(end_late(state, announced, now))
}

fn hold_for(state: &mut State, caller: &Caller, mut hold: Hold, now: Instant, seconds: u32) -> Outcome {
    hold.status = Status::Held;
    let end_time = hold.reservation().map_or(now, |reservation| reservation.end_time);
    hold.expires_at = Some(later(now, seconds).min(end_time));
    answer(state.record(hold, EventType::Held, now, &caller.cause))
}

fn check_zone(pool: &Pool, command: &Reserve) -> Result<(), Refusal> {
    match command.zone.as_ref().is_none_or(|zone| pool.zones.contains_key(zone)) {
        true => Ok(()),
        false => Err(check::out_of_range("zone", "one of the pool's zones")),
    }
}

pub(super) fn check_policy(policy: &Policy, command: &Reserve) -> Result<(), Refusal> {
    check::enabled(policy)?;
    if command.intervals.is_empty() {
        return Err(no_interval());
    }
    if command.intervals.len() > usize::try_from(policy.intervals_max).unwrap_or(usize::MAX) {
        let expected = format!("at most {} intervals", policy.intervals_max);
        return Err(Refusal::field("intervals", FieldReason::TooManyItems, expected));
    }
    for (index, interval) in command.intervals.iter().enumerate() {
        check::alignment(policy, interval.start, || field(command, index, "start_time"))?;
        check::alignment(policy, interval.end, || field(command, index, "end_time"))?;
    }
    let max = check::quantity_max(policy);
    for (index, interval) in command.intervals.iter().enumerate() {
        check::quantity(policy, interval.quantity, max, || field(command, index, "quantity"))?;
    }
    check::runs(&command.intervals).into_iter().try_for_each(|(_, seconds)| check::duration(policy, seconds))
}

fn check_time(policy: &Policy, now: Instant, command: &Reserve) -> Result<(), Refusal> {
    let earliest_start = earliest_start(policy, now);
    if command.intervals.iter().any(|interval| interval.start < earliest_start) {
        return Err(Refusal::LeadTimeViolation { earliest_start });
    }
    for (index, interval) in command.intervals.iter().enumerate() {
        check::horizon(policy, now, interval.end, || field(command, index, "end_time"))?;
    }
    Ok(())
}

/// The first point of the grid at which something can start: without a lead time, that of the running grain.
pub(super) fn earliest_start(policy: &Policy, now: Instant) -> Instant {
    match policy.lead_time_seconds {
        0 => floor(now, policy.grain_seconds),
        seconds => ceil(later(now, seconds), policy.grain_seconds),
    }
}

/// The name under which the client sent a field of an interval.
fn field(command: &Reserve, index: usize, name: &str) -> String {
    match command.positions.as_ref().map(|positions| positions.get(index).copied().unwrap_or(index)) {
        Some(position) => format!("intervals[{position}].{name}"),
        None => name.to_owned(),
    }
}

/// `wire` lets no such request through.
fn no_interval() -> Refusal {
    Refusal::field("intervals", FieldReason::MissingField, "at least one interval")
}

/// `None` where the request has no interval.
fn reservation(pool: &Pool, command: &Reserve, terms: check::Terms) -> Option<Reservation> {
    let costs = command.intervals.iter().map(|it| cost_cents(it.quantity, it.seconds(), terms.unit_price_cents));
    Some(Reservation {
        pool: pool.name.clone(),
        zone: command.zone.clone(),
        name: command.name.clone(),
        instance_type: pool.instance_type.clone(),
        region: pool.region.clone(),
        start_time: command.intervals.first()?.start,
        end_time: command.intervals.last()?.end,
        quantity: command.intervals.iter().map(|interval| interval.quantity).max()?,
        total_price_cents: costs.fold(0, i64::saturating_add),
        intervals: command.intervals.clone(),
        units: Units::default(),
        units_bound: 0,
        launch_specification: command.launch_specification.clone(),
        tags: command.tags.clone(),
        offer_key: terms.offer_key,
        unit_price_cents: terms.unit_price_cents,
        return_buyback_price_cents: terms.return_buyback_price_cents,
        pause_buyback_price_cents: terms.pause_buyback_price_cents,
        paused_at: None,
        ending_soon_seconds: pool.policy.ending_soon_seconds,
        warned_end: None,
    })
}
