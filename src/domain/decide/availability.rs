//! `availability`: what a `reserve` would find now. Whatever else than the pool's existence it would be refused for
//! counts as not available.

use super::check;
use super::check::Limited;
use super::look::{SEARCH_STEPS_MAX, known, too_long_a_search};
use super::reserve::{self, earliest_start};
use crate::domain::command::Reserve;
use crate::domain::id::ZoneName;
use crate::domain::look::{Availability, Looked, Mode};
use crate::domain::outcome::Refusal;
use crate::domain::resource::Policy;
use crate::domain::state::{PoolState, State};
use crate::domain::window::{Instant, Interval, ceil, floor, later};

/// Most slots that are answered, so that they fit into one message.
const SLOTS_MAX: usize = 1_000;

pub(super) fn look(state: &mut State, asked: &Availability) -> Result<Looked, Refusal> {
    let (known, now) = known(state, &asked.target)?;
    match asked.mode {
        Mode::LatestEnd { start, quantity } => Ok(Looked::LatestEnd(latest_end(known, now, start, quantity))),
        Mode::Slots { earliest_start, latest_end } => slots(known, now, earliest_start, latest_end).map(Looked::Slots),
        Mode::Check(window) => Ok(Looked::Check(fits(known, now, window))),
    }
}

fn fits(known: &PoolState, now: Instant, window: Interval) -> bool {
    reserve::check(known, Limited::NOBODY, now, &Reserve::of_window(window)).is_ok()
}

/// The latest end for which a reservation from `start` on fits. Of all that is checked only the shortest duration
/// favors a later end, so it is the latest of all, or there is none.
fn latest_end(known: &PoolState, now: Instant, start: Instant, quantity: u32) -> Option<Instant> {
    let window = |end| Interval { start, end, quantity };
    let end = end_max(known, None, now, start, &window(start));
    Some(end).filter(|end| start < *end && fits(known, now, window(*end)))
}

/// The last point of the grid up to which the quantity of `added` is free from its start on, of the pool and of the
/// zone, within the horizon and the longest run that began at `run_start`. The end of `added` means nothing.
pub(super) fn end_max(
    known: &PoolState,
    zone: Option<&ZoneName>,
    now: Instant,
    run_start: Instant,
    added: &Interval,
) -> Instant {
    let policy = &known.pool.policy;
    let full = known.first_above(zone, added.start, -i64::from(added.quantity));
    let longest = policy.duration_max_seconds.map(|seconds| later(run_start, seconds));
    let ends = [full, longest].into_iter().flatten();
    floor(ends.fold(later(now, policy.horizon_seconds), Instant::min), policy.grain_seconds)
}

/// The quantities that one interval of a reservation may have: multiples of `step`.
struct Sizes {
    step: u32,
    least: u32,
    most: u32,
}

impl Sizes {
    /// `None`: the policy allows none.
    fn of(policy: &Policy) -> Option<Sizes> {
        let step = policy.quantity_step.max(1);
        let most = check::quantity_max(policy) / step * step;
        let least = policy.quantity_min.unwrap_or(1).max(1).checked_next_multiple_of(step)?;
        (least <= most).then_some(Sizes { step, least, most })
    }

    /// The largest that fits where `free` units are free; 0 for none.
    fn fitting(&self, free: i64) -> u32 {
        let free = u32::try_from(free.max(0)).unwrap_or(u32::MAX).min(self.most);
        let fitting = free / self.step * self.step;
        if fitting >= self.least { fitting } else { 0 }
    }
}

/// What one reservation could have at most, over time: stretches of whole grains within the range, the horizon, and
/// what may start now, each as long as the quantity stays the same. The first of them where there are many.
fn slots(known: &PoolState, now: Instant, earliest: Instant, latest: Instant) -> Result<Vec<Interval>, Refusal> {
    let (policy, usage) = (&known.pool.policy, &known.usage);
    let Some(sizes) = Sizes::of(policy).filter(|_| policy.enabled) else { return Ok(Vec::new()) };
    let mut at = ceil(earliest.max(earliest_start(policy, now)), policy.grain_seconds);
    let end = floor(latest.min(later(now, policy.horizon_seconds)), policy.grain_seconds);
    let mut slots: Vec<Interval> = Vec::new();
    let mut steps = 0;
    // One more than is answered: then the last one that is answered has its end.
    while at < end && slots.len() <= SLOTS_MAX {
        steps += 1;
        if steps > SEARCH_STEPS_MAX {
            return Err(too_long_a_search());
        }
        let grain_end = later(at, policy.grain_seconds);
        let quantity = sizes.fitting(-usage.peak(at, grain_end));
        let next = next_change(known, &sizes, at, quantity).unwrap_or(end).max(grain_end).min(end);
        match slots.last_mut() {
            Some(last) if last.end == at && last.quantity == quantity => last.end = next,
            _ if quantity > 0 => slots.push(Interval { start: at, end: next, quantity }),
            _ => {}
        }
        at = next;
    }
    slots.truncate(SLOTS_MAX);
    Ok(slots)
}

/// Where the quantity that fits may be another one than in the grain that begins at `at`; `None`: nowhere.
fn next_change(known: &PoolState, sizes: &Sizes, at: Instant, quantity: u32) -> Option<Instant> {
    let (usage, grain) = (&known.usage, known.pool.policy.grain_seconds);
    let more = if quantity == 0 { sizes.least } else { quantity + sizes.step };
    let may_be_more = (more <= sizes.most).then(|| usage.first_at_most(at, -i64::from(more))).flatten();
    let is_less = (quantity > 0).then(|| usage.first_above(at, -i64::from(quantity))).flatten();
    // More is there in the first grain of which all is free enough, less already in that which is not.
    let changes = [may_be_more.map(|at| ceil(at, grain)), is_less.map(|at| floor(at, grain))];
    changes.into_iter().flatten().min()
}
