//! How commands about locks come out.

use super::hold::Hold;
use super::id::{Requester, ResourceName};
use super::lock::Resource;
use super::outcome::Outcome;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockStatus {
    Acquired,
    AlreadyHad,
    AlreadyHeld,
    /// All places of the resource are taken.
    NotAvailable,
    /// There is no such resource to be locked: its name has to be registered, or it can't be held in that way.
    NotValid,
    Queued,
}

impl LockStatus {
    pub fn name(self) -> &'static str {
        match self {
            LockStatus::Acquired => "ACQUIRED",
            LockStatus::AlreadyHad => "ALREADY_HAD",
            LockStatus::AlreadyHeld => "ALREADY_HELD",
            LockStatus::NotAvailable => "NOT_AVAILABLE",
            LockStatus::NotValid => "NOT_VALID",
            LockStatus::Queued => "QUEUED",
        }
    }
}

/// How a `lock` came out. `claim` is the caller's own hold (`ACQUIRED`, `ALREADY_HAD`, `QUEUED`), never another's.
#[derive(Clone, Debug, PartialEq)]
pub struct LockAnswer {
    pub requester: Requester,
    pub resource: ResourceName,
    pub status: LockStatus,
    pub claim: Option<Hold>,
    /// What the requester holds with it.
    pub blockers: Vec<Hold>,
    /// Of one that waits.
    pub place: Option<Place>,
}

/// Where a claim stands in the queue for its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub position: usize,
    /// `None` where somebody before it holds without end.
    pub wait_seconds: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseStatus {
    Relinquished,
    NotReserved,
    DoesntOwnReservation,
}

impl ReleaseStatus {
    pub fn name(self) -> &'static str {
        match self {
            ReleaseStatus::Relinquished => "RELINQUISHED",
            ReleaseStatus::NotReserved => "NOT_RESERVED",
            ReleaseStatus::DoesntOwnReservation => "DOESNT_OWN_RESERVATION",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct UnlockAnswer {
    pub requester: Requester,
    pub resource: ResourceName,
    pub status: ReleaseStatus,
    /// The names of the places that came free.
    pub released: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenewStatus {
    Renewed,
    NotReserved,
    DoesntOwnReservation,
}

impl RenewStatus {
    pub fn name(self) -> &'static str {
        match self {
            RenewStatus::Renewed => "RENEWED",
            RenewStatus::NotReserved => "NOT_RESERVED",
            RenewStatus::DoesntOwnReservation => "DOESNT_OWN_RESERVATION",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct RenewAnswer {
    pub resource: ResourceName,
    pub status: RenewStatus,
    /// The hold as renewed; `None` where it was not.
    pub claim: Option<Hold>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactStatus {
    /// All, or by `FIRST` one.
    Success,
    /// Some, by `AS_MANY_AS_POSSIBLE`.
    Partial,
    Failed,
}

impl TransactStatus {
    pub fn name(self) -> &'static str {
        match self {
            TransactStatus::Success => "SUCCESS",
            TransactStatus::Partial => "PARTIAL",
            TransactStatus::Failed => "FAILED",
        }
    }
}

/// How a `transact` came out.
#[derive(Clone, Debug, PartialEq)]
pub struct Transacted {
    pub status: TransactStatus,
    /// One for each command, in their order.
    pub results: Vec<TransactItem>,
}

#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // few are without an outcome, and none is kept
pub enum TransactItem {
    /// As it would be answered alone.
    Decided(Outcome),
    /// It would have stood, and was taken back with the others.
    RolledBack,
    /// Not tried: another one before it had what was asked for.
    Skipped,
}

/// What is registered of a resource, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Registered {
    pub resource: Resource,
    /// The names from the root to its own; empty where it stands in no tree.
    pub path: Vec<ResourceName>,
}
