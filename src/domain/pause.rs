//! What a paused reservation is credited: its price for that × the unit-hours of its intervals in which it was paused.
//!
//! A span is credited by the event that ends it: `resumed`, `ended`, `reduced` (fewer units are paused from then on),
//! and an `extended` that changes the price.

use super::hold::Reservation;
use super::price::worth_of_micros_cents;
use super::window::Instant;

/// Credits what was paused up to `until`, in cents; `None` where it is not paused. From then on nothing waits to be
/// credited: who stays paused sets `paused_at` again.
pub(super) fn settle(reservation: &mut Reservation, until: Instant) -> Option<i64> {
    let from = reservation.paused_at.take()?;
    let unit_micros = unit_micros(reservation, from, until);
    Some(worth_of_micros_cents(unit_micros, reservation.pause_buyback_price_cents))
}

/// The same for a change after which it is still paused.
pub(super) fn settle_and_go_on(reservation: &mut Reservation, at: Instant) -> Option<i64> {
    let cents = settle(reservation, at)?;
    reservation.paused_at = Some(at);
    Some(cents)
}

/// How much was paused: in each interval its units, but none that were given back before, where it was too short to be
/// cut then.
fn unit_micros(reservation: &Reservation, from: Instant, until: Instant) -> i128 {
    let held = reservation.units.count();
    let paused = reservation.intervals.iter().map(|interval| {
        let (start, end) = (interval.start.max(from), interval.end.min(until));
        let micros = (end.timestamp_micros() - start.timestamp_micros()).max(0);
        i128::from(interval.quantity.min(held)) * i128::from(micros)
    });
    paused.sum()
}
