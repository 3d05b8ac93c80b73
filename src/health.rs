//! `GET /live`, `/ready` and `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio_util::sync::CancellationToken;

use crate::telemetry::Metrics;

/// Serves until `stop`; gives the address it listens on, for port 0. `ready`: does the worker take requests now?
pub async fn serve(
    address: SocketAddr,
    metrics: Metrics,
    ready: Arc<AtomicBool>,
    stop: CancellationToken,
) -> std::io::Result<(SocketAddr, tokio::task::JoinHandle<()>)> {
    let _ = (address, metrics, ready, stop);
    todo!()
}
