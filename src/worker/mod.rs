//! Requests in from NATS, batches through `store` and `domain`, replies out.

pub mod streams;

use tokio_util::sync::CancellationToken;

use crate::config::WorkerConfig;

/// Why a worker stopped, other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error(transparent)]
    Unfit(#[from] crate::store::start::UnfitDatabase),
    #[error(transparent)]
    Streams(#[from] streams::UnfitStreams),
    #[error("could not connect to NATS")]
    Nats(#[source] async_nats::ConnectError),
    #[error("the subject root is not [a-z0-9][a-z0-9_-]{{0,31}}")]
    SubjectRoot,
    #[error("could not listen on {address} for health and metrics")]
    Http {
        address: std::net::SocketAddr,
        #[source]
        source: std::io::Error,
    },
}

/// Runs a worker until `stop` is cancelled (or it cannot start): checks the servers, then serves, ticks and relays.
/// On `stop` it takes no more, decides what is in hand, answers it, and returns.
pub async fn run(config: WorkerConfig, stop: CancellationToken) -> Result<(), WorkerError> {
    let _ = (config, stop);
    todo!()
}
