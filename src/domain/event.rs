//! What happened: one event for each version of a hold.

use super::command::Trace;
use super::hold::{Hold, Status};
use super::id::{Actor, Lane};
use super::window::{Delta, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventType {
    Placed,
    Held,
    Active,
    Ended,
    Expired,
    Canceled,
    Extended,
    Reduced,
    Paused,
    Resumed,
    /// Its name, tags or volumes.
    Updated,
    /// Its end is near: its status stays as it is.
    EndingSoon,
    /// A lock could not be had, and is waited for.
    Queued,
}

impl EventType {
    pub const ALL: [EventType; 13] = [
        EventType::Placed,
        EventType::Held,
        EventType::Active,
        EventType::Ended,
        EventType::Expired,
        EventType::Canceled,
        EventType::Extended,
        EventType::Reduced,
        EventType::Paused,
        EventType::Resumed,
        EventType::Updated,
        EventType::EndingSoon,
        EventType::Queued,
    ];

    /// As it stands in subjects and in the database.
    pub fn name(self) -> &'static str {
        match self {
            EventType::Placed => "placed",
            EventType::Held => "held",
            EventType::Active => "active",
            EventType::Ended => "ended",
            EventType::Expired => "expired",
            EventType::Canceled => "canceled",
            EventType::Extended => "extended",
            EventType::Reduced => "reduced",
            EventType::Paused => "paused",
            EventType::Resumed => "resumed",
            EventType::Updated => "updated",
            EventType::EndingSoon => "ending_soon",
            EventType::Queued => "queued",
        }
    }

    pub fn parse(name: &str) -> Option<EventType> {
        EventType::ALL.into_iter().find(|event_type| event_type.name() == name)
    }
}

/// What an event gives back, cents; `None` where it gives nothing of the kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credits {
    /// For what was given back.
    pub return_cents: Option<i64>,
    /// For what was paused, since it was paused or credited last.
    pub pause_cents: Option<i64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub lane: Lane,
    /// Gapless within the lane, from 1.
    pub seq: i64,
    /// The number of the same hold's event before; `None` for its first.
    pub previous_seq: Option<i64>,
    pub event_type: EventType,
    /// When it was decided.
    pub at: Instant,
    /// The instant from which it counts, such as the scheduled start.
    pub effective_at: Instant,
    /// `None` for a hold's first event.
    pub previous_status: Option<Status>,
    pub actor: Option<Actor>,
    pub trace: Option<Trace>,
    /// The hold after the change.
    pub hold: Hold,
    /// What changed in the use of its pool.
    pub usage: Vec<Delta>,
    pub credits: Credits,
}

impl Event {
    /// When what it claims from its pool lapses by itself, if it does.
    pub fn lapses_at(&self) -> Option<Instant> {
        match self.hold.status {
            Status::Held => self.hold.expires_at,
            _ => None,
        }
    }
}
