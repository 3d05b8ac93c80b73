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

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::telemetry::Metrics;
use passage::Passage;
use servers::{Connected, Servers};

/// Between two attempts to reach a server.
const RETRY_DELAY: Duration = Duration::from_millis(100);

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
        // Either end has gone; the client library sees it, and connects anew.
        let passage = Passage { servers: self.servers, metrics: self.metrics };
        if let Err(error) = passage.pass(client, connected).await {
            tracing::info!(%error, "a connection to NATS has ended");
        }
    }

    /// A server, however long it takes.
    async fn reach(&self) -> Connected {
        let mut is_first = true;
        loop {
            match self.servers.connect().await {
                Ok(connected) => return connected,
                Err(error) if is_first => tracing::warn!(%error, "NATS can't be reached"),
                Err(_) => (),
            }
            is_first = false;
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }
}
