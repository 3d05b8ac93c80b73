//! What is booked in a pool whose capacity is to be lowered, and who has to go where it no longer fits.

use std::cmp::Ordering;

use super::hold::{Hold, Status};
use super::id::{HoldId, Tenant, ZoneName};
use super::window::Instant;

/// Most reservations that one command ends.
pub const VICTIMS_MAX: usize = 10_000;
/// Most reservations that a refusal lists, beside the count of all.
pub const LISTED_MAX: usize = 100;

/// A stretch of time in which more is booked than there would be, of the pool or of one of its zones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub zone: Option<ZoneName>,
    pub start: Instant,
    pub end: Instant,
    /// What is booked and what there would be, units, at its worst instant.
    pub requested: u32,
    pub available: u32,
}

impl Stretch {
    /// The most units that a reservation holds in this stretch, 0 where it holds none.
    pub fn held_by(&self, hold: &Hold) -> u32 {
        let Some(reservation) = hold.reservation() else { return 0 };
        if self.zone.is_some() && self.zone != reservation.zone {
            return 0;
        }
        let meets = hold.occupied().iter().filter(|interval| interval.start < self.end && interval.end > self.start);
        meets.map(|interval| interval.quantity).max().unwrap_or_default()
    }
}

/// A reservation that is booked where capacity would be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booked {
    pub id: HoldId,
    pub tenant: Tenant,
    /// The most units that it holds there.
    pub quantity: u32,
}

/// A reservation that was ended because capacity was withdrawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawn {
    pub id: HoldId,
    pub tenant: Tenant,
    pub status: Status,
    /// The most units that it held.
    pub quantity: u32,
    pub credit_cents: i64,
}

/// The order in which reservations are ended until the rest fits. Of those that are equal the newest goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VictimOrder {
    NewestFirst,
    OldestFirst,
    SmallestFirst,
    LargestFirst,
}

impl VictimOrder {
    pub const ALL: [VictimOrder; 4] =
        [VictimOrder::NewestFirst, VictimOrder::OldestFirst, VictimOrder::SmallestFirst, VictimOrder::LargestFirst];

    pub fn name(self) -> &'static str {
        match self {
            VictimOrder::NewestFirst => "newest_first",
            VictimOrder::OldestFirst => "oldest_first",
            VictimOrder::SmallestFirst => "smallest_first",
            VictimOrder::LargestFirst => "largest_first",
        }
    }

    pub fn parse(name: &str) -> Option<VictimOrder> {
        VictimOrder::ALL.into_iter().find(|order| order.name() == name)
    }

    /// What the quantity and the age count for: ascending by `quantity * first`, then by `created_at * second`, then
    /// by id.
    pub fn signs(self) -> (i32, i32) {
        match self {
            VictimOrder::NewestFirst => (0, -1),
            VictimOrder::OldestFirst => (0, 1),
            VictimOrder::SmallestFirst => (1, -1),
            VictimOrder::LargestFirst => (-1, -1),
        }
    }

    pub fn compare(self, one: &Hold, other: &Hold) -> Ordering {
        let (by_quantity, by_age) = self.signs();
        let key = |hold: &Hold| {
            let quantity = hold.reservation().map_or(0, |reservation| i64::from(reservation.quantity));
            (i64::from(by_quantity) * quantity, i64::from(by_age) * hold.created_at.timestamp_micros(), hold.id)
        };
        key(one).cmp(&key(other))
    }
}
