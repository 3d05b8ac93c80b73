//! The journal to JetStream, in order, by one relay at a time.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::store::journal::Journal;
use crate::telemetry::Metrics;
use crate::wire::subject::Subjects;

/// What a relay works with.
#[derive(Clone, Debug)]
pub struct Relay {
    pub client: async_nats::Client,
    pub subjects: Subjects,
    pub journal: Journal,
    pub metrics: Metrics,
    /// Woken by this worker's own commits.
    pub wake: Arc<Notify>,
    /// Events that wait, as last seen: the intake refuses above its limit.
    pub backlog: Arc<std::sync::atomic::AtomicI64>,
}

impl Relay {
    /// Publishes while it holds the lease, until `stop`; gives the lease up then. Errors are logged and retried.
    pub async fn run(self, stop: CancellationToken) {
        let _ = stop;
        todo!()
    }
}
