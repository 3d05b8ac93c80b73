//! What is asked before something is reserved, and what is answered. A look changes nothing. It is decided like a
//! command, upon the same use of the pool, so that it never disagrees with the command that it asks about.

use super::command::{Check, InstanceKind, PriceLimit, Reserve};
use super::hold::Hold;
use super::id::{HoldId, Lane, LaneSet, PoolName, ResourceName};
use super::resource::Offer;
use super::window::{Instant, Interval};

#[derive(Clone, Debug)]
pub enum Look {
    Availability(Availability),
    Find(Find),
    /// How far could this reservation be extended?
    Extension(HoldId),
    Quote(Quote),
    /// Who holds these locks?
    Locks(Check),
}

/// The pool that is looked at.
#[derive(Clone, Debug)]
pub struct Target {
    /// As asked for, or as found for `wanted_kind` before the lanes were locked; `None` where none was found.
    pub pool: Option<PoolName>,
    /// The request named a kind instead of a pool; checked again under the lock.
    pub wanted_kind: Option<InstanceKind>,
}

#[derive(Clone, Debug)]
pub struct Availability {
    pub target: Target,
    pub mode: Mode,
}

#[derive(Clone, Copy, Debug)]
pub enum Mode {
    /// Until when could so many units be had from `start` on?
    LatestEnd { start: Instant, quantity: u32 },
    /// What is free between these two instants?
    Slots { earliest_start: Instant, latest_end: Instant },
    /// Could exactly this be reserved?
    Check(Interval),
}

/// The next windows that could be reserved.
#[derive(Clone, Debug)]
pub struct Find {
    /// Not empty; more than one only where each is named by its pool.
    pub targets: Vec<Target>,
    /// The request gave `pools`, so the answer names the pool of each window.
    pub is_many: bool,
    pub quantity: u32,
    pub duration_seconds: u32,
    pub earliest_start: Instant,
    pub latest_end: Instant,
    /// Most windows that are answered.
    pub limit: u32,
}

/// What would this window cost, by each offer?
#[derive(Clone, Debug)]
pub struct Quote {
    pub target: Target,
    pub window: Interval,
}

/// What a look is answered with.
#[derive(Clone, Debug, PartialEq)]
pub enum Looked {
    /// `None`: nothing fits from that start on.
    LatestEnd(Option<Instant>),
    /// Sorted by time, none touching one of the same quantity.
    Slots(Vec<Interval>),
    Check(bool),
    /// Sorted by start, then in the order of the pools asked for; each with its pool where several were asked for.
    Found(Vec<(Interval, Option<PoolName>)>),
    /// `latest_end` is the present end where it is not available.
    Extension {
        is_available: bool,
        latest_end: Instant,
    },
    Quoted(Vec<Quoted>),
    /// One for each lock asked about, in their order; `is_many`: an array was asked for.
    Locks {
        locks: Vec<Checked>,
        is_many: bool,
    },
}

/// Whether a lock can be had by somebody who has none.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    pub resource: ResourceName,
    /// Nobody else could have it in exclusive mode now.
    pub is_reserved: bool,
    /// The claims that hold it, in the order in which they were granted.
    pub holders: Vec<Hold>,
    /// How many wait for it.
    pub waiting: usize,
}

/// What a window costs by one offer, in cents.
#[derive(Clone, Debug, PartialEq)]
pub struct Quoted {
    pub offer: Offer,
    pub total_price_cents: i64,
    /// What would be credited for all of its unit-hours given back, and for all of them paused.
    pub total_return_cents: i64,
    pub total_pause_cents: i64,
}

impl Look {
    /// The lanes that have to be locked to decide it.
    pub fn lanes(&self) -> LaneSet {
        match self {
            Look::Availability(Availability { target, .. }) | Look::Quote(Quote { target, .. }) => {
                LaneSet::from_iter([target.lane()])
            }
            Look::Find(find) => find.targets.iter().map(Target::lane).collect(),
            Look::Extension(id) => LaneSet::from_iter([id.lane()]),
            Look::Locks(_) => LaneSet::default(), // those of their names
        }
    }

    /// The kind whose pool has to be found before the lane is known, and where it goes.
    pub fn wanted_kind(&mut self) -> Option<(&InstanceKind, &mut Option<PoolName>)> {
        let target = match self {
            Look::Availability(Availability { target, .. }) | Look::Quote(Quote { target, .. }) => target,
            Look::Find(find) => find.targets.first_mut()?,
            Look::Extension(_) | Look::Locks(_) => return None,
        };
        Some((target.wanted_kind.as_ref()?, &mut target.pool))
    }
}

impl Target {
    /// Without a pool it is refused; some lane is locked all the same, for its time.
    fn lane(&self) -> Lane {
        self.pool.as_ref().map_or(Lane::FIRST, Lane::of_pool)
    }
}

impl Reserve {
    /// The plainest reservation of one window. Whose pool it is of is not said.
    pub fn of_window(window: Interval) -> Reserve {
        Reserve {
            pool: None,
            wanted_kind: None,
            name: None,
            intervals: vec![window],
            positions: None,
            tags: None,
            launch_specification: None,
            price: PriceLimit::default(),
            hold_seconds: None,
            zone: None,
        }
    }
}
