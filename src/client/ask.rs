//! One request, sent until it is answered or its time is over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::client::RequestErrorKind;
use async_nats::{Client, HeaderMap, Message};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::message::RefusalReply;
use super::{LockError, LockOptions};

const KEY_HEADER: &str = "Idempotency-Key";
const ERROR_HEADER: &str = "Nats-Service-Error-Code";

/// The pause behind the first attempt that failed; twice as long behind each further one.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The longest pause that an overloaded worker may ask for.
const PAUSE_ASKED_MAX: Duration = Duration::from_secs(60);
const ATTEMPT_MIN: Duration = Duration::from_millis(1);
/// Longer ones are taken as this.
const REQUEST_MAX: Duration = Duration::from_secs(86_400);

/// Asks for one tenant.
#[derive(Clone, Debug)]
pub struct Asker {
    whose: Arc<Whose>,
    attempt_timeout: Duration,
}

#[derive(Debug)]
struct Whose {
    nats: Client,
    tenant: String,
    subject_root: String,
    request_timeout: Duration,
}

/// What was answered, and an instant before it was decided.
#[derive(Debug)]
pub struct Answered<R> {
    /// Before the request was sent: the first time where it has a key, because any of its attempts may be the one that
    /// was carried out; the last time where it has none, because each attempt is carried out for itself.
    pub sent_at: Instant,
    pub body: R,
}

/// How one attempt ended.
enum Attempt<R> {
    Answered(R),
    /// To be made again, after so long or longer.
    Again(LockError, Duration),
    Failed(LockError),
}

impl Asker {
    pub fn new(nats: Client, tenant: &str, options: LockOptions) -> Result<Asker, LockError> {
        let small = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let is_token = |text: &str, length_max: usize, marks: &[char]| {
            text.starts_with(small) && text.len() <= length_max && text.chars().all(|c| small(c) || marks.contains(&c))
        };
        if !is_token(tenant, 63, &['-']) {
            return Err(LockError::InvalidName { what: "tenant", form: "[a-z0-9][a-z0-9-]{0,62}" });
        }
        if !is_token(&options.subject_root, 32, &['-', '_']) {
            return Err(LockError::InvalidName { what: "subject root", form: "[a-z0-9][a-z0-9_-]{0,31}" });
        }
        let LockOptions { subject_root, attempt_timeout, request_timeout } = options;
        let request_timeout = request_timeout.min(REQUEST_MAX);
        let whose = Arc::new(Whose { nats, tenant: tenant.to_owned(), subject_root, request_timeout });
        Ok(Asker { whose, attempt_timeout: attempt_timeout.max(ATTEMPT_MIN) })
    }

    pub fn nats(&self) -> &Client {
        &self.whose.nats
    }

    /// Where the event of a grant arrives.
    pub fn grants(&self, resource_type: &str) -> String {
        format!("{}.event.v1.{}.lock.{resource_type}.active", self.whose.subject_root, self.whose.tenant)
    }

    /// When a request that is sent now is given up.
    pub fn give_up(&self) -> Instant {
        Instant::now() + self.whose.request_timeout
    }

    /// The same, asked with attempts of at most so long.
    pub fn hasty(&self, attempt_timeout: Duration) -> Asker {
        let attempt_timeout = self.attempt_timeout.min(attempt_timeout).max(ATTEMPT_MIN);
        Asker { whose: self.whose.clone(), attempt_timeout }
    }

    /// Asks until there is an answer; at least once, and not after `give_up`.
    pub async fn ask<R: DeserializeOwned>(
        &self,
        verb: &'static str,
        key: Option<&str>,
        request: &impl Serialize,
        give_up: Instant,
    ) -> Result<Answered<R>, LockError> {
        let source = |source| LockError::Unwritable { verb, source };
        let payload: Bytes = serde_json::to_vec(request).map_err(source)?.into();
        let first_sent_at = Instant::now();
        let mut pause = PAUSE_MIN;
        loop {
            let sent_at = Instant::now();
            let timeout = give_up.saturating_duration_since(sent_at).clamp(ATTEMPT_MIN, self.attempt_timeout);
            let failure = match self.attempt(verb, key, payload.clone(), timeout).await {
                Attempt::Answered(body) => {
                    let sent_at = if key.is_some() { first_sent_at } else { sent_at };
                    return Ok(Answered { sent_at, body });
                }
                Attempt::Failed(error) => return Err(error),
                Attempt::Again(error, after) => {
                    pause = pause.max(after.min(PAUSE_ASKED_MAX));
                    error
                }
            };
            if give_up <= Instant::now() + pause {
                return Err(failure.after(first_sent_at.elapsed()));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn attempt<R: DeserializeOwned>(
        &self,
        verb: &'static str,
        key: Option<&str>,
        payload: Bytes,
        timeout: Duration,
    ) -> Attempt<R> {
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            headers.insert(KEY_HEADER, key);
        }
        let subject = format!("{}.v1.{}.{verb}", self.whose.subject_root, self.whose.tenant);
        let request = async_nats::Request::new().headers(headers).payload(payload).timeout(Some(timeout));
        match self.whose.nats.send_request(subject, request).await {
            Ok(message) => read(verb, &message),
            Err(source) => match source.kind() {
                RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => {
                    Attempt::Failed(LockError::Unsendable { verb, source })
                }
                RequestErrorKind::TimedOut | RequestErrorKind::NoResponders | RequestErrorKind::Other => {
                    Attempt::Again(LockError::NoAnswer { verb, waited: timeout, source }, Duration::ZERO)
                }
            },
        }
    }
}

fn read<R: DeserializeOwned>(verb: &'static str, message: &Message) -> Attempt<R> {
    let invalid = |source| Attempt::Failed(LockError::InvalidAnswer { verb, source: Some(source) });
    let is_refusal = message.headers.as_ref().is_some_and(|headers| headers.get(ERROR_HEADER).is_some());
    if !is_refusal {
        return serde_json::from_slice(&message.payload).map_or_else(invalid, Attempt::Answered);
    }
    let refusal = match serde_json::from_slice::<RefusalReply>(&message.payload) {
        Ok(reply) => reply.error,
        Err(source) => return invalid(source),
    };
    let (is_retryable, after) = (refusal.retryable, refusal.details.retry_after_ms.unwrap_or(0));
    let error = LockError::Refused { verb, code: refusal.code, message: refusal.message, is_retryable };
    match is_retryable {
        true => Attempt::Again(error, Duration::from_millis(after)),
        false => Attempt::Failed(error),
    }
}

impl LockError {
    /// The last attempt's failure as that of the request as a whole.
    fn after(self, tried: Duration) -> LockError {
        match self {
            LockError::NoAnswer { verb, source, .. } => LockError::NoAnswer { verb, waited: tried, source },
            other => other,
        }
    }

    /// Whether the request may have been carried out all the same.
    pub(super) fn is_in_doubt(&self) -> bool {
        match self {
            LockError::Refused { is_retryable, .. } => *is_retryable,
            LockError::NoAnswer { .. } | LockError::InvalidAnswer { .. } => true,
            _ => false,
        }
    }
}
