//! One worker from start to stop: the servers are checked, the tasks started, and on `stop` everything in hand is
//! decided and answered before it returns.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use async_nats::jetstream;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connect::Connections;
use super::dispatch::Dispatcher;
use super::intake::Intake;
use super::lanes::Lanes;
use super::pass_on::PassOn;
use super::pipeline::{Decider, Shared};
use super::reader::Queries;
use super::tenants::Tenants;
use super::{service, streams, submit};
use crate::config::WorkerConfig;
use crate::health;
use crate::relay::{Recent, Relay};
use crate::store::StoreError;
use crate::store::journal::Journal;
use crate::store::query::Reader;
use crate::store::start::{Database, UnfitDatabase};
use crate::telemetry::Metrics;
use crate::ticker::{self, Alarm};
use crate::wire::subject::Subjects;

/// Between two looks whether Postgres is back.
const PROBE_DELAY: Duration = Duration::from_millis(250);
/// How long a stopping worker waits for what it has in hand.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// How long it waits for its own tasks after that.
const STOP_MAX: Duration = Duration::from_secs(5);
/// Most connections of relay, clock and sweeper.
const BACKGROUND_CONNECTIONS_MAX: u32 = 4;
/// Between two rounds of removing what has been kept long enough.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Most rows of a kind that one round of it removes.
const SWEEP_ROWS_MAX: u32 = 10_000;

/// Why a worker stopped, other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error(transparent)]
    Unfit(#[from] UnfitDatabase),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Streams(#[from] streams::UnfitStreams),
    #[error("could not read the NATS credentials")]
    Credentials(#[source] std::io::Error),
    #[error("could not connect to NATS")]
    Unreachable(#[source] std::io::Error),
    #[error("could not log in to NATS")]
    Nats(#[source] async_nats::ConnectError),
    #[error("the server's max_payload is {found} bytes, berth needs {needed}: raise it")]
    MaxPayload { found: usize, needed: usize },
    #[error("could not serve requests")]
    Service(#[source] async_nats::Error),
    #[error("the subject root is not [a-z0-9][a-z0-9_-]{{0,31}}")]
    SubjectRoot,
    #[error("could not listen on {address} for health and metrics")]
    Http {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
}

/// Where a worker's health is served, while it takes requests; `None` while it does not.
pub type Readiness = watch::Sender<Option<SocketAddr>>;

/// Runs a worker until `stop` is cancelled (or it cannot start): checks the servers, then serves, ticks and relays.
/// On `stop` it takes no more, decides what is in hand, answers it, and returns.
pub async fn run(config: WorkerConfig, readiness: Readiness, stop: CancellationToken) -> Result<(), WorkerError> {
    let subjects = Subjects::new(&config.subject_root).ok_or(WorkerError::SubjectRoot)?;
    // Tenants' reads have connections of their own: a flood of them must not stop relay and clock.
    let reads = Database::connect(&config.database_url, config.readers).await?;
    let database = Database::connect(&config.database_url, BACKGROUND_CONNECTIONS_MAX).await?;
    database.check().await?;
    database.claim(subjects.root()).await?;
    let metrics = Metrics::new();
    let connections = tokio::select! {
        opened = Connections::open(&config, &metrics) => opened?,
        () = stop.cancelled() => return Ok(()), // servers that are silent take long
    };
    streams::prepare(&connections.events, &subjects).await?;
    let ready = Arc::new(AtomicBool::new(false));
    let health_stop = CancellationToken::new();
    let health = health::serve(config.http_addr, metrics.clone(), ready.clone(), health_stop.clone());
    let address = config.http_addr;
    let (address, health) = health.await.map_err(|source| WorkerError::Http { address, source })?;
    let worker = Worker::start(&config, subjects, database, reads, connections, metrics);
    tracing::info!(%address, root = config.subject_root, "serving");
    let set_ready = |is_ready: bool| {
        ready.store(is_ready, Ordering::Relaxed);
        readiness.send_replace(is_ready.then_some(address));
    };
    let served = worker.serve(&config, &set_ready, &stop).await;
    tracing::info!("stopping: what is in hand is answered first");
    worker.drain(&config).await;
    tracing::info!("stopped");
    health_stop.cancel();
    let _ = health.await; // it has nothing to say that its log has not said
    served
}

/// The running parts of a worker, apart from what takes requests.
struct Worker {
    connections: Connections,
    database: Database,
    intake: Intake,
    is_up: watch::Sender<bool>,
    /// Ends the deciders' neighbours: relay, ticker, sweeper.
    background_stop: CancellationToken,
    background: TaskTracker,
    deciders_stop: CancellationToken,
    deciders: Vec<JoinHandle<()>>,
}

impl Worker {
    fn start(
        config: &WorkerConfig,
        subjects: Subjects,
        database: Database,
        reads: Database,
        connections: Connections,
        metrics: Metrics,
    ) -> Worker {
        let in_flight_max = config.in_flight_max as usize;
        let (dispatcher, queues) = Dispatcher::new(usize::from(config.deciders), in_flight_max);
        let (journal_grew, backlog) = (Arc::new(Notify::new()), Arc::new(AtomicI64::new(0)));
        let (is_up, alarm, recent) = (watch::Sender::new(true), Alarm::default(), Recent::default());
        let shared = Shared {
            database: database.clone(),
            lanes: Lanes::new(),
            tenants: Tenants::default(),
            dispatcher: dispatcher.clone(),
            metrics: metrics.clone(),
            alarm: alarm.clone(),
            journal_grew: journal_grew.clone(),
            recent: recent.clone(),
            is_up: is_up.clone(),
            batch_max: config.batch_max as usize,
        };
        let deciders_stop = CancellationToken::new();
        let decide = |queue| tokio::spawn(Decider::new(shared.clone(), queue).run(deciders_stop.clone()));
        let deciders = queues.into_iter().map(decide).collect();
        let relay = Relay {
            client: connections.events.clone(),
            subjects: subjects.clone(),
            journal: Journal::new(database.clone()),
            metrics: metrics.clone(),
            wake: journal_grew,
            recent,
            backlog: backlog.clone(),
        };
        let intake = Intake {
            queries: Queries { reader: Reader::new(reads), payload_bytes_max: connections.requests.max_payload() },
            dispatcher: dispatcher.clone(),
            pass_on: PassOn::new(connections.requests.clone(), subjects.clone()),
            subjects,
            metrics,
            in_hand: Arc::new(Semaphore::new(in_flight_max)),
            backlog,
            backlog_max: i64::from(config.backlog_max),
        };
        let worker = Worker {
            connections,
            deciders,
            deciders_stop: deciders_stop.clone(),
            intake,
            is_up,
            background_stop: CancellationToken::new(),
            background: TaskTracker::new(),
            database,
        };
        worker.start_background(relay, alarm, config.clone());
        worker
    }

    fn start_background(&self, relay: Relay, alarm: Alarm, config: WorkerConfig) {
        let (database, stop) = (self.database.clone(), self.background_stop.clone());
        let (dispatcher, homes) = (self.intake.dispatcher.clone(), self.intake.pass_on.homes.clone());
        let tick = move |lane| dispatcher.tick(lane);
        let is_home = move |lane| homes.is_here(lane);
        let ticker = ticker::run(alarm, database.clone(), self.is_up.clone(), tick, is_home, stop.clone());
        self.background.spawn(relay.run(stop.clone()));
        self.background.spawn(ticker);
        self.background.spawn(sweep(database, config, stop));
    }

    /// Takes requests until `stop`, except while Postgres can't be reached: a worker that answers `unavailable` would
    /// answer fastest, and drain the queue group.
    async fn serve(
        &self,
        config: &WorkerConfig,
        set_ready: &(impl Fn(bool) + Sync),
        stop: &CancellationToken,
    ) -> Result<(), WorkerError> {
        let mut is_up = self.is_up.subscribe();
        while !stop.is_cancelled() {
            let round = stop.child_token();
            let submitted = submit::serve(
                jetstream::new(self.connections.submitted.clone()),
                self.intake.clone(),
                round.child_token(),
            );
            let requests = async {
                let ready = || set_ready(true);
                let served = service::serve(&self.connections, &self.intake, config, ready, round.child_token()).await;
                round.cancel(); // whyever it has ended
                served
            };
            let watched = async {
                tokio::select! {
                    _ = is_up.wait_for(|is_up| !is_up) => (),
                    () = round.cancelled() => (), // by `stop`, too
                }
                set_ready(false);
                round.cancel();
            };
            let ((), served, ()) = tokio::join!(submitted, requests, watched);
            set_ready(false); // again: it may have been lost before it was subscribed
            served.map_err(WorkerError::Service)?;
            self.wait_for_database(stop).await;
        }
        Ok(())
    }

    async fn wait_for_database(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() && !*self.is_up.borrow() {
            match self.database.check().await {
                Ok(()) => {
                    tracing::info!("Postgres is back");
                    self.is_up.send_replace(true);
                }
                Err(error) => tracing::warn!(%error, "not serving: Postgres can't be reached"),
            }
            tokio::select! {
                () = tokio::time::sleep(PROBE_DELAY) => (),
                () = stop.cancelled() => (),
            }
        }
    }

    /// Waits until everything in hand is answered, then ends the tasks.
    async fn drain(self, config: &WorkerConfig) {
        let all_answered = self.intake.in_hand.acquire_many(config.in_flight_max);
        if tokio::time::timeout(DRAIN_MAX, all_answered).await.is_err() {
            tracing::warn!("stopping with requests unanswered: their senders ask again with their keys");
        }
        self.background_stop.cancel();
        self.background.close();
        self.deciders_stop.cancel();
        let ended = async {
            self.background.wait().await;
            for decider in self.deciders {
                let _ = decider.await; // a panic has ended the process
            }
        };
        if tokio::time::timeout(STOP_MAX, ended).await.is_err() {
            tracing::warn!("stopping without waiting for a server that does not answer");
        }
        if !matches!(tokio::time::timeout(STOP_MAX, self.connections.close()).await, Ok(Ok(()))) {
            tracing::warn!("the last answers may not have left");
        }
    }
}

/// Removes what has been kept long enough, a little at a time.
async fn sweep(database: Database, config: WorkerConfig, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match database.sweep(config.receipts_kept, config.journal_kept, config.history_kept, SWEEP_ROWS_MAX).await {
            Ok(swept) if swept.receipts.max(swept.batches).max(swept.journal).max(swept.history) > 0 => continue,
            Ok(_) => (),
            Err(error) => tracing::warn!(%error, cause = %error.source, "could not remove what is old"),
        }
        tokio::select! {
            () = tokio::time::sleep(SWEEP_EVERY) => (),
            () = stop.cancelled() => (),
        }
    }
}
