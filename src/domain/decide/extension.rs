//! `extension_availability`: the latest end that an `extend` without a price would get now.

use super::availability::end_max;
use super::check::Limited;
use super::{Caller, Subject, check, extend, find_pool};
use crate::domain::command::{Extend, PriceLimit};
use crate::domain::id::HoldId;
use crate::domain::look::Looked;
use crate::domain::outcome::Refusal;
use crate::domain::state::{PoolState, State};
use crate::domain::window::Instant;

/// Whatever else than its absence an extension would be refused for counts as not available.
pub(super) fn look(state: &mut State, caller: &Caller, id: HoldId) -> Result<Looked, Refusal> {
    let subject = Subject::read(state, caller, id)?;
    state.lapse(&subject.reservation.pool);
    let latest = latest_end(find_pool(state, &subject.reservation.pool)?, &subject);
    let latest_end = latest.unwrap_or(subject.reservation.end_time);
    Ok(Looked::Extension { is_available: latest.is_some(), latest_end })
}

fn latest_end(known: &PoolState, subject: &Subject) -> Option<Instant> {
    let reservation = &subject.reservation;
    let (run_start, _) = check::runs(&reservation.intervals).last().copied()?;
    let added = extend::added(reservation, reservation.end_time)?;
    let zone = reservation.zone.as_ref();
    let end_time = end_max(known, zone, subject.now, run_start, &added);
    let command = Extend { id: subject.hold.id, end_time, price: PriceLimit::default() };
    let is_longer = matches!(extend::check(known, Limited::NOBODY, subject, &command), Ok(Some(_)));
    is_longer.then_some(end_time)
}
