//! Postgres's clock as it is reckoned from when it was last read: for a batch that is decided before it is asked.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;

use crate::domain::window::{Instant, from_micros};

/// How often the clock is read.
const READ_EVERY: Duration = Duration::from_secs(1);
/// How long a reading is gone by. Two clocks that are kept right part by less than a millisecond in that time.
const KEPT: Duration = Duration::from_secs(10);

/// The worker's, of all its connections.
#[derive(Clone, Debug, Default)]
pub struct Reckoning(Arc<Mutex<Readings>>);

#[derive(Debug, Default)]
struct Readings {
    best: Option<Reading>,
    last: Option<std::time::Instant>,
}

/// What the clock said when an answer left, and when that arrived.
#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Instant,
    arrived: std::time::Instant,
}

impl Reckoning {
    /// The clock has just been read. The answer that was under way for the shortest time counts.
    pub fn was_read(&self, at: Instant) {
        let mut readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let arrived = std::time::Instant::now();
        readings.last = Some(arrived);
        if readings.best.and_then(|best| best.at_instant(arrived)).is_none_or(|reckoned| reckoned < at) {
            readings.best = Some(Reading { at, arrived });
        }
    }

    /// Behind the clock by as long as that answer was under way. So whoever has read the clock and then sent a request
    /// hardly finds it decided earlier than that: the way by the client is seldom shorter.
    ///
    /// `None`: it is time to read the clock.
    pub fn now(&self) -> Option<Instant> {
        let readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = std::time::Instant::now();
        readings.last.filter(|last| now.saturating_duration_since(*last) < READ_EVERY)?;
        readings.best?.at_instant(now)
    }
}

impl Reading {
    fn at_instant(&self, now: std::time::Instant) -> Option<Instant> {
        let passed = Some(now.saturating_duration_since(self.arrived)).filter(|passed| *passed < KEPT)?;
        let reckoned = self.at.checked_add_signed(TimeDelta::from_std(passed).ok()?)?;
        Some(from_micros(reckoned.timestamp_micros())) // as Postgres keeps it
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Instant {
        from_micros(millis * 1000)
    }

    #[test]
    fn the_answer_that_came_soonest_counts_and_none_for_ever() {
        let now = std::time::Instant::now();
        let reading = Reading { at: at(50), arrived: now };
        assert_eq!(reading.at_instant(now + Duration::from_millis(7)), Some(at(57)));
        assert_eq!(reading.at_instant(now + KEPT), None);

        let reckoning = Reckoning::default();
        assert_eq!(reckoning.now(), None);
        let clock = at(1_000_000);
        reckoning.was_read(clock);
        reckoning.was_read(clock - TimeDelta::milliseconds(500));
        assert!(reckoning.now().is_some_and(|now| now >= clock), "a later answer was longer under way");
        reckoning.was_read(clock + TimeDelta::hours(1));
        assert!(reckoning.now().is_some_and(|now| now >= clock + TimeDelta::hours(1)), "a shorter one");
    }
}
