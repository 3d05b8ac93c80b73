//! What is asked beforehand. Nothing here records anything; what has lapsed is taken out of a pool's use first, as
//! before every decision.

use super::{Caller, availability, check, extension, find, find_pool, holders, quote};
use crate::domain::id::Lane;
use crate::domain::look::{Look, Target};
use crate::domain::outcome::{Answer, Outcome, Refusal};
use crate::domain::state::{PoolState, State};
use crate::domain::window::Instant;

/// Most steps of one search through a pool's use; each looks a change of it up in the tree.
pub(super) const SEARCH_STEPS_MAX: usize = 10_000;

pub(super) fn decide(state: &mut State, caller: &Caller, look: &Look) -> Outcome {
    let looked = match look {
        Look::Availability(availability) => availability::look(state, availability),
        Look::Find(find) => find::look(state, find),
        Look::Extension(id) => extension::look(state, caller, *id),
        Look::Quote(quote) => quote::look(state, quote),
        Look::Locks(check) => holders::look(state, caller, check),
    };
    Ok(Answer::Looked(Box::new(looked?)))
}

/// The pool that is looked at, and the time in its lane.
pub(super) fn known<'a>(state: &'a mut State, target: &Target) -> Result<(&'a PoolState, Instant), Refusal> {
    let name = target.pool.as_ref().ok_or(Refusal::UnknownPool)?;
    let now = state.now(Lane::of_pool(name)).ok_or(Refusal::UnknownPool)?;
    state.lapse(name);
    let known = find_pool(state, name)?;
    check::kind(&known.pool, target.wanted_kind.as_ref())?;
    Ok((known, now))
}

/// Nothing is answered rather than half of what there is.
pub(super) fn too_long_a_search() -> Refusal {
    check::out_of_range("latest_end_time", "nearer: too much is booked before it to be looked through at once")
}
