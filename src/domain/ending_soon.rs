//! The announcement of an end: once for each end, a set time before it.

use chrono::TimeDelta;

use super::hold::{Hold, Status};
use super::window::Instant;

/// When the end of a hold is to be announced; `None` where that has been done, or is not to be done. It may lie in the
/// past, before its start too.
pub(super) fn warning_at(hold: &Hold) -> Option<Instant> {
    if !matches!(hold.status, Status::Pending | Status::Active | Status::Paused) {
        return None;
    }
    let reservation = hold.reservation()?;
    if reservation.ending_soon_seconds == 0 || reservation.warned_end == Some(reservation.end_time) {
        return None;
    }
    let before = TimeDelta::seconds(i64::from(reservation.ending_soon_seconds));
    Some(reservation.end_time.checked_sub_signed(before).unwrap_or(Instant::MIN_UTC))
}

/// The hold with an announcement of its present end that is due at `at`; with none to come where that is `None`.
pub(super) fn due_at(mut hold: Hold, at: Option<Instant>) -> Hold {
    if let Some(reservation) = hold.reservation_mut() {
        let before = at.and_then(|at| u32::try_from((reservation.end_time - at).num_seconds()).ok());
        reservation.ending_soon_seconds = before.unwrap_or(0);
        reservation.warned_end = None;
    }
    hold
}

/// The hold once its present end has been announced.
pub(super) fn warned(mut hold: Hold) -> Hold {
    if let Some(reservation) = hold.reservation_mut() {
        reservation.warned_end = Some(reservation.end_time);
    }
    hold
}

/// The end that had been announced when an event of the hold that counts from `effective_at` was written. Whatever is
/// due is carried out before anything else happens to a hold, and an end that is set late is announced right away.
pub(super) fn announced_by(hold: &Hold, is_announcement: bool, effective_at: Instant) -> Option<Instant> {
    let mut hold = hold.clone();
    let reservation = hold.reservation_mut()?;
    let end = reservation.end_time;
    reservation.warned_end = None;
    let is_past = warning_at(&hold).is_some_and(|warning_at| warning_at <= effective_at);
    (is_announcement || is_past).then_some(end)
}
