//! `pool_put`: sets the whole of a pool's configuration, unless what is booked would no longer fit.

use super::withdraw;
use crate::domain::booked::{Booked, LISTED_MAX, Stretch, VictimOrder};
use crate::domain::command::{PoolPut, Request};
use crate::domain::hold::Hold;
use crate::domain::id::Lane;
use crate::domain::outcome::{Answer, Lowered, Outcome, Refusal};
use crate::domain::resource::Pool;
use crate::domain::state::{Cause, State};
use crate::domain::tick::as_of;
use crate::domain::window::Instant;

/// Most stretches that a refusal lists, so that it fits into one message.
const STRETCHES_MAX: usize = 1_000;

pub(super) fn decide(state: &mut State, request: &Request, put: &PoolPut) -> Outcome {
    let now = state.now(Lane::of_pool(&put.pool)).ok_or(Refusal::UnknownPool)?;
    let present = state.pool(&put.pool).map(|known| known.pool.clone());
    let wanted = put.configured(present.as_ref().map_or(0, |pool| pool.version));
    if let Some(present) = present
        && present == wanted
    {
        return Ok(Answer::Pool(Box::new(present)));
    }
    state.lapse(&put.pool);
    let stretches = state.with_config(&wanted, |pool| pool.overbooked(now)).unwrap_or_default();
    let victims = match (stretches.is_empty(), put.force) {
        (true, _) => Vec::new(),
        (false, None) => return Err(still_booked(state, &wanted, stretches, now)),
        (false, Some(order)) => withdraw::plan(state, &wanted, order, now)?,
    };

    let withdrawn = withdraw::carry_out(state, victims, now, &Cause::request(request));
    let pool = Pool { version: wanted.version + 1, ..wanted };
    state.put_pool(pool.clone());
    Ok(match withdrawn.is_empty() {
        true => Answer::Pool(Box::new(pool)),
        false => Answer::Lowered(Box::new(Lowered { pool, withdrawn })),
    })
}

/// Names where it does not fit, and the oldest of the reservations that are booked there.
fn still_booked(state: &State, wanted: &Pool, mut stretches: Vec<Stretch>, now: Instant) -> Refusal {
    let booked = |hold: &Hold| {
        let quantity = stretches.iter().map(|stretch| stretch.held_by(hold)).max().unwrap_or_default();
        (quantity > 0).then(|| Booked { id: hold.id, tenant: hold.tenant.clone(), quantity })
    };
    let mut holds: Vec<Hold> = live_on(state, wanted, now);
    holds.sort_by(|one, other| VictimOrder::OldestFirst.compare(one, other));
    let mut reservations: Vec<Booked> = holds.iter().filter_map(booked).collect();
    let count = state.booked_count(&wanted.name).max(reservations.len() as u64);
    reservations.truncate(LISTED_MAX);
    stretches.truncate(STRETCHES_MAX);
    Refusal::StillBooked { stretches, reservations, count }
}

/// The reservations of a pool that are loaded and live, each as it is now.
pub(super) fn live_on(state: &State, pool: &Pool, now: Instant) -> Vec<Hold> {
    let holds = state.reservations_of(&pool.name).map(|hold| as_of(hold.clone(), now));
    holds.filter(|hold| !hold.status.is_terminal()).collect()
}
