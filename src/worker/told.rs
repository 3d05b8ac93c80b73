//! A reply that stands within the event of its change: the receipt then says where, and its body is stored once.
//!
//! The event's `data` is the reservation as the reply shows it, and what only events tell behind it. Whether that is so
//! is not relied upon but looked at, byte by byte: an event leaves out what is not for every reader, and a reply may
//! show more than the reservation.

use crate::domain::event::Event;
use crate::domain::outcome::{Answer, Outcome};
use crate::store::batch::Told;

/// What stands before the reservation in an event. No field before it can have this in it.
const BEFORE: &[u8] = b"\"data\":";

/// The event that tells of the outcome's change: the last of those recorded, if it is of the same version.
pub fn event_of(outcome: &Outcome, events: &[Event]) -> Option<usize> {
    let Ok(Answer::Reservation(hold)) = outcome else { return None };
    let event = events.last()?;
    (event.hold.id == hold.id && event.seq == hold.last_seq).then(|| events.len() - 1)
}

/// Where the body stands in the event's payload, but for its last brace.
pub fn within(body: &[u8], event: &Event, payload: &[u8]) -> Option<Told> {
    let part = body.strip_suffix(b"}")?;
    let from = payload.windows(BEFORE.len()).position(|window| window == BEFORE)? + BEFORE.len();
    payload.get(from..)?.starts_with(part).then_some(())?;
    Some(Told {
        hold: event.hold.id,
        version: event.hold.version,
        seq: event.seq,
        from: u32::try_from(from).ok()?,
        length: u32::try_from(part.len()).ok()?,
    })
}
