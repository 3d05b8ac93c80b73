//! Requests and replies of the verbs on locks, as the contract writes them. Members that mean nothing here are left
//! out, and more of them may come.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// How a lock is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// By one alone.
    #[default]
    Exclusive,
    /// Beside other shared holders, while nobody holds it exclusively.
    Shared,
}

impl Mode {
    /// Is it what goes without saying?
    fn is_default(&self) -> bool {
        *self == Mode::default()
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct LockRequest<'a> {
    pub requester: &'a str,
    pub resource: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Mode::is_default")]
    pub mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LockStatus {
    Acquired,
    AlreadyHad,
    AlreadyHeld,
    NotAvailable,
    NotValid,
    Queued,
}

#[derive(Clone, Debug, Deserialize)]
pub struct LockReply {
    pub status: LockStatus,
    pub release_token: Option<String>,
    pub fencing_token: Option<i64>,
    pub expires_at: Option<DateTime<Utc>>,
    pub lock_id: Option<String>,
    #[serde(default)]
    pub position: Option<u64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct RenewRequest<'a> {
    pub resource: &'a str,
    pub release_token: &'a str,
    pub ttl_seconds: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RenewStatus {
    Renewed,
    NotReserved,
    DoesntOwnReservation,
}

#[derive(Clone, Debug, Deserialize)]
pub struct RenewReply {
    pub status: RenewStatus,
    pub expires_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug, Serialize)]
pub struct UnlockRequest<'a> {
    pub requester: &'a str,
    pub resource: &'a str,
    pub release_token: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UnlockStatus {
    Relinquished,
    NotReserved,
    DoesntOwnReservation,
}

#[derive(Clone, Debug, Deserialize)]
pub struct UnlockReply {
    pub status: UnlockStatus,
}

#[derive(Clone, Debug, Serialize)]
pub struct VerifyRequest<'a> {
    pub resource: &'a str,
    pub fencing_token: i64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Verified {
    pub current: bool,
}

/// A refusal's body.
#[derive(Debug, Deserialize)]
pub struct RefusalReply {
    pub error: Refusal,
}

#[derive(Debug, Deserialize)]
pub struct Refusal {
    pub code: String,
    pub message: String,
    pub retryable: bool,
    #[serde(default)]
    pub details: Details,
}

#[derive(Debug, Default, Deserialize)]
pub struct Details {
    #[serde(default)]
    pub retry_after_ms: Option<u64>,
}

/// The part of a CloudEvent that tells whose it is.
#[derive(Debug, Deserialize)]
pub struct Event {
    /// The `lock_id`.
    pub subject: String,
}
