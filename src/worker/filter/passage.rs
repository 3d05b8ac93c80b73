//! One connection of the client library, with the server at its other end.

use std::future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio_util::sync::CancellationToken;

use super::operation::{self, Operation};
use super::readable;
use super::servers::{Connected, Place, READ_BYTES, Server, Servers, Stream};
use crate::telemetry::Metrics;
use crate::wire::server_info::{self, ServerInfo};

/// How long a server may take to answer the first ping, which comes with the login.
const LOGIN_MAX: Duration = Duration::from_secs(5);
/// How long a server may take no bytes: as long as it lets a client (its `write_deadline`).
const WRITE_MAX: Duration = Duration::from_secs(10);
/// How long to wait for the server's end, when it gets nothing any more.
const END_MAX: Duration = Duration::from_secs(1);

struct Passage {
    servers: Arc<Servers>,
    metrics: Metrics,
    place: Place,
    server: Server,
    /// The server has answered the first ping.
    is_logged_in: CancellationToken,
}

/// An operation of this length, bytes, and what the client library gets instead.
struct Replaced {
    length: usize,
    instead: Vec<u8>,
}

/// Until one end is closed, and what it has sent is with the other. A server that takes no login has failed.
pub async fn pass(servers: Arc<Servers>, metrics: Metrics, client: TcpStream, connected: Connected) -> io::Result<()> {
    client.set_nodelay(true)?;
    let Connected { place, server, stream, read } = connected;
    let passage = Passage { servers, metrics, place, server, is_logged_in: CancellationToken::new() };
    let ended = tokio::select! {
        ended = passage.run(client, stream, read) => ended,
        overdue = passage.overdue() => Err(overdue),
    };
    if !passage.is_logged_in.is_cancelled() {
        passage.servers.failed(&passage.place);
    }
    ended
}

impl Passage {
    /// Never, once the client library is logged in.
    async fn overdue(&self) -> io::Error {
        match tokio::time::timeout(LOGIN_MAX, self.is_logged_in.cancelled()).await {
            Ok(()) => future::pending().await,
            Err(_) => io::Error::new(io::ErrorKind::TimedOut, "the server does not answer a login"),
        }
    }

    async fn run(&self, client: TcpStream, server: Box<dyn Stream>, read: BytesMut) -> io::Result<()> {
        let (mut from_client, to_client) = client.into_split();
        let (mut from_server, mut to_server) = tokio::io::split(server);
        let to_client = ToClient { client: to_client, has_gone: false };
        let mut received = pin!(self.receive(&mut from_server, read, to_client));
        let sent = tokio::select! {
            ended = &mut received => return ended,
            ended = send(&mut from_client, &mut to_server) => ended,
        };
        // A connection that is closed with bytes unread is reset, and what the server was sent would be lost. And it
        // may have said why it takes nothing.
        let _ = tokio::time::timeout(END_MAX, received).await;
        sent
    }

    /// Until the server's end.
    async fn receive(
        &self,
        server: &mut (impl AsyncRead + Unpin),
        mut read: BytesMut,
        mut client: ToClient,
    ) -> io::Result<()> {
        loop {
            self.forward(&mut read, &mut client).await?;
            read.reserve(READ_BYTES);
            if server.read_buf(&mut read).await? == 0 {
                return client.client.shutdown().await;
            }
        }
    }

    /// Takes every whole operation.
    async fn forward(&self, read: &mut BytesMut, client: &mut ToClient) -> io::Result<()> {
        loop {
            let (as_it_is, other) = self.look_through(read);
            client.write(&read[..as_it_is]).await;
            read.advance(as_it_is);
            let Some(Replaced { length, instead }) = other? else { return Ok(()) };
            client.write(&instead).await;
            read.advance(length);
        }
    }

    /// How many bytes can be passed on as they are, and the operation behind them that can't.
    fn look_through(&self, bytes: &[u8]) -> (usize, io::Result<Option<Replaced>>) {
        let mut passed = 0;
        loop {
            let (instead, length) = match operation::first(&bytes[passed..]) {
                Ok(Some((operation, length))) => (self.instead(&operation), length),
                Ok(None) => return (passed, Ok(None)),
                Err(error) => return (passed, Err(error)),
            };
            match instead {
                Ok(None) => passed += length,
                Ok(Some(instead)) => return (passed, Ok(Some(Replaced { length, instead }))),
                Err(error) => return (passed, Err(error)),
            }
        }
    }

    /// What the client library gets; `None`: what has come.
    fn instead(&self, operation: &Operation<'_>) -> io::Result<Option<Vec<u8>>> {
        match operation {
            Operation::Message(message) if !readable::is_readable(message) => {
                self.metrics.unreadable();
                Ok(Some(readable::readable(message)))
            }
            Operation::Info(json) => {
                let no_info = || io::Error::new(io::ErrorKind::InvalidData, "the server's INFO can't be read");
                self.servers.learn(&ServerInfo::parse(json).ok_or_else(no_info)?, &self.server);
                let json = server_info::plain(json).ok_or_else(no_info)?;
                Ok(Some([b"INFO ", json.as_slice(), b"\r\n"].concat()))
            }
            Operation::Pong if !self.is_logged_in.is_cancelled() => {
                self.is_logged_in.cancel();
                self.servers.serves(&self.place);
                Ok(None)
            }
            Operation::Message(_) | Operation::Pong | Operation::Other => Ok(None),
        }
    }
}

/// Where the client library takes nothing any more, what it has sent is still to be passed on.
struct ToClient {
    client: OwnedWriteHalf,
    has_gone: bool,
}

impl ToClient {
    async fn write(&mut self, bytes: &[u8]) {
        if !self.has_gone {
            self.has_gone = self.client.write_all(bytes).await.is_err();
        }
    }
}

/// An error where the server takes nothing: the client library would wait longer to find out.
async fn send(client: &mut (impl AsyncRead + Unpin), server: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let mut read = BytesMut::with_capacity(READ_BYTES);
    while client.read_buf(&mut read).await? > 0 {
        while !read.is_empty() {
            in_time(server.write_buf(&mut read)).await?;
        }
        in_time(server.flush()).await?;
        read.reserve(READ_BYTES);
    }
    in_time(server.shutdown()).await
}

async fn in_time<T>(written: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let frozen = |_| Err(io::Error::new(io::ErrorKind::TimedOut, "the server takes no bytes"));
    tokio::time::timeout(WRITE_MAX, written).await.unwrap_or_else(frozen)
}
