//! `GET /live`, `/ready` and `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::telemetry::Metrics;

/// How long requests that are under way at the stop may take.
const STOP_MAX: Duration = Duration::from_secs(1);

/// Serves until `stop`; gives the address it listens on, for port 0. `ready`: does the worker take requests now?
pub async fn serve(
    address: SocketAddr,
    metrics: Metrics,
    ready: Arc<AtomicBool>,
    stop: CancellationToken,
) -> std::io::Result<(SocketAddr, tokio::task::JoinHandle<()>)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let router = Router::new()
        .route("/live", get(|| async { "live\n" }))
        .route("/ready", get(move || std::future::ready(readiness(ready.load(Ordering::Relaxed)))))
        .route("/metrics", get(move || std::future::ready(exposition(&metrics))));
    let server = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    let task = tokio::spawn(async move {
        let overdue = async {
            stop.cancelled().await;
            tokio::time::sleep(STOP_MAX).await;
        };
        tokio::select! {
            served = server => if let Err(error) = served {
                tracing::error!(%error, "health and metrics are not served any more");
            },
            () = overdue => {}
        }
    });
    Ok((address, task))
}

fn readiness(is_ready: bool) -> (StatusCode, &'static str) {
    if is_ready { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") }
}

fn exposition(metrics: &Metrics) -> ([(axum::http::HeaderName, &'static str); 1], String) {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render())
}
