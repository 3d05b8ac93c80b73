//! Between the servers of NATS and the client library: what comes from a server is passed on as it came, except for
//! messages that the library can't read. Over one of those it would give up the connection, and with it what all
//! others have in hand there; it gets a readable one instead, which is refused like any other that is wrong.
//!
//! The library connects to a port of this machine; each of its connections there becomes one to a server. It sees
//! neither TLS nor the other servers of a cluster: both are cared for here.

mod operation;
mod readable;
mod servers;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::telemetry::Metrics;
use crate::wire::server_info::{self, ServerInfo};
use operation::Operation;
use servers::{Connected, READ_BYTES, Servers};

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

/// An operation of this length, bytes, and what the client library gets instead.
struct Replaced {
    length: usize,
    instead: Vec<u8>,
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
        if let Err(error) = self.pass(client, connected).await {
            tracing::debug!(%error, "a connection to NATS has ended");
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

    /// Until one end is closed and what it has sent is with the other.
    async fn pass(&self, client: TcpStream, connected: Connected) -> io::Result<()> {
        client.set_nodelay(true)?;
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = tokio::io::split(connected.stream);
        tokio::select! {
            ended = send(&mut from_client, &mut to_server) => ended,
            ended = self.receive(&mut from_server, connected.read, &mut to_client) => ended,
        }
    }

    async fn receive(
        &self,
        server: &mut (impl AsyncRead + Unpin),
        mut read: BytesMut,
        client: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<()> {
        loop {
            self.forward(&mut read, client).await?;
            read.reserve(READ_BYTES);
            if server.read_buf(&mut read).await? == 0 {
                return client.shutdown().await;
            }
        }
    }

    /// Takes every whole operation.
    async fn forward(&self, read: &mut BytesMut, client: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        loop {
            let (as_it_is, other) = self.look_through(read)?;
            client.write_all(&read[..as_it_is]).await?;
            read.advance(as_it_is);
            let Some(Replaced { length, instead }) = other else { return Ok(()) };
            client.write_all(&instead).await?;
            read.advance(length);
        }
    }

    /// How many bytes can be passed on as they are, and the operation behind them that can't.
    fn look_through(&self, bytes: &[u8]) -> io::Result<(usize, Option<Replaced>)> {
        let mut passed = 0;
        while let Some((operation, length)) = operation::first(&bytes[passed..])? {
            let instead = match operation {
                Operation::Message(message) if !readable::is_readable(&message) => {
                    self.metrics.unreadable();
                    Some(readable::readable(&message))
                }
                Operation::Info(json) => Some(self.info(json)?),
                _ => None,
            };
            if let Some(instead) = instead {
                return Ok((passed, Some(Replaced { length, instead })));
            }
            passed += length;
        }
        Ok((passed, None))
    }

    fn info(&self, json: &[u8]) -> io::Result<Vec<u8>> {
        let no_info = || io::Error::new(io::ErrorKind::InvalidData, "the server's INFO is not JSON");
        self.servers.learn(&ServerInfo::parse(json).ok_or_else(no_info)?);
        let json = server_info::plain(json).ok_or_else(no_info)?;
        Ok([b"INFO ", json.as_slice(), b"\r\n"].concat())
    }
}

async fn send(client: &mut (impl AsyncRead + Unpin), server: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let mut read = BytesMut::with_capacity(READ_BYTES);
    while client.read_buf(&mut read).await? > 0 {
        server.write_all(&read).await?;
        server.flush().await?;
        read.clear();
    }
    server.shutdown().await
}
