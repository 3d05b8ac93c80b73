//! What a command is answered with: an answer, or a refusal with a stable code.

use std::fmt;

use super::booked::{Booked, Stretch, Withdrawn};
use super::command::UnitId;
use super::counter::Instead;
use super::hold::{Hold, Status};
use super::id::ResourceName;
use super::look::Looked;
pub use super::outcome_lock::{
    LockAnswer, LockStatus, Place, Registered, ReleaseStatus, RenewAnswer, RenewStatus, TransactItem, TransactStatus,
    Transacted, UnlockAnswer,
};
use super::quota::{Quota, TenantConfig};
use super::resource::Pool;
use super::window::Instant;

pub type Outcome = Result<Answer, Refusal>;

#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Reservation(Box<Hold>),
    Terminated(Box<Terminated>),
    Lock(LockAnswer),
    Unlock(UnlockAnswer),
    Renew(RenewAnswer),
    Registered(Box<Registered>),
    Transacted(Box<Transacted>),
    /// One for each command of the message, in its order.
    Several(Vec<Outcome>),
    Pool(Box<Pool>),
    /// The pool as it was put, and who had to go for it.
    Lowered(Box<Lowered>),
    LockReleased(LockReleased),
    Looked(Box<Looked>),
    /// What it would be; nothing was changed.
    DryRun(Box<Answer>),
    Tenant(Box<TenantConfig>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Terminated {
    pub hold: Hold,
    pub terminated_units: Vec<UnitId>,
    /// Those of the named units that had been given back before.
    pub already_terminated: Vec<UnitId>,
    pub credit_cents: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Lowered {
    pub pool: Pool,
    /// In the order in which they were ended; not empty.
    pub withdrawn: Vec<Withdrawn>,
}

/// How an operator's `lock_release` came out: `claims` are what was ended, none where nobody held the lock.
#[derive(Clone, Debug, PartialEq)]
pub struct LockReleased {
    pub tenant: super::id::Tenant,
    pub resource: super::id::ResourceName,
    pub claims: Vec<Hold>,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldReason {
    MissingField,
    UnknownField,
    DuplicateField,
    WrongType,
    OutOfRange,
    InvalidTimestamp,
    InvalidInterval,
    Misaligned,
    InvalidString,
    InvalidId,
    TooManyItems,
}

impl FieldReason {
    pub fn name(self) -> &'static str {
        match self {
            FieldReason::MissingField => "missing_field",
            FieldReason::UnknownField => "unknown_field",
            FieldReason::DuplicateField => "duplicate_field",
            FieldReason::WrongType => "wrong_type",
            FieldReason::OutOfRange => "out_of_range",
            FieldReason::InvalidTimestamp => "invalid_timestamp",
            FieldReason::InvalidInterval => "invalid_interval",
            FieldReason::Misaligned => "misaligned",
            FieldReason::InvalidString => "invalid_string",
            FieldReason::InvalidId => "invalid_id",
            FieldReason::TooManyItems => "too_many_items",
        }
    }
}

/// One requested interval that does not fit, and the fewest units free at any instant of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortfall {
    pub start: Instant,
    pub end: Instant,
    pub requested: u32,
    /// Zero or more.
    pub available: u32,
}

/// Why a command was refused, in order of precedence: form, tenant, idempotency, deadline, existence, policy, state,
/// time, quota, capacity, price; then what is no fault of the request.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    InvalidJson,
    /// `expected` is a short phrase for a person, such as "an integer from 1 to 10000".
    InvalidRequest {
        field: String,
        reason: FieldReason,
        expected: String,
    },
    PayloadTooLarge {
        bytes_max: usize,
    },
    InvalidIdempotencyKey,
    TenantMismatch,
    /// `field`: the first one that differs from what was sent under the key before.
    IdempotencyKeyConflict {
        field: String,
    },
    DeadlineExceeded,
    NotFound,
    UnknownPool,
    UnknownVerb,
    DurationOutOfPolicy {
        seconds_min: Option<u32>,
        seconds_max: Option<u32>,
    },
    NotCancellable,
    NotExtendable,
    NotPausable,
    NotReducible,
    PoolDisabled,
    /// `allowed`: the statuses in which the command would be taken.
    InvalidState {
        status: Status,
        allowed: Vec<Status>,
    },
    HoldExpired,
    LeadTimeViolation {
        earliest_start: Instant,
    },
    /// `used` and `requested` together are above `limit`; unit-hours begun are shown as whole ones.
    QuotaExceeded {
        quota: Quota,
        limit: u64,
        used: u64,
        requested: u64,
    },
    InsufficientCapacity {
        intervals: Vec<Shortfall>,
        instead: Instead,
    },
    /// A pool can't be put as asked for, because of what is booked: told as `insufficient_capacity`.
    StillBooked {
        stretches: Vec<Stretch>,
        /// The first of the reservations that are booked there, and how many there are.
        reservations: Vec<Booked>,
        count: u64,
    },
    PriceAboveMax {
        unit_price_cents: i64,
    },
    /// What is registered can't be changed as asked for, because of who holds what: told as `invalid_state`.
    StillHeld {
        resources: Vec<ResourceName>,
    },
    Overloaded {
        retry_after_ms: u64,
    },
    Unavailable,
    UnknownOutcome,
}

impl Refusal {
    pub fn field(field: impl Into<String>, reason: FieldReason, expected: impl Into<String>) -> Refusal {
        Refusal::InvalidRequest { field: field.into(), reason, expected: expected.into() }
    }

    /// Stable: what a client compares with.
    pub fn code(&self) -> &'static str {
        self.facts().1
    }

    /// In the manner of HTTP.
    pub fn number(&self) -> u16 {
        self.facts().0
    }

    fn facts(&self) -> (u16, &'static str) {
        match self {
            Refusal::InvalidJson => (400, "invalid_json"),
            Refusal::InvalidRequest { .. } => (400, "invalid_request"),
            Refusal::PayloadTooLarge { .. } => (400, "payload_too_large"),
            Refusal::InvalidIdempotencyKey => (400, "invalid_idempotency_key"),
            Refusal::TenantMismatch => (403, "tenant_mismatch"),
            Refusal::IdempotencyKeyConflict { .. } => (409, "idempotency_key_conflict"),
            Refusal::DeadlineExceeded => (504, "deadline_exceeded"),
            Refusal::NotFound => (404, "not_found"),
            Refusal::UnknownPool => (404, "unknown_pool"),
            Refusal::UnknownVerb => (404, "unknown_verb"),
            Refusal::DurationOutOfPolicy { .. } => (422, "duration_out_of_policy"),
            Refusal::NotCancellable => (422, "not_cancellable"),
            Refusal::NotExtendable => (422, "not_extendable"),
            Refusal::NotPausable => (422, "not_pausable"),
            Refusal::NotReducible => (422, "not_reducible"),
            Refusal::PoolDisabled => (422, "pool_disabled"),
            Refusal::InvalidState { .. } => (409, "invalid_state"),
            Refusal::HoldExpired => (409, "hold_expired"),
            Refusal::LeadTimeViolation { .. } => (422, "lead_time_violation"),
            Refusal::QuotaExceeded { .. } => (429, "quota_exceeded"),
            Refusal::InsufficientCapacity { .. } => (409, "insufficient_capacity"),
            Refusal::StillBooked { .. } => (409, "insufficient_capacity"),
            Refusal::PriceAboveMax { .. } => (409, "price_above_max"),
            Refusal::StillHeld { .. } => (409, "invalid_state"),
            Refusal::Overloaded { .. } => (429, "overloaded"),
            Refusal::Unavailable => (503, "unavailable"),
            Refusal::UnknownOutcome => (504, "unknown_outcome"),
        }
    }

    /// May the same request, sent again as it is, come out otherwise without anybody changing it?
    pub fn is_retryable(&self) -> bool {
        matches!(self, Refusal::Overloaded { .. } | Refusal::Unavailable | Refusal::UnknownOutcome)
    }

    /// Is it the answer to its idempotency key from then on? What says something about the pool, the hold or the tenant is; what
    /// says that nothing was decided is not.
    pub fn is_decided(&self) -> bool {
        let is_of_things =
            matches!(self.number(), 409 | 422) && !matches!(self, Refusal::IdempotencyKeyConflict { .. });
        is_of_things || matches!(self, Refusal::QuotaExceeded { .. })
    }
}

impl fmt::Display for Refusal {
    /// One sentence for a person. Never repeats what the client sent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::InvalidJson => f.write_str("The payload is not a JSON object of at most 32 levels."),
            Refusal::InvalidRequest { field, reason: FieldReason::MissingField, .. } => {
                write!(f, "The field {field} is missing.")
            }
            Refusal::InvalidRequest { field, reason: FieldReason::UnknownField, .. } => {
                write!(f, "The field {field} is not known to this verb.")
            }
            Refusal::InvalidRequest { field, reason: FieldReason::DuplicateField, .. } => {
                write!(f, "The field {field} stands twice.")
            }
            Refusal::InvalidRequest { field, expected, .. } => write!(f, "The field {field} must be {expected}."),
            Refusal::PayloadTooLarge { bytes_max } => write!(f, "The payload is larger than {bytes_max} bytes."),
            Refusal::InvalidIdempotencyKey => {
                f.write_str("Idempotency-Key must be 1 to 255 of A-Z a-z 0-9 _ - : = + / and not begin with berth:.")
            }
            Refusal::TenantMismatch => f.write_str("The body names another tenant than the subject."),
            Refusal::IdempotencyKeyConflict { field } => {
                write!(f, "This idempotency key was used before with another {field}.")
            }
            Refusal::DeadlineExceeded => f.write_str("Berth-Not-After had passed before this was decided."),
            Refusal::NotFound => f.write_str("There is no such thing here."),
            Refusal::UnknownPool => f.write_str("There is no such pool."),
            Refusal::UnknownVerb => f.write_str("There is no such verb."),
            Refusal::LeadTimeViolation { .. } => f.write_str("The start is too early for this pool."),
            Refusal::DurationOutOfPolicy { .. } => f.write_str("The duration is outside of what this pool allows."),
            Refusal::NotCancellable => f.write_str("Reservations of this pool can't be canceled."),
            Refusal::NotExtendable => f.write_str("Reservations of this pool can't be extended."),
            Refusal::NotPausable => f.write_str("Reservations of this pool can't be paused."),
            Refusal::NotReducible => f.write_str("Reservations of this pool can't be reduced."),
            Refusal::PoolDisabled => f.write_str("This pool takes no new reservations."),
            Refusal::InvalidState { status, .. } => {
                write!(f, "This is not possible while the status is {}.", status.name())
            }
            Refusal::HoldExpired => f.write_str("The hold ran out before it was confirmed."),
            Refusal::QuotaExceeded { quota, .. } => {
                write!(f, "This would be more than the quota of {} of this tenant.", quota.name())
            }
            Refusal::InsufficientCapacity { .. } => {
                f.write_str("At least one interval asks for more units than are free.")
            }
            Refusal::StillBooked { .. } => f.write_str("More is booked than there would be."),
            Refusal::PriceAboveMax { .. } => f.write_str("The price is above the maximum that was given."),
            Refusal::StillHeld { .. } => f.write_str("Locks that are held now would stand in each other's way."),
            Refusal::Overloaded { .. } => f.write_str("The worker has all that it can take; try again shortly."),
            Refusal::Unavailable => f.write_str("The database can't be reached; nothing was changed."),
            Refusal::UnknownOutcome => {
                f.write_str("Whether this was done could not be found out; send it again with the same key.")
            }
        }
    }
}
