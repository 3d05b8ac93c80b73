//! The journal to JetStream, in order, by one relay at a time.
//!
//! Every worker runs a relay; the one that holds the lease publishes, the others stand by. The holder learns where
//! the stream ends (`tail`), then publishes what the journal has above its cursors, one atomic batch at a time
//! (`publish`), and moves the cursors after each acknowledgement (`term`).
//!
//! Why nothing is published twice, left out or out of order, whatever is killed or delayed:
//! - a batch names the sequence at which the stream must end, so it is appended only to the very stream whose tail
//!   its relay knows. A relay that lost the lease, or a batch that arrives late, finds another end and is refused;
//! - one batch is being committed at a time. Of the batch after it, all is sent but the message that commits it: with
//!   that, it would only name a sequence that the first was to reach, and another relay's batch of the same length
//!   would let it in;
//! - cursors lag by two batches at most, and a new holder, or one in doubt, raises them by the stream's own tail, as
//!   far as the journal has it;
//! - in doubt (no answer, a refusal, an error) it starts over from the lease. There is no other way to publish.

mod publish;
mod recent;
mod tail;
mod term;
mod wake;
mod word;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::publish::EventStream;
use self::recent::Use;
pub use self::recent::{Recent, Source};
use self::term::{Ended, Term};
use self::wake::{Wakes, Woken};
use crate::clock;
use crate::store::StoreError;
use crate::store::journal::{Journal, Lease};
use crate::telemetry::Metrics;
use crate::wire::subject::Subjects;

/// How long the lease lasts: the longest pause of publishing after a holder was killed.
const LEASE_SECONDS: u32 = 6;

/// A third of it, so that two renewals may fail.
const RENEW_EVERY: Duration = Duration::from_secs(LEASE_SECONDS as u64 / 3);

/// How often a relay that stands by asks for the lease.
const STAND_BY: Duration = Duration::from_millis(500);

/// How often the backlog is counted.
const BACKLOG_EVERY: Duration = Duration::from_secs(1);

/// The pauses between attempts that fail: doubled from the first to the last.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What a relay works with.
#[derive(Clone, Debug)]
pub struct Relay {
    pub client: async_nats::Client,
    pub subjects: Subjects,
    pub journal: Journal,
    pub metrics: Metrics,
    /// Woken by this worker's own commits, and by what other workers tell.
    pub wake: Arc<Notify>,
    /// What has just been committed.
    pub recent: Recent,
    /// Events that wait, as last seen: the intake refuses above its limit.
    pub backlog: Arc<std::sync::atomic::AtomicI64>,
}

/// Why a relay starts over.
#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the stream {0} is missing: events wait in the journal until a worker is started again, which makes it")]
    NoStream(String),
    #[error("could not {attempt}")]
    Nats {
        attempt: &'static str,
        #[source]
        source: async_nats::Error,
    },
    #[error("not connected to NATS: events wait in the journal")]
    Disconnected,
    #[error("a batch was acknowledged as {found}, not as {expected}")]
    Acknowledged { found: String, expected: String },
}

impl RelayError {
    fn of<E: Into<async_nats::Error>>(attempt: &'static str) -> impl FnOnce(E) -> RelayError {
        move |source| RelayError::Nats { attempt, source: source.into() }
    }
}

impl Relay {
    /// Publishes while it holds the lease, until `stop`; gives the lease up then. Errors are logged and retried.
    /// While it stands by, it tells the holder what this worker commits.
    pub async fn run(self, stop: CancellationToken) {
        let holder = clock::random_uuid();
        let stream = EventStream::new(&self.client, &self.subjects);
        let mut wakes = Wakes::new(&self);
        let mut watch = Watch::new(&self);
        while !stop.is_cancelled() {
            if let Err(error) = self.hold_once(holder, &stream, &mut wakes, &mut watch, &stop).await {
                let pause = watch.failed(error);
                tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(pause) => {} }
            }
        }
    }

    /// Stands by for the lease, publishes until it is lost, and gives it up: after an error too, because another
    /// worker may be able to do what this one cannot.
    async fn hold_once(
        &self,
        holder: Uuid,
        stream: &EventStream,
        wakes: &mut Wakes,
        watch: &mut Watch<'_>,
        stop: &CancellationToken,
    ) -> Result<(), RelayError> {
        self.recent.set_use(Use::Told);
        let lease = self.stand_by(holder, wakes, watch, stop).await;
        self.recent.set_use(Use::None);
        let Some(lease) = lease? else { return Ok(()) };
        tracing::debug!(epoch = lease.epoch, "holds the relay's lease");
        let ended = match Term::begin(self, stream, lease).await {
            Ok(term) => {
                // Not before: while the stream does not answer, nothing is to be waited for.
                self.recent.set_use(Use::Published);
                term.publish(wakes, watch, stop).await
            }
            Err(error) => Err(error),
        };
        self.recent.set_use(Use::None);
        if !matches!(ended, Ok(Ended::Lost)) {
            self.journal.release(lease).await?;
        }
        ended.map(|_| ())
    }

    /// `None`: told to stop.
    async fn stand_by(
        &self,
        holder: Uuid,
        wakes: &mut Wakes,
        watch: &mut Watch<'_>,
        stop: &CancellationToken,
    ) -> Result<Option<Lease>, RelayError> {
        while !stop.is_cancelled() {
            if let Some(lease) = self.journal.lease(holder, LEASE_SECONDS).await? {
                return Ok(Some(lease));
            }
            watch.count().await?;
            let until = Instant::now() + STAND_BY;
            while wakes.next(until, stop).await == Woken::Grown {
                wakes.tell(self.recent.take_all()).await;
            }
        }
        Ok(None)
    }
}

/// How the relay is doing: the backlog, and what went wrong.
struct Watch<'a> {
    relay: &'a Relay,
    count_at: Instant,
    pause: Duration,
    trouble: Option<String>,
}

impl<'a> Watch<'a> {
    fn new(relay: &'a Relay) -> Watch<'a> {
        Watch { relay, count_at: Instant::now(), pause: PAUSE_FIRST, trouble: None }
    }

    /// Counts the backlog, if it is time to.
    async fn count(&mut self) -> Result<(), StoreError> {
        let now = Instant::now();
        if now < self.count_at {
            return Ok(());
        }
        self.count_at = now + BACKLOG_EVERY;
        let waiting = self.relay.journal.backlog().await?;
        self.relay.backlog.store(waiting, Ordering::Relaxed);
        self.relay.metrics.backlog(waiting);
        Ok(())
    }

    /// Logs an error once for as long as it stays the same; gives how long to pause.
    fn failed(&mut self, error: RelayError) -> Duration {
        let text = format!("{:#}", anyhow::Error::from(error));
        if self.trouble.as_ref() != Some(&text) {
            tracing::error!(error = text, "the relay starts over");
            self.trouble = Some(text);
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE_MAX);
        pause
    }

    fn works(&mut self) {
        if self.trouble.take().is_some() {
            tracing::info!("the relay publishes again");
        }
        self.pause = PAUSE_FIRST;
    }
}
