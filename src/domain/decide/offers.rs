//! Counter-offers: what would be granted in place of what does not fit. Each is checked by the very code that the
//! request was refused by, and is only looked for once it was: what is granted pays nothing for it.

use super::check::Limited;
use super::{Caller, Subject, check, extend, reserve};
use crate::domain::command::{Extend, InstanceKind, Reserve};
use crate::domain::counter::{CounterOffer, Instead, OFFERS_MAX, OfferReason};
use crate::domain::id::{Lane, PoolName, ZoneName};
use crate::domain::outcome::{Refusal, Shortfall};
use crate::domain::resource::Policy;
use crate::domain::state::{PoolState, State};
use crate::domain::window::{Instant, Interval, ceil, floor, later};

/// How often a later start is looked for before it is given up, beside twice for each interval. Each look is
/// O(log n).
const LOOKS_MAX: usize = 256;

/// The refusal of a new reservation, with what would fit in its place.
pub(super) fn for_new(
    refusal: Refusal,
    known: &PoolState,
    limited: Limited,
    now: Instant,
    command: &Reserve,
) -> Refusal {
    let Refusal::InsufficientCapacity { intervals: shortfalls, instead } = refusal else { return refusal };
    let (policy, zone) = (&known.pool.policy, command.zone.as_ref());
    let is_granted = |offer: &CounterOffer| reserve::check(known, limited, now, &offer.request).is_ok();
    let offer = |reason, intervals: Option<Vec<Interval>>| {
        Some(CounterOffer { reason, request: with_intervals(command, intervals?) }).filter(is_granted)
    };
    let searches = [
        offer(OfferReason::LaterStart, later_start(known, now, zone, &command.intervals)),
        offer(OfferReason::SmallerQuantity, smaller_quantity(policy, &command.intervals, &shortfalls)),
        offer(OfferReason::Shorter, shorter(known, zone, &command.intervals, &shortfalls)),
    ];
    let offers = searches.into_iter().flatten().take(OFFERS_MAX).collect();
    Refusal::InsufficientCapacity { intervals: shortfalls, instead: Instead { offers, ..instead } }
}

/// The refusal of a new reservation by kind, with the first pool of its type that has room for it as it is.
pub(super) fn elsewhere(refusal: Refusal, state: &mut State, caller: &Caller, command: &Reserve) -> Refusal {
    let Refusal::InsufficientCapacity { intervals, mut instead } = refusal else { return refusal };
    if let Some(offer) = caller.siblings.iter().find_map(|sibling| other_pool(state, caller, sibling, command)) {
        instead.offers.truncate(OFFERS_MAX - 1);
        instead.offers.push(offer);
    }
    Refusal::InsufficientCapacity { intervals, instead }
}

fn other_pool(state: &mut State, caller: &Caller, sibling: &PoolName, command: &Reserve) -> Option<CounterOffer> {
    let now = state.now(Lane::of_pool(sibling))?;
    state.lapse(sibling);
    let known = state.pool(sibling)?;
    let (wanted, region) = (command.wanted_kind.as_ref()?, known.pool.region.clone()?);
    let wanted_kind = Some(InstanceKind { instance_type: wanted.instance_type.clone(), region });
    let request = Reserve { pool: Some(sibling.clone()), wanted_kind, ..command.clone() };
    let offer = CounterOffer { reason: OfferReason::OtherPool, request };
    let limited = Limited::tenant(state, caller.tenant);
    reserve::check(known, limited, now, &offer.request).is_ok().then_some(offer)
}

/// The refusal of an extension, with the latest end that would be granted.
pub(super) fn for_extension(
    refusal: Refusal,
    known: &PoolState,
    limited: Limited,
    subject: &Subject,
    command: &Extend,
) -> Refusal {
    let Refusal::InsufficientCapacity { intervals, instead } = refusal else { return refusal };
    let end_time = latest_end(known, subject.reservation.zone.as_ref(), &intervals);
    let sooner = end_time.map(|end_time| Extend { end_time, ..command.clone() });
    let granted = sooner.filter(|sooner| matches!(extend::check(known, limited, subject, sooner), Ok(Some(_))));
    let latest_end = Some(granted.map_or(subject.reservation.end_time, |sooner| sooner.end_time));
    Refusal::InsufficientCapacity { intervals, instead: Instead { latest_end, ..instead } }
}

fn with_intervals(command: &Reserve, intervals: Vec<Interval>) -> Reserve {
    let positions = command.positions.as_ref().map(|_| (0..intervals.len()).collect());
    Reserve { intervals, positions, ..command.clone() }
}

/// All intervals shifted together, by as few grains as let all of them fit. What is in the way of one of them is in
/// its way until it is over, so each look leads past it.
fn later_start(
    known: &PoolState,
    now: Instant,
    zone: Option<&ZoneName>,
    intervals: &[Interval],
) -> Option<Vec<Interval>> {
    let Policy { grain_seconds, horizon_seconds, .. } = known.pool.policy;
    let (first, last) = (intervals.first()?, intervals.last()?);
    let mut shift = later(first.start, grain_seconds) - first.start;
    let shifted = |interval: &Interval, shift| Interval {
        start: interval.start + shift,
        end: interval.end + shift,
        quantity: interval.quantity,
    };
    let looks_max = LOOKS_MAX + 2 * intervals.len();
    let mut fitting = 0;
    for interval in intervals.iter().cycle().take(looks_max) {
        if shift > later(now, horizon_seconds) - last.end {
            return None;
        }
        let Interval { start, end, quantity } = shifted(interval, shift);
        let full = -i64::from(quantity);
        match known.first_above(zone, start, full).filter(|at| *at < end) {
            Some(at) => {
                shift = ceil(known.above_until(zone, at, full)?, grain_seconds) - interval.start;
                fitting = 0;
            }
            None => fitting += 1,
        }
        if fitting == intervals.len() {
            return Some(intervals.iter().map(|interval| shifted(interval, shift)).collect());
        }
    }
    None
}

/// Each interval that does not fit cut down to what is free all through it, in steps of the policy.
fn smaller_quantity(policy: &Policy, intervals: &[Interval], shortfalls: &[Shortfall]) -> Option<Vec<Interval>> {
    let cut = |interval: &Interval| {
        let failing = shortfalls.binary_search_by_key(&interval.start, |shortfall| shortfall.start).ok();
        let free = failing.map_or(interval.quantity, |index| shortfalls[index].available);
        let quantity = free - free % policy.quantity_step.max(1);
        (quantity > 0).then_some(Interval { quantity, ..*interval })
    };
    intervals.iter().map(cut).collect()
}

/// One run, up to where it first does not fit.
fn shorter(
    known: &PoolState,
    zone: Option<&ZoneName>,
    intervals: &[Interval],
    shortfalls: &[Shortfall],
) -> Option<Vec<Interval>> {
    if check::runs(intervals).len() != 1 {
        return None;
    }
    let end = latest_end(known, zone, shortfalls)?;
    let before = intervals.iter().filter(|interval| interval.start < end);
    let cut: Vec<Interval> = before.map(|interval| Interval { end: interval.end.min(end), ..*interval }).collect();
    (!cut.is_empty()).then_some(cut)
}

/// The last point of the grid up to which the first interval that does not fit would.
fn latest_end(known: &PoolState, zone: Option<&ZoneName>, shortfalls: &[Shortfall]) -> Option<Instant> {
    let first = shortfalls.first()?;
    let full = known.first_above(zone, first.start, -i64::from(first.requested))?;
    Some(floor(full, known.pool.policy.grain_seconds))
}
