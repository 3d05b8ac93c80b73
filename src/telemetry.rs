//! Logs, traces and metrics: what leaves the process so that a person can see inside.

use crate::domain::command::Trace;
use crate::wire::verb::Verb;

/// The metrics of one worker. Cheap to clone; every clone counts into the same figures.
#[derive(Clone, Debug)]
pub struct Metrics {}

impl Metrics {
    pub fn new() -> Metrics {
        todo!()
    }

    /// One request was answered: `code` is `ok` or the refusal's code; seconds from arrival to reply.
    pub fn answered(&self, verb: Verb, code: &str, seconds: f64) {
        let _ = (verb, code, seconds);
        todo!()
    }

    /// A request is in hand (+1) or answered (-1).
    pub fn in_flight(&self, change: i64) {
        let _ = change;
        todo!()
    }

    /// One batch was committed: how many requests and events, and how long from lock to commit.
    pub fn committed(&self, requests: usize, events: usize, seconds: f64) {
        let _ = (requests, events, seconds);
        todo!()
    }

    /// A batch was not committed as decided: `why` is one of `receipt_taken`, `refused`, `lost`, `unknown`.
    pub fn not_committed(&self, why: &'static str) {
        let _ = why;
        todo!()
    }

    /// A request named a reply subject outside the inbox space and was dropped.
    pub fn foreign_reply(&self) {
        todo!()
    }

    /// The client library dropped messages because a subscription was full.
    pub fn slow_consumer(&self) {
        todo!()
    }

    /// The clock changed so many holds, the latest by so many seconds after its instant.
    pub fn ticked(&self, holds: usize, lateness_seconds: f64) {
        let _ = (holds, lateness_seconds);
        todo!()
    }

    /// The relay published so many events, the oldest so many seconds after it was decided.
    pub fn relayed(&self, events: usize, lag_seconds: f64) {
        let _ = (events, lag_seconds);
        todo!()
    }

    /// So many events wait in the journal.
    pub fn backlog(&self, events: i64) {
        let _ = events;
        todo!()
    }

    /// The Prometheus text format.
    pub fn render(&self) -> String {
        todo!()
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

/// The span of one request, and the trace context that its reply and events carry: a child of the request's own
/// where spans are exported, the request's own where they are not.
pub fn request_span(parent: Option<&Trace>, verb: Verb) -> (tracing::Span, Option<Trace>) {
    let _ = (parent, verb);
    todo!()
}

/// Flushes what is buffered when it is dropped.
#[derive(Debug)]
pub struct TelemetryGuard {}

/// Starts logs and, where an exporter is configured, traces.
pub fn init(service_instance: &str) -> TelemetryGuard {
    let _ = service_instance;
    TelemetryGuard {}
}
