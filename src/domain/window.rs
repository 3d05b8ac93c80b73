//! Instants, half-open intervals, and the grid that a pool's intervals lie on.

use chrono::{DateTime, TimeDelta, Utc};

/// A point in time, UTC, whole microseconds (what Postgres keeps).
pub type Instant = DateTime<Utc>;

/// `quantity` units over `[start, end)`. Never empty: `start < end`, `quantity >= 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval {
    pub start: Instant,
    pub end: Instant,
    pub quantity: u32,
}

impl Interval {
    pub fn seconds(&self) -> i64 {
        (self.end - self.start).num_seconds()
    }
}

/// A change of the units in use over `[start, end)`: what the journal records and the usage in memory adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delta {
    pub start: Instant,
    pub end: Instant,
    pub units: i64,
}

/// Is `at` on the UTC grid of `grain_seconds` (counted from 1970-01-01T00:00Z)?
pub fn is_aligned(at: Instant, grain_seconds: u32) -> bool {
    at.timestamp_micros().rem_euclid(i64::from(grain_seconds) * 1_000_000) == 0
}

/// The last grid point at or before `at`.
pub fn floor(at: Instant, grain_seconds: u32) -> Instant {
    let grain = i64::from(grain_seconds) * 1_000_000;
    from_micros(at.timestamp_micros().div_euclid(grain) * grain)
}

/// The first grid point at or after `at`.
pub fn ceil(at: Instant, grain_seconds: u32) -> Instant {
    let grain = i64::from(grain_seconds) * 1_000_000;
    from_micros(-(-at.timestamp_micros()).div_euclid(grain) * grain)
}

/// `seconds` after `at`; clamped to what chrono can hold.
pub fn later(at: Instant, seconds: u32) -> Instant {
    at.checked_add_signed(TimeDelta::seconds(i64::from(seconds))).unwrap_or(Instant::MAX_UTC)
}

/// `minutes` before `at`; clamped to what chrono can hold.
pub fn minutes_before(at: Instant, minutes: u32) -> Instant {
    at.checked_sub_signed(TimeDelta::minutes(i64::from(minutes))).unwrap_or(Instant::MIN_UTC)
}

/// Microseconds since 1970 as an instant; clamped to what chrono can hold.
pub fn from_micros(micros: i64) -> Instant {
    DateTime::from_timestamp_micros(micros).unwrap_or(if micros < 0 { Instant::MIN_UTC } else { Instant::MAX_UTC })
}
