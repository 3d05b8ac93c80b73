//! One claim on a resource: a reservation is a hold on a pool, a lock is a hold on a named resource.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::ending_soon;
use super::id::{Actor, HoldId, Label, PoolName, Tenant, ZoneName};
use super::lock::Lock;
use super::resource::LockName;
use super::window::{Delta, Instant, Interval, later};

/// JSON that berth carries and never reads: canonical text, checked and written by `wire`.
#[derive(Clone, PartialEq, Eq)]
pub struct Opaque(Arc<str>);

impl Opaque {
    /// The caller answers for the text being one JSON value.
    pub fn new(json: &str) -> Opaque {
        Opaque(json.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a hold is in its life. The first five are live, the last three are terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    Waitlisted,
    Held,
    Pending,
    Active,
    Paused,
    Canceled,
    Ended,
    Expired,
}

impl Status {
    pub const ALL: [Status; 8] = [
        Status::Waitlisted,
        Status::Held,
        Status::Pending,
        Status::Active,
        Status::Paused,
        Status::Canceled,
        Status::Ended,
        Status::Expired,
    ];

    pub fn is_terminal(self) -> bool {
        matches!(self, Status::Canceled | Status::Ended | Status::Expired)
    }

    /// As it is written on the wire and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Status::Waitlisted => "Waitlisted",
            Status::Held => "Held",
            Status::Pending => "Pending",
            Status::Active => "Active",
            Status::Paused => "Paused",
            Status::Canceled => "Canceled",
            Status::Ended => "Ended",
            Status::Expired => "Expired",
        }
    }

    pub fn parse(name: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// Why a hold is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Its end time came.
    EndTime,
    /// All of it was terminated.
    Terminated,
    /// It was canceled before it started.
    Canceled,
    /// A hold was not confirmed in time.
    HoldExpired,
    /// A lock's time to live ran out.
    TtlExpired,
    /// A lock was not granted within the wait that was asked for.
    WaitExpired,
    /// A lock was released by its holder.
    Released,
    /// The operator lowered the pool's capacity, and what was booked no longer fitted.
    CapacityWithdrawn,
    /// The operator ended it.
    Operator,
}

impl EndReason {
    pub const ALL: [EndReason; 9] = [
        EndReason::EndTime,
        EndReason::Terminated,
        EndReason::Canceled,
        EndReason::HoldExpired,
        EndReason::TtlExpired,
        EndReason::WaitExpired,
        EndReason::Released,
        EndReason::CapacityWithdrawn,
        EndReason::Operator,
    ];

    pub fn name(self) -> &'static str {
        match self {
            EndReason::EndTime => "end_time",
            EndReason::Terminated => "terminated",
            EndReason::Canceled => "canceled",
            EndReason::HoldExpired => "hold_expired",
            EndReason::TtlExpired => "ttl_expired",
            EndReason::WaitExpired => "wait_expired",
            EndReason::Released => "released",
            EndReason::CapacityWithdrawn => "capacity_withdrawn",
            EndReason::Operator => "operator",
        }
    }

    pub fn parse(name: &str) -> Option<EndReason> {
        EndReason::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub id: HoldId,
    pub tenant: Tenant,
    pub status: Status,
    pub end_reason: Option<EndReason>,
    /// 1, 2, 3 … without gaps: one for each event.
    pub version: u32,
    pub created_at: Instant,
    pub created_by: Option<Actor>,
    /// When it became terminal.
    pub deactivated_at: Option<Instant>,
    /// When it lapses by itself: an unconfirmed hold, a lock with a time to live, a wait for a lock.
    pub expires_at: Option<Instant>,
    /// The number of its last event in its lane's journal; 0 before the first.
    pub last_seq: i64,
    pub claim: Claim,
}

/// What is claimed. Shared, because every state of a hold stands in several places of a batch (what is written, its
/// event, the answer) and is only copied where it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    Reservation(Arc<Reservation>),
    Lock(Arc<Lock>),
}

/// Which of the two a hold is. Declared in the order of the variants of [`Claim`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Reservation,
    Lock,
}

impl Kind {
    /// As it is written on the wire and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Reservation => "reservation",
            Kind::Lock => "lock",
        }
    }

    pub fn parse(name: &str) -> Option<Kind> {
        [Kind::Reservation, Kind::Lock].into_iter().find(|kind| kind.name() == name)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    pub pool: PoolName,
    /// The part of the pool that its units are of; `None`: any.
    pub zone: Option<ZoneName>,
    pub name: Option<Label>,
    pub instance_type: Option<Label>,
    pub region: Option<Label>,
    /// Sorted by start, never overlapping, never merged. Empty where all of it was given back before any of it ran.
    pub intervals: Vec<Interval>,
    /// Bound at activation; empty before it.
    pub units: Units,
    /// How many units were bound at activation, 0 before it: a number below it that is not in `units` has been given
    /// back.
    pub units_bound: u32,
    pub launch_specification: Option<Opaque>,
    pub tags: Option<Opaque>,
    pub offer_key: Label,
    pub unit_price_cents: i64,
    pub return_buyback_price_cents: i64,
    pub pause_buyback_price_cents: i64,
    pub total_price_cents: i64,
    /// The first start and the last end, and the largest quantity. Stored, because a terminated reservation keeps
    /// them when its intervals are gone.
    pub start_time: Instant,
    pub end_time: Instant,
    pub quantity: u32,
    /// Since when it is paused without a credit for it; `None` while it is not paused.
    pub paused_at: Option<Instant>,
    /// How long before its end that is announced, seconds, as its pool had it when its terms were set; 0: not at all.
    pub ending_soon_seconds: u32,
    /// The end that was announced last.
    pub warned_end: Option<Instant>,
}

/// The numbers of the units that a reservation holds: sorted, disjoint, half-open ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Units(Vec<(u32, u32)>);

impl Units {
    pub fn first(count: u32) -> Units {
        Units(if count == 0 { Vec::new() } else { vec![(0, count)] })
    }

    /// From ranges as they are stored. Empty and overlapping ranges are for the caller to avoid.
    pub fn from_ranges(ranges: Vec<(u32, u32)>) -> Units {
        Units(ranges)
    }

    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.0
    }

    pub fn count(&self) -> u32 {
        self.0.iter().map(|(from, to)| to - from).sum()
    }

    pub fn contains(&self, unit: u32) -> bool {
        let behind = self.0.partition_point(|(from, _)| *from <= unit);
        behind.checked_sub(1).is_some_and(|index| unit < self.0[index].1)
    }

    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().flat_map(|(from, to)| *from..*to)
    }

    /// Without the given units; those that are not in it change nothing.
    pub fn without(&self, gone: &[u32]) -> Units {
        let gone: BTreeSet<u32> = gone.iter().copied().collect();
        let mut kept: Vec<(u32, u32)> = Vec::new();
        for unit in self.iter().filter(|unit| !gone.contains(unit)) {
            match kept.last_mut() {
                Some(last) if last.1 == unit => last.1 = unit + 1,
                _ => kept.push((unit, unit + 1)),
            }
        }
        Units(kept)
    }
}

impl Hold {
    pub fn kind(&self) -> Kind {
        match self.claim {
            Claim::Reservation(_) => Kind::Reservation,
            Claim::Lock(_) => Kind::Lock,
        }
    }

    pub fn reservation(&self) -> Option<&Reservation> {
        match &self.claim {
            Claim::Reservation(reservation) => Some(reservation),
            Claim::Lock(_) => None,
        }
    }

    pub fn reservation_mut(&mut self) -> Option<&mut Reservation> {
        match &mut self.claim {
            Claim::Reservation(reservation) => Some(Arc::make_mut(reservation)),
            Claim::Lock(_) => None,
        }
    }

    pub fn lock(&self) -> Option<&Lock> {
        match &self.claim {
            Claim::Lock(lock) => Some(lock),
            Claim::Reservation(_) => None,
        }
    }

    pub fn lock_mut(&mut self) -> Option<&mut Lock> {
        match &mut self.claim {
            Claim::Lock(lock) => Some(Arc::make_mut(lock)),
            Claim::Reservation(_) => None,
        }
    }

    /// The lock that it claims, `None` for a reservation.
    pub fn lock_name(&self) -> Option<LockName> {
        self.lock().map(|lock| LockName { tenant: self.tenant.clone(), resource: lock.resource.clone() })
    }

    /// The token of the event's subject between kind and type: the pool, or the lock's type.
    pub fn subject_label(&self) -> &str {
        match &self.claim {
            Claim::Reservation(reservation) => reservation.pool.as_str(),
            Claim::Lock(lock) => lock.resource_type.as_str(),
        }
    }

    /// When a place is opened again that stays closed after a lock on it ran out.
    pub fn opens_at(&self) -> Option<Instant> {
        let delay_seconds = self.lock().map(|lock| lock.delay_seconds).filter(|seconds| *seconds > 0)?;
        let ran_out = self.deactivated_at.filter(|_| self.end_reason == Some(EndReason::TtlExpired))?;
        Some(later(ran_out, delay_seconds))
    }

    /// When the clock changes it next, if it ever does.
    pub fn due_at(&self) -> Option<Instant> {
        let moves_at = self.moves_at();
        match ending_soon::warning_at(self) {
            Some(warning_at) => moves_at.map(|moves_at| moves_at.min(warning_at)),
            None => moves_at,
        }
    }

    /// When its end is to be announced; `None` where that has been done, or is not to be done.
    pub fn ending_soon_at(&self) -> Option<Instant> {
        ending_soon::warning_at(self)
    }

    /// When the clock changes its status next, if it ever does.
    pub(super) fn moves_at(&self) -> Option<Instant> {
        match (self.status, &self.claim) {
            (Status::Waitlisted | Status::Held, _) => self.expires_at,
            (Status::Pending, Claim::Reservation(reservation)) => Some(reservation.start_time),
            (Status::Active | Status::Paused, Claim::Reservation(reservation)) => Some(reservation.end_time),
            (Status::Active, Claim::Lock(_)) => self.expires_at,
            (Status::Expired, Claim::Lock(_)) => self.opens_at(),
            _ => None,
        }
    }

    /// The intervals over which it counts against its pool. A terminated reservation counts up to where it was cut.
    pub fn occupied(&self) -> &[Interval] {
        match (&self.claim, self.status) {
            (_, Status::Canceled | Status::Expired | Status::Waitlisted) | (Claim::Lock(_), _) => &[],
            (Claim::Reservation(reservation), _) => &reservation.intervals,
        }
    }

    /// Until when a terminal hold still counts against its pool: only a reservation that was terminated within a
    /// grain does.
    pub fn occupied_until(&self) -> Option<Instant> {
        let is_cut = matches!(self.end_reason, Some(EndReason::Terminated | EndReason::Operator));
        match self.status.is_terminal() && is_cut {
            true => self.occupied().last().map(|interval| interval.end),
            false => None,
        }
    }
}

/// What changes in a pool's use when a hold goes from one state to the next. Intervals are sorted, so each is searched
/// for, not compared with all.
pub fn usage_change(before: Option<&Hold>, after: &Hold) -> Vec<Delta> {
    interval_change(before.map_or(&[][..], Hold::occupied), after.occupied())
}

/// What changes in units over time where one set of intervals takes the place of another.
pub(super) fn interval_change(was: &[Interval], is: &[Interval]) -> Vec<Delta> {
    if was == is {
        return Vec::new();
    }
    let delta = |interval: &Interval, sign: i64| Delta {
        start: interval.start,
        end: interval.end,
        units: sign * i64::from(interval.quantity),
    };
    let gone = was.iter().filter(|interval| is.binary_search(interval).is_err()).map(|interval| delta(interval, -1));
    let new = is.iter().filter(|interval| was.binary_search(interval).is_err()).map(|interval| delta(interval, 1));
    gone.chain(new).collect()
}
