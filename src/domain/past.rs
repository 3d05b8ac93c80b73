//! A reservation's past, told from its events: what `history` shows.

use super::ending_soon;
use super::event::EventType;
use super::hold::{Hold, Status};
use super::id::Actor;
use super::tick::coming;
use super::window::{Instant, floor};

/// Transitions of units are told together where they lie in one such window, counted from 1970-01-01T00:00:00Z.
const UNITS_WINDOW_SECONDS: u32 = 60;

/// One version of a reservation, as its event recorded it.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    pub event_type: EventType,
    /// The instant from which it counts. Never falls from one version to the next.
    pub effective_at: Instant,
    pub actor: Option<Actor>,
    /// What it credited for units given back, and for time paused, cents.
    pub return_credit_cents: Option<i64>,
    pub pause_credit_cents: Option<i64>,
    /// The reservation after the change.
    pub hold: Hold,
}

impl Recorded {
    /// Since when it was paused and when its end was to be announced, as the event tells it.
    pub fn with_told(mut self, paused_at: Option<Instant>, ending_soon_at: Option<Instant>) -> Recorded {
        self.hold = ending_soon::due_at(self.hold, ending_soon_at);
        if let Some(reservation) = self.hold.reservation_mut() {
            reservation.paused_at = paused_at;
        }
        self
    }

    /// The same of an event that was written when events told neither: as the reservation is now, as far as that can
    /// have been so then.
    pub fn with_guessed(mut self) -> Recorded {
        let is_announcement = self.event_type == EventType::EndingSoon;
        let announced = ending_soon::announced_by(&self.hold, is_announcement, self.effective_at);
        let is_paused = self.hold.status == Status::Paused;
        if let Some(reservation) = self.hold.reservation_mut() {
            reservation.warned_end = announced;
            reservation.paused_at = match self.event_type {
                EventType::Paused => Some(self.effective_at),
                _ => reservation.paused_at.filter(|_| is_paused),
            };
        }
        self
    }

    /// What is due at `now` and not yet an event, as the events that will come: reads show what is due.
    pub fn due(hold: &Hold, now: Instant) -> impl Iterator<Item = Recorded> {
        coming(hold, now).map(|(event_type, effective_at, hold, credits)| Recorded {
            event_type,
            effective_at,
            actor: None,
            return_credit_cents: credits.return_cents,
            pause_credit_cents: credits.pause_cents,
            hold,
        })
    }
}

/// How many of its units run.
pub fn running(hold: &Hold) -> u32 {
    match hold.status {
        Status::Active => hold.reservation().map_or(0, |reservation| reservation.units.count()),
        _ => 0,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// What happened to the reservation.
    Event(EventType),
    /// Its price, credits and end were set by the event before.
    TermsSet,
    TermsChanged,
    UnitsRunning,
    UnitsStopped,
}

/// One line of a reservation's history.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub at: Instant,
    pub kind: EntryKind,
    pub actor: Option<Actor>,
    /// Cents per unit-hour; where terms are set or changed.
    pub unit_price_cents: Option<i64>,
    /// Cents; where they were credited.
    pub pause_credit_cents: Option<i64>,
    pub return_credit_cents: Option<i64>,
    /// How many units began or ceased to run within the window; of `UnitsRunning` and `UnitsStopped` only.
    pub count: Option<u32>,
}

/// Events in, in the order of their versions; lines out, in the order of time.
#[derive(Debug, Default)]
pub struct History {
    entries: Vec<Entry>,
    /// How many units run after the last event; `None` before the first.
    running: Option<u32>,
}

impl History {
    pub fn add(&mut self, event: &Recorded) {
        let terms = terms(event.event_type);
        let credits = (event.pause_credit_cents, event.return_credit_cents);
        let mut entry = Entry {
            at: event.effective_at,
            kind: EntryKind::Event(event.event_type),
            actor: event.actor.clone(),
            unit_price_cents: None,
            // Where terms follow they tell it.
            pause_credit_cents: credits.0.filter(|_| terms.is_none()),
            return_credit_cents: credits.1.filter(|_| terms.is_none()),
            count: None,
        };
        self.entries.push(entry.clone());
        if let Some(kind) = terms {
            entry.kind = kind;
            entry.unit_price_cents = event.hold.reservation().map(|reservation| reservation.unit_price_cents);
            (entry.pause_credit_cents, entry.return_credit_cents) = credits;
            self.entries.push(entry);
        }
        self.tell_units(event);
    }

    fn tell_units(&mut self, event: &Recorded) {
        let after = running(&event.hold);
        // Where the beginning is forgotten, what ran before is not known.
        let before = self.running.unwrap_or(if event.hold.version <= 1 { 0 } else { after });
        self.running = Some(after);
        let (kind, count) = match after >= before {
            true => (EntryKind::UnitsRunning, after - before),
            false => (EntryKind::UnitsStopped, before - after),
        };
        if count == 0 {
            return;
        }
        let window = floor(event.effective_at, UNITS_WINDOW_SECONDS);
        let told = self.entries.iter_mut().rev().take_while(|entry| entry.at >= window);
        match told.into_iter().find(|entry| entry.kind == kind) {
            Some(entry) => entry.count = Some(entry.count.unwrap_or(0).saturating_add(count)),
            None => self.entries.push(Entry {
                at: event.effective_at,
                kind,
                actor: None,
                unit_price_cents: None,
                pause_credit_cents: None,
                return_credit_cents: None,
                count: Some(count),
            }),
        }
    }

    pub fn finish(self) -> Vec<Entry> {
        self.entries
    }
}

/// Where the later part of some lines begins, about half of them: never within a window of units, so that neither part
/// tells of the other's. 0 where they can't be parted.
pub fn later_part(entries: &[Entry]) -> usize {
    let window = |index: usize| entries.get(index).map(|entry| floor(entry.at, UNITS_WINDOW_SECONDS));
    let half = entries.len() / 2;
    let is_border = |index: &usize| *index > 0 && window(*index) != window(index - 1);
    (half..entries.len()).find(is_border).or_else(|| (1..half).rev().find(is_border)).unwrap_or(0)
}

/// Which line about terms follows an event.
fn terms(event_type: EventType) -> Option<EntryKind> {
    match event_type {
        EventType::Placed | EventType::Held => Some(EntryKind::TermsSet),
        EventType::Extended | EventType::Reduced => Some(EntryKind::TermsChanged),
        _ => None,
    }
}
