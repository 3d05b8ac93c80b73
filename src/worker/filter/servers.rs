//! The servers of NATS: which there are, and a connection to one of them.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::ServerAddr;
use bytes::BytesMut;
use futures::future;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;

use super::operation::{self, Operation};
use super::tls;
use crate::clock;
use crate::wire::server_info::ServerInfo;

/// How long one address may take to be connected with, or one name to be resolved: with two that are silent the third
/// is reached before the client library gives up (5 s).
const DIAL_MAX: Duration = Duration::from_secs(2);
/// Bytes that are read at a time.
pub const READ_BYTES: usize = 64 * 1024;

/// A connection in plain or under TLS.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Where a server is, and how it is spoken with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    host: String,
    port: u16,
    is_tls_required: bool,
    /// Whom its certificate has to name.
    tls_name: String,
}

impl Server {
    fn named(url: &str) -> io::Result<Server> {
        let address: ServerAddr = url.parse()?;
        let host = address.host().to_owned();
        Ok(Server { tls_name: host.clone(), host, port: address.port(), is_tls_required: address.tls_required() })
    }

    /// One of which `teller` tells as `host:port`. It is spoken with in no less secure a way; an address without a name
    /// has the certificate of the one that told of it.
    fn learned(url: &str, teller: &Server) -> Option<Server> {
        let learned = Server::named(url).ok()?;
        let has_name = learned.host.trim_matches(['[', ']']).parse::<IpAddr>().is_err();
        let tls_name = if has_name { learned.host.clone() } else { teller.tls_name.clone() };
        Some(Server { is_tls_required: learned.is_tls_required || teller.is_tls_required, tls_name, ..learned })
    }

    async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let resolved = tokio::net::lookup_host((self.host.trim_matches(['[', ']']), self.port));
        match tokio::time::timeout(DIAL_MAX, resolved).await {
            Ok(addresses) => Ok(addresses?.collect()),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "its name is not resolved")),
        }
    }

    fn fault(&self, error: &io::Error) -> String {
        format!("{}:{}: {error}", self.host, self.port)
    }
}

/// A connection, with what has been read of it: its `INFO`.
pub struct Connected {
    pub server: Server,
    pub stream: Box<dyn Stream>,
    pub read: BytesMut,
}

/// All that are known. Each connection begins with another address; those that failed last time come last.
#[derive(Debug)]
pub struct Servers {
    named: Vec<Server>,
    learned: Mutex<Vec<Server>>,
    /// Attempts in a row that failed.
    failures: Mutex<HashMap<SocketAddr, u32>>,
    next: AtomicUsize,
}

impl Servers {
    /// An error where one of these is no URL.
    pub fn new(urls: &[String]) -> io::Result<Servers> {
        let named = urls.iter().map(|url| Server::named(url)).collect::<io::Result<_>>()?;
        // Workers of one configuration begin with different servers.
        let next = AtomicUsize::new(clock::random_uuid().as_u64_pair().0 as usize >> 1);
        Ok(Servers { named, learned: Mutex::default(), failures: Mutex::default(), next })
    }

    /// Which servers its cluster has now, as `teller` says. One that stands alone says nothing of it.
    pub fn learn(&self, info: &ServerInfo, teller: &Server) {
        let told: Vec<Server> = info.others().filter_map(|url| Server::learned(url, teller)).collect();
        if !told.is_empty() {
            *lock(&self.learned) = told;
        }
    }

    /// Connects to the first that can be. The error says what is wrong with each.
    pub async fn connect(&self) -> io::Result<Connected> {
        let (addresses, mut faults) = self.addresses().await;
        for (server, address) in addresses {
            let silent = |_| Err(io::Error::new(io::ErrorKind::TimedOut, "it says nothing"));
            match tokio::time::timeout(DIAL_MAX, dial(&server, address)).await.unwrap_or_else(silent) {
                Ok((stream, read)) => {
                    lock(&self.failures).remove(&address);
                    return Ok(Connected { server, stream, read });
                }
                Err(error) => {
                    *lock(&self.failures).entry(address).or_default() += 1;
                    faults.push(server.fault(&error));
                }
            }
        }
        faults.dedup();
        Err(io::Error::other(faults.join("; ")))
    }

    /// Where to try, in order, and which names lead nowhere. Of two names for one address the first counts.
    async fn addresses(&self) -> (Vec<(Server, SocketAddr)>, Vec<String>) {
        let servers = [self.named.as_slice(), &lock(&self.learned)].concat();
        let resolved = future::join_all(servers.iter().map(Server::addresses)).await;
        let (mut found, mut faults, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
        for (server, addresses) in servers.into_iter().zip(resolved) {
            match addresses {
                Ok(addresses) => {
                    let fresh = addresses.into_iter().filter(|address| seen.insert(*address));
                    found.extend(fresh.map(|address| (server.clone(), address)));
                }
                Err(error) => faults.push(server.fault(&error)),
            }
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % found.len().max(1);
        found.rotate_left(turn);
        let mut failures = lock(&self.failures);
        failures.retain(|address, _| seen.contains(address));
        found.sort_by_key(|(_, address)| failures.get(address).copied()); // stable: equals keep their turn
        (found, faults)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn dial(server: &Server, address: SocketAddr) -> io::Result<(Box<dyn Stream>, BytesMut)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut read = BytesMut::with_capacity(READ_BYTES);
    let (info, length) = read_info(&mut stream, &mut read).await?;
    if !info.tls_required && !server.is_tls_required {
        return Ok((Box::new(stream), read));
    }
    read.truncate(length); // what else came in plain is nobody's word
    Ok((Box::new(tls::encrypt(stream, &server.tls_name).await?), read))
}

/// What a server says first, and its length, bytes.
async fn read_info(stream: &mut TcpStream, read: &mut BytesMut) -> io::Result<(ServerInfo, usize)> {
    loop {
        if let Some((operation, length)) = operation::first(read)? {
            let info = if let Operation::Info(json) = operation { ServerInfo::parse(json) } else { None };
            let info = info.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is no NATS server"))?;
            return Ok((info, length));
        }
        if stream.read_buf(read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
