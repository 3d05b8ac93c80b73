//! Between the servers of NATS and the client library: what comes from a server is passed on as it came, except for
//! messages that the library can't read. Over one of those it would give up the connection, and with it what all
//! others have in hand there; it gets a readable one instead, which is refused like any other that is wrong.
//!
//! The library connects to a port of this machine; each of its connections there becomes one to a server. It sees
//! neither TLS nor the other servers of a cluster: both are cared for here.

mod operation;
mod passage;
mod readable;
mod servers;
mod tls;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::telemetry::Metrics;
use servers::{Connected, Servers};

/// Between two attempts to connect, at first and at most.
const RETRY_DELAY: Duration = Duration::from_millis(100);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(2);

/// How attempts to connect follow each other.
pub fn retries() -> ExponentialBuilder {
    ExponentialBuilder::default().with_min_delay(RETRY_DELAY).with_max_delay(RETRY_DELAY_MAX).with_jitter()
}

/// Listens as long as it lives; connections end when the client library or the server ends them.
#[derive(Debug)]
pub struct Filter {
    address: SocketAddr,
    connections: TaskTracker,
    _listening: DropGuard,
}

impl Filter {
    /// An error where none of these servers can be reached.
    pub async fn open(urls: &[String], metrics: Metrics) -> io::Result<Filter> {
        let servers = Servers::new(urls)?;
        servers.connect().await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, stop, connections) = (listener.local_addr()?, CancellationToken::new(), TaskTracker::new());
        let door = Door { servers: Arc::new(servers), metrics, connections: connections.clone() };
        tokio::spawn(door.open(listener, stop.clone()));
        Ok(Filter { address, connections, _listening: stop.drop_guard() })
    }

    /// Where the client library connects to.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Waits until all that the client library has sent is with the server, once it has ended its connections.
    pub async fn ended(&self) {
        self.connections.close();
        self.connections.wait().await;
    }
}

#[derive(Clone)]
struct Door {
    servers: Arc<Servers>,
    metrics: Metrics,
    connections: TaskTracker,
}

impl Door {
    async fn open(self, listener: TcpListener, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            match accepted {
                Ok((client, _)) => drop(self.connections.spawn(self.clone().serve(client))),
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection of the client library");
                    tokio::time::sleep(RETRY_DELAY).await;
                }
            }
        }
    }

    async fn serve(self, client: TcpStream) {
        let mut first = [0];
        let connected = tokio::select! {
            connected = self.reach() => connected,
            _ = client.peek(&mut first) => return, // it speaks second: it has given up
        };
        let passed = match connected {
            Ok(connected) => passage::pass(self.servers, self.metrics, client, connected).await,
            Err(error) => Err(error),
        };
        // Either end has gone; the client library sees it, and connects anew.
        if let Err(error) = passed {
            tracing::info!(%error, "a connection to NATS has ended");
        }
    }

    /// A server, however long it takes.
    async fn reach(&self) -> io::Result<Connected> {
        let mut is_told = false;
        let tell = |error: &io::Error, _| {
            if !std::mem::replace(&mut is_told, true) {
                tracing::warn!(%error, "NATS can't be reached");
            }
        };
        (|| self.servers.connect()).retry(retries().without_max_times()).notify(tell).await
    }
}
