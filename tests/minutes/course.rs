//! The dumbest right answer about pauses and announcements: every paused second of every unit is counted, and for each
//! hold it is remembered when its end was set and which end was announced.

use std::collections::BTreeMap;

use berth::domain::event::{Event, EventType};
use berth::domain::hold::{EndReason, Status};
use berth::domain::id::HoldId;
use berth::domain::window::Instant;

use crate::ops::{PAUSE_PRICE, ending_soon_seconds, second};

#[derive(Default)]
pub struct Course {
    /// The second since which it is paused and not credited.
    paused: BTreeMap<HoldId, i64>,
    /// Its end, when that was set, and whether it has been announced.
    ends: BTreeMap<HoldId, (Instant, Instant, bool)>,
}

impl Course {
    /// `units_at`: how many units of the hold are in use in a second.
    pub fn record(&mut self, event: &Event, units_at: impl Fn(i64) -> u32) {
        if event.hold.reservation().is_none() {
            return;
        }
        self.check_credit(event, units_at);
        self.check_announcement(event);
    }

    fn check_credit(&mut self, event: &Event, units_at: impl Fn(i64) -> u32) {
        let id = event.hold.id;
        let now = (event.effective_at - second(0)).num_seconds();
        let settles = matches!(event.event_type, EventType::Resumed | EventType::Reduced | EventType::Ended);
        let was_paused = event.previous_status == Some(Status::Paused);
        let expected = (settles && was_paused).then(|| {
            let since = self.paused.remove(&id).unwrap();
            let unit_seconds: i64 = (since..now).map(|at| i64::from(units_at(at))).sum();
            (unit_seconds * PAUSE_PRICE + 1_800) / 3_600
        });
        assert_eq!(event.credits.pause_cents, expected, "{event:?}");
        let is_paused = event.hold.status == Status::Paused;
        if is_paused && (expected.is_some() || event.event_type == EventType::Paused) {
            self.paused.insert(id, now);
        }
        assert_eq!(self.paused.contains_key(&id), is_paused, "{event:?}");
    }

    fn check_announcement(&mut self, event: &Event) {
        let (id, reservation) = (event.hold.id, event.hold.reservation().unwrap());
        let before = i64::from(ending_soon_seconds(&reservation.pool));
        let due = |(end, set_at, _): (Instant, Instant, bool)| (end - chrono::TimeDelta::seconds(before)).max(set_at);
        let known = self.ends.get(&id).copied();
        if event.event_type == EventType::EndingSoon {
            let known = known.unwrap();
            assert!(before > 0 && !known.2, "{event:?}");
            assert_eq!((event.effective_at, reservation.end_time), (due(known), known.0), "{event:?}");
            assert_eq!(event.previous_status, Some(event.hold.status));
            self.ends.insert(id, (known.0, known.1, true));
            return;
        }
        if let Some(known) = known.filter(|known| before > 0 && !known.2) {
            assert!(event.effective_at <= due(known), "it should have been announced: {event:?}");
        }
        let sets_end = match event.event_type {
            EventType::Placed => true,
            EventType::Extended | EventType::Reduced => known.unwrap().0 != reservation.end_time,
            _ => false,
        };
        if sets_end {
            self.ends.insert(id, (reservation.end_time, event.at, false));
        }
        if event.hold.end_reason == Some(EndReason::EndTime) {
            assert_eq!(self.ends[&id], (reservation.end_time, self.ends[&id].1, before > 0), "{event:?}");
        }
    }
}
