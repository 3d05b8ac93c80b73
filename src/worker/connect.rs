//! The worker's connections to NATS, one for each purpose. The client library gives a connection up when a message on
//! it has malformed headers, which anybody who may publish can send: it comes back at once, but what was in transit is
//! lost. So a message on one path does not touch the others, and the relay's takes no tenant's message at all.

use std::sync::Arc;

use super::login::{log_in, servers};
use super::run::WorkerError;
use crate::config::WorkerConfig;
use crate::telemetry::Metrics;

/// The server's `max_payload` has to hold every reply and event, bytes: its default.
pub const PAYLOAD_BYTES_MIN: usize = 1024 * 1024;

#[derive(Clone, Debug)]
pub struct Connections {
    /// Requests and their answers.
    pub requests: async_nats::Client,
    /// Submitted commands and their results.
    pub submitted: async_nats::Client,
    /// Events, and what is asked of the streams.
    pub events: async_nats::Client,
}

impl Connections {
    pub async fn open(config: &WorkerConfig, metrics: &Metrics) -> Result<Connections, WorkerError> {
        let connections = Connections {
            requests: connect(config, metrics, "requests").await?,
            submitted: connect(config, metrics, "submitted commands").await?,
            events: connect(config, metrics, "events").await?,
        };
        match connections.requests.max_payload() {
            found if found < PAYLOAD_BYTES_MIN => Err(WorkerError::MaxPayload { found, needed: PAYLOAD_BYTES_MIN }),
            _ => Ok(connections),
        }
    }
}

async fn connect(
    config: &WorkerConfig,
    metrics: &Metrics,
    purpose: &'static str,
) -> Result<async_nats::Client, WorkerError> {
    let metrics = Arc::new(metrics.clone());
    let name = format!("berth worker: {purpose}");
    let options = async_nats::ConnectOptions::new().name(name).event_callback(move |event| {
        let metrics = Arc::clone(&metrics);
        async move {
            match event {
                async_nats::Event::SlowConsumer(_) => metrics.slow_consumer(),
                event => tracing::info!(%event, connection = purpose, "NATS"),
            }
        }
    });
    let servers = servers(&config.nats_url);
    let options = log_in(options, config.nats_creds.as_deref(), &servers).await.map_err(WorkerError::Credentials)?;
    options.connect(servers).await.map_err(WorkerError::Nats)
}
