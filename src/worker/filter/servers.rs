//! The servers of NATS: which there are, and a connection to one of them.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::ServerAddr;
use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::operation::{self, Operation};
use crate::clock;
use crate::wire::server_info::ServerInfo;

/// How long one server may take to be connected: with two that are silent the third is reached before the client
/// library gives up (5 s).
const DIAL_MAX: Duration = Duration::from_secs(2);
/// Bytes that are read at a time.
pub const READ_BYTES: usize = 64 * 1024;

/// A connection in plain or under TLS.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A server's connection, with what has been read of it: its `INFO`.
pub struct Connected {
    pub stream: Box<dyn Stream>,
    pub read: BytesMut,
}

/// All that are known. Connections go to each in turn.
#[derive(Debug)]
pub struct Servers {
    known: Mutex<Vec<ServerAddr>>,
    next: AtomicUsize,
}

impl Servers {
    /// An error where one of these is no URL.
    pub fn new(urls: &[String]) -> io::Result<Servers> {
        let known: Vec<ServerAddr> = urls.iter().map(|url| url.parse()).collect::<io::Result<_>>()?;
        // Workers of one configuration begin at different servers.
        let next = clock::random_uuid().as_u64_pair().0 as usize >> 1;
        Ok(Servers { known: Mutex::new(known), next: AtomicUsize::new(next) })
    }

    /// Remembers the other servers of a cluster.
    pub fn learn(&self, info: &ServerInfo) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for address in info.connect_urls.iter().filter_map(|url| url.parse::<ServerAddr>().ok()) {
            if !known.iter().any(|other| (other.host(), other.port()) == (address.host(), address.port())) {
                known.push(address);
            }
        }
    }

    /// Connects to the first that can be, beginning behind the one that was tried last. The error names the last.
    pub async fn connect(&self) -> io::Result<Connected> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut fault = io::Error::new(io::ErrorKind::NotFound, "no server is named");
        for _ in 0..known.len() {
            let Some(address) = known.get(self.next.fetch_add(1, Ordering::Relaxed) % known.len()) else { break };
            let silent = |_| Err(io::Error::new(io::ErrorKind::TimedOut, "it says nothing"));
            match tokio::time::timeout(DIAL_MAX, connect(address)).await.unwrap_or_else(silent) {
                Ok(connected) => return Ok(connected),
                Err(error) => {
                    let which = format!("{}:{}: {error}", address.host(), address.port());
                    fault = io::Error::new(error.kind(), which);
                }
            }
        }
        Err(fault)
    }
}

async fn connect(address: &ServerAddr) -> io::Result<Connected> {
    let addresses: Vec<_> = address.socket_addrs().await?.collect();
    let mut stream = TcpStream::connect(addresses.as_slice()).await?;
    stream.set_nodelay(true)?;
    let mut read = BytesMut::with_capacity(READ_BYTES);
    let info = read_info(&mut stream, &mut read).await?;
    let stream: Box<dyn Stream> = match info.tls_required || address.tls_required() {
        true => Box::new(encrypt(stream, address.host()).await?),
        false => Box::new(stream),
    };
    Ok(Connected { stream, read })
}

/// What a server says first.
async fn read_info(stream: &mut TcpStream, read: &mut BytesMut) -> io::Result<ServerInfo> {
    loop {
        if let Some((operation, _)) = operation::first(read)? {
            let info = if let Operation::Info(json) = operation { ServerInfo::parse(json) } else { None };
            return info.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is no NATS server"));
        }
        if stream.read_buf(read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Under TLS, where the server's certificate is one that this machine trusts (`SSL_CERT_FILE` names others).
async fn encrypt(stream: TcpStream, host: &str) -> io::Result<impl Stream + use<>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}
