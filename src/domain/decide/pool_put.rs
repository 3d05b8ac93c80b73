//! `pool_put`: sets the whole of a pool's configuration, unless what is booked would no longer fit.

use crate::domain::command::PoolPut;
use crate::domain::counter::Instead;
use crate::domain::id::Lane;
use crate::domain::outcome::{Answer, Outcome, Refusal, Shortfall};
use crate::domain::resource::Pool;
use crate::domain::state::State;
use crate::domain::usage::Usage;
use crate::domain::window::{Instant, later};

/// Most stretches that a refusal lists, so that it fits into one message.
const SHORTFALLS_MAX: usize = 1_000;

pub(super) fn decide(state: &mut State, put: &PoolPut) -> Outcome {
    let now = state.now(Lane::of_pool(&put.pool)).ok_or(Refusal::UnknownPool)?;
    let present = state.pool(&put.pool).map(|known| known.pool.clone());
    let wanted = configured(put, present.as_ref().map_or(0, |pool| pool.version));
    if let Some(present) = present
        && present == wanted
    {
        return Ok(Answer::Pool(Box::new(present)));
    }
    state.lapse(&put.pool);
    let shortfalls = state.with_capacity(&put.pool, &put.capacity, |usage| shortfalls(usage, put, now));
    if let Some(intervals) = shortfalls.filter(|shortfalls| !shortfalls.is_empty()) {
        return Err(Refusal::InsufficientCapacity { intervals, instead: Instead::default() });
    }

    let pool = Pool { version: wanted.version + 1, ..wanted };
    state.put_pool(pool.clone());
    Ok(Answer::Pool(Box::new(pool)))
}

fn configured(put: &PoolPut, version: u32) -> Pool {
    Pool {
        name: put.pool.clone(),
        version,
        capacity: put.capacity.clone(),
        instance_type: put.instance_type.clone(),
        region: put.region.clone(),
        policy: put.policy.clone(),
        offers: put.offers.clone(),
        instance_spec: put.instance_spec.clone(),
        tags: put.tags.clone(),
    }
}

/// Where more is booked from now on than there would be; each with what is booked and what there would be at its
/// worst instant.
fn shortfalls(usage: &Usage, put: &PoolPut, now: Instant) -> Vec<Shortfall> {
    if usage.first_above(now, 0).is_none() {
        return Vec::new();
    }
    let shortfall = |(start, end, load): (Instant, Option<Instant>, i64)| {
        let worst = usage.first_above(start, load - 1).unwrap_or(start);
        let available = put.capacity.at(worst);
        let requested = u32::try_from(i64::from(available).saturating_add(load)).unwrap_or(u32::MAX);
        let end = end.unwrap_or_else(|| later(now, put.policy.horizon_seconds).max(start));
        Shortfall { start, end, requested, available }
    };
    usage.overcommitted(now).into_iter().take(SHORTFALLS_MAX).map(shortfall).collect()
}
