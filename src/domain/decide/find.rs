//! `find`: the next windows that a `reserve` could have, at every point of the grid.

use super::look::{SEARCH_STEPS_MAX, known, too_long_a_search};
use super::reserve::{self, earliest_start};
use crate::domain::command::Reserve;
use crate::domain::id::PoolName;
use crate::domain::look::{Find, Looked};
use crate::domain::outcome::Refusal;
use crate::domain::state::{PoolState, State};
use crate::domain::window::{Instant, Interval, ceil, later};

pub(super) fn look(state: &mut State, find: &Find) -> Result<Looked, Refusal> {
    let mut found: Vec<(Interval, Option<PoolName>)> = Vec::new();
    for target in &find.targets {
        let (known, now) = known(state, target)?;
        let name = find.is_many.then(|| known.pool.name.clone());
        found.extend(windows(known, now, find)?.into_iter().map(|window| (window, name.clone())));
    }
    // A stable sort: of one start, the pools stay in the order in which they were asked for.
    found.sort_by_key(|(window, _)| window.start);
    found.truncate(find.limit as usize);
    Ok(Looked::Found(found))
}

/// The first windows of one pool, by their starts.
fn windows(known: &PoolState, now: Instant, find: &Find) -> Result<Vec<Interval>, Refusal> {
    let (policy, usage) = (&known.pool.policy, &known.usage);
    let window = |start| Interval { start, end: later(start, find.duration_seconds), quantity: find.quantity };
    let mut start = ceil(find.earliest_start.max(earliest_start(policy, now)), policy.grain_seconds);
    // What the policy says of one window it says of all that start on the grid.
    if reserve::check_policy(policy, &Reserve::of_window(window(start))).is_err() {
        return Ok(Vec::new());
    }
    let latest_end = find.latest_end.min(later(now, policy.horizon_seconds));
    let full = -i64::from(find.quantity);
    let (mut found, mut steps) = (Vec::new(), 0);
    while found.len() < find.limit as usize && window(start).end <= latest_end {
        steps += 1;
        if steps > SEARCH_STEPS_MAX {
            return Err(too_long_a_search());
        }
        let candidate = window(start);
        match usage.first_above(start, full).filter(|at| *at < candidate.end) {
            None => {
                found.push(candidate);
                start = later(start, policy.grain_seconds);
            }
            // Whatever starts before there is room again meets the same lack.
            Some(at) => match usage.first_at_most(at, full) {
                Some(free) => start = ceil(free, policy.grain_seconds),
                None => break,
            },
        }
    }
    Ok(found)
}
