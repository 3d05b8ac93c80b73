//! The worker's connections to NATS, one for each purpose: a full one does not hold up the others. All are filtered:
//! whoever hears an event hears the inbox for the stream's acknowledgement with it, and can write there.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event};
use backon::Retryable;

use super::filter::{Filter, retries};
use super::login::{log_in, servers};
use super::run::WorkerError;
use crate::config::WorkerConfig;
use crate::telemetry::Metrics;

/// The server's `max_payload` has to hold every reply and event, bytes: its default.
pub const PAYLOAD_BYTES_MIN: usize = 1024 * 1024;

/// Between two pings. A server that leaves three unanswered is left: the library's own minute each is long for requests
/// that wait.
const PING_EVERY: Duration = Duration::from_secs(10);

/// How long the client library waits to be connected: the filter has its own limits, server by server.
const CONNECT_MAX: Duration = Duration::from_secs(60);
/// How often a connection that is refused at the start is asked for again.
const RETRIES_MAX: usize = 4;

#[derive(Debug)]
pub struct Connections {
    /// Requests and their answers.
    pub requests: Client,
    /// Submitted commands and their results.
    pub submitted: Client,
    /// Events, and what is asked of the streams.
    pub events: Client,
    filter: Filter,
}

impl Connections {
    pub async fn open(config: &WorkerConfig, metrics: &Metrics) -> Result<Connections, WorkerError> {
        let servers = servers(&config.nats_url);
        let filter = Filter::open(&servers, metrics.clone()).await.map_err(WorkerError::Unreachable)?;
        let login = log_in(ConnectOptions::new(), config.nats_creds.as_deref(), &servers).await;
        let login = login.map_err(WorkerError::Credentials)?;
        let connect = |purpose| connect(login.clone(), filter.url(), metrics, purpose);
        let (requests, submitted, events) =
            (connect("requests").await?, connect("submitted commands").await?, connect("events").await?);
        let connections = Connections { requests, submitted, events, filter };
        match connections.requests.max_payload() {
            found if found < PAYLOAD_BYTES_MIN => Err(WorkerError::MaxPayload { found, needed: PAYLOAD_BYTES_MIN }),
            _ => Ok(connections),
        }
    }

    /// Ends them when all that was published is with the server.
    pub async fn close(&self) -> Result<(), async_nats::Error> {
        for client in [&self.requests, &self.submitted, &self.events] {
            client.flush().await?;
            client.drain().await?;
        }
        self.filter.ended().await;
        Ok(())
    }
}

async fn connect(
    login: ConnectOptions,
    url: String,
    metrics: &Metrics,
    purpose: &'static str,
) -> Result<Client, WorkerError> {
    let metrics = Arc::new(metrics.clone());
    let options = login
        .name(format!("berth worker: {purpose}"))
        .ping_interval(PING_EVERY)
        .connection_timeout(CONNECT_MAX)
        .event_callback(move |event| {
            let metrics = Arc::clone(&metrics);
            async move {
                match event {
                    Event::SlowConsumer(_) => metrics.slow_consumer(),
                    event => tracing::info!(%event, connection = purpose, "NATS"),
                }
            }
        });
    // One of several servers may take no login now: it is full, or about to end. The filter then tries another.
    let connected = (|| options.clone().connect(url.clone())).retry(retries().with_max_times(RETRIES_MAX));
    connected.when(|error| !is_refused(error.kind())).await.map_err(WorkerError::Nats)
}

/// The login is wrong, wherever it is tried.
fn is_refused(error: ConnectErrorKind) -> bool {
    matches!(error, ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation)
}
