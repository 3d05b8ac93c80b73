//! What went wrong with a request, as opposed to what was answered.

use std::time::Duration;

/// Why there is no answer to act upon. `Display` names one operation; the cause is the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// The client was made outside of a tokio runtime.
    #[error("the lock client needs a tokio runtime")]
    NoRuntime(#[source] tokio::runtime::TryCurrentError),
    /// The tenant or the subject root cannot be a token of a subject.
    #[error("the {what} is not {form}")]
    InvalidName {
        /// `tenant` or `subject root`.
        what: &'static str,
        /// What it should look like.
        form: &'static str,
    },
    /// A time to live of less than a second.
    #[error("the time to live is less than a second")]
    InvalidDuration,
    /// The request could not be written as JSON.
    #[error("cannot write the request {verb}")]
    Unwritable {
        /// The verb that was to be asked.
        verb: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The worker said no, or could not decide within [`request_timeout`](super::LockOptions::request_timeout).
    #[error("{verb} was refused: {code}: {message}")]
    Refused {
        /// The verb that was asked.
        verb: &'static str,
        /// The contract's stable code, e.g. `quota_exceeded`.
        code: String,
        /// One sentence for a person.
        message: String,
        /// Whether the same request may be accepted later.
        is_retryable: bool,
    },
    /// Nobody answered in time. Whether it was done is not known.
    #[error("no answer to {verb} within {waited:?}")]
    NoAnswer {
        /// The verb that was asked.
        verb: &'static str,
        /// How long it was tried.
        waited: Duration,
        /// How the last attempt ended.
        #[source]
        source: async_nats::RequestError,
    },
    /// The request cannot be sent: it is too large, for instance.
    #[error("cannot send the request {verb}")]
    Unsendable {
        /// The verb that was to be asked.
        verb: &'static str,
        /// Why.
        #[source]
        source: async_nats::RequestError,
    },
    /// The answer is not one of this contract's.
    #[error("cannot read the answer to {verb}")]
    InvalidAnswer {
        /// The verb that was asked.
        verb: &'static str,
        /// Why; `None` where a member is missing that this status has.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// The events cannot be subscribed to, so that the grant could not be heard of.
    #[error("cannot subscribe to the lock's events")]
    Unsubscribable(#[source] async_nats::SubscribeError),
    /// The lock was granted, but its time to live had passed on this process's clock when the answer came. It is given
    /// back in the background.
    #[error("the lock was granted too late to be used")]
    TooLate,
    /// The requester has the lock, but cannot renew it: as a blocker of another lock it lives as long as that one.
    #[error("the requester has the lock already and cannot renew it")]
    NotRenewable,
    /// The lock was asked for without a time to live, and the requester holds it already with one, which cannot be
    /// taken off: ask with one, or release it first.
    #[error("the requester holds the lock already, with a time to live")]
    HasTimeToLive,
}
