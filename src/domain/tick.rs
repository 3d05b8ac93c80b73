//! The clock's commands: what is due happens, whoever notices first.

use super::hold::Hold;
use super::id::HoldId;
use super::state::State;
use super::window::Instant;

/// The hold as it is at `now`, with every transition that is due: what a reader shows while no event has been
/// written yet, with the version that the coming event will carry.
pub fn as_of(hold: Hold, now: Instant) -> Hold {
    let _ = now;
    todo!()
}

/// Carries out everything that is due for one hold.
pub fn tick_hold(state: &mut State, id: HoldId) {
    let _ = (state, id);
    todo!()
}

/// Carries out what is due among the given holds up to `horizon`, in order of instant, ends before starts, then id.
pub fn tick_due(state: &mut State, due: &[HoldId], horizon: Instant) {
    let _ = (state, due, horizon);
    todo!()
}
