//! One connection of the client library, with the server at its other end.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::operation::{self, Operation};
use super::readable;
use super::servers::{Connected, READ_BYTES, Server, Servers};
use crate::telemetry::Metrics;
use crate::wire::server_info::{self, ServerInfo};

/// How long a server may take no bytes: as long as it lets a client (its `write_deadline`).
const WRITE_MAX: Duration = Duration::from_secs(10);
/// How long to wait for what a server has said last, when it takes nothing any more.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);

pub struct Passage {
    pub servers: Arc<Servers>,
    pub metrics: Metrics,
}

/// An operation of this length, bytes, and what the client library gets instead.
struct Replaced {
    length: usize,
    instead: Vec<u8>,
}

impl Passage {
    /// Until one end is closed and what it has sent is with the other.
    pub async fn pass(&self, client: TcpStream, connected: Connected) -> io::Result<()> {
        client.set_nodelay(true)?;
        let Connected { server, stream, read } = connected;
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = tokio::io::split(stream);
        let mut received = pin!(self.receive(&mut from_server, &server, read, &mut to_client));
        let sent = tokio::select! {
            ended = &mut received => return ended,
            ended = send(&mut from_client, &mut to_server) => ended,
        };
        if sent.is_err() {
            let _ = tokio::time::timeout(LAST_WORDS_MAX, received).await; // why it could not be sent is the error
        }
        sent
    }

    async fn receive(
        &self,
        from_server: &mut (impl AsyncRead + Unpin),
        server: &Server,
        mut read: BytesMut,
        client: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<()> {
        loop {
            self.forward(server, &mut read, client).await?;
            read.reserve(READ_BYTES);
            if from_server.read_buf(&mut read).await? == 0 {
                return client.shutdown().await;
            }
        }
    }

    /// Takes every whole operation.
    async fn forward(
        &self,
        server: &Server,
        read: &mut BytesMut,
        client: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<()> {
        loop {
            let (as_it_is, other) = self.look_through(server, read);
            client.write_all(&read[..as_it_is]).await?;
            read.advance(as_it_is);
            let Some(Replaced { length, instead }) = other? else { return Ok(()) };
            client.write_all(&instead).await?;
            read.advance(length);
        }
    }

    /// How many bytes can be passed on as they are, and the operation behind them that can't.
    fn look_through(&self, server: &Server, bytes: &[u8]) -> (usize, io::Result<Option<Replaced>>) {
        let mut passed = 0;
        loop {
            let (instead, length) = match operation::first(&bytes[passed..]) {
                Ok(Some((operation, length))) => (self.instead(server, &operation), length),
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
    fn instead(&self, server: &Server, operation: &Operation<'_>) -> io::Result<Option<Vec<u8>>> {
        match operation {
            Operation::Message(message) if !readable::is_readable(message) => {
                self.metrics.unreadable();
                Ok(Some(readable::readable(message)))
            }
            Operation::Info(json) => {
                let no_info = || io::Error::new(io::ErrorKind::InvalidData, "the server's INFO can't be read");
                self.servers.learn(&ServerInfo::parse(json).ok_or_else(no_info)?, server);
                let json = server_info::plain(json).ok_or_else(no_info)?;
                Ok(Some([b"INFO ", json.as_slice(), b"\r\n"].concat()))
            }
            _ => Ok(None),
        }
    }
}

/// An error where the server takes nothing: the client library might wait for minutes to find out.
async fn send(client: &mut (impl AsyncRead + Unpin), server: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let mut read = BytesMut::with_capacity(READ_BYTES);
    while client.read_buf(&mut read).await? > 0 {
        let written = async {
            server.write_all(&read).await?;
            server.flush().await
        };
        let frozen = |_| Err(io::Error::new(io::ErrorKind::TimedOut, "the server takes no bytes"));
        tokio::time::timeout(WRITE_MAX, written).await.unwrap_or_else(frozen)?;
        read.clear();
    }
    server.shutdown().await
}
