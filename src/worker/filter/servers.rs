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
use crate::wire::server_info::{self, ServerInfo};

/// How long one address may take to be connected with, and the last one there is.
const DIAL_MAX: Duration = Duration::from_secs(2);
const LAST_DIAL_MAX: Duration = Duration::from_secs(5);
/// How long a name may take to be resolved: a resolver passes a nameserver that is silent after 5 s.
const RESOLVE_MAX: Duration = Duration::from_secs(10);
/// Bytes that are read at a time.
pub const READ_BYTES: usize = 64 * 1024;

/// A connection in plain or under TLS.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Where a server is, and how it is spoken with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
        let host = address.host().trim_matches(['[', ']']).to_owned();
        Ok(Server { tls_name: host.clone(), host, port: address.port(), is_tls_required: address.tls_required() })
    }

    /// One of which `teller` tells as `host:port`. It is spoken with in no less secure a way. A certificate names a
    /// server's own host, or, where that is an address, often what the whole cluster is known by: two ways to try.
    fn learned(url: &str, teller: &Server) -> Vec<Server> {
        let Ok(learned) = Server::named(url) else { return Vec::new() };
        let own = Server { is_tls_required: learned.is_tls_required || teller.is_tls_required, ..learned };
        let of_cluster = Server { tls_name: teller.tls_name.clone(), ..own.clone() };
        match own.is_tls_required && is_address(&own.host) && !is_address(&teller.tls_name) {
            true => vec![own, of_cluster],
            false => vec![own],
        }
    }

    async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        match tokio::time::timeout(RESOLVE_MAX, tokio::net::lookup_host((self.host.as_str(), self.port))).await {
            Ok(addresses) => Ok(addresses?.collect()),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "its name is not resolved")),
        }
    }

    fn fault(&self, error: &io::Error) -> String {
        format!("{}:{}: {error}", self.host, self.port)
    }
}

fn is_address(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
}

/// A server at one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    server: Server,
    address: SocketAddr,
}

/// A connection, with what has been read of it: its `INFO`.
pub struct Connected {
    pub place: Place,
    /// The server there, as it is spoken with.
    pub server: Server,
    pub stream: Box<dyn Stream>,
    pub read: BytesMut,
}

/// All that are known. Each connection begins with another place; those that failed last time come last.
#[derive(Debug)]
pub struct Servers {
    named: Vec<Server>,
    seen: Mutex<Seen>,
    next: AtomicUsize,
}

/// What earlier connections have shown.
#[derive(Debug, Default)]
struct Seen {
    learned: Vec<Server>,
    unresolved: HashSet<Server>,
    /// Attempts in a row that failed.
    failures: HashMap<Place, u32>,
}

impl Servers {
    /// An error where one of these is no URL.
    pub fn new(urls: &[String]) -> io::Result<Servers> {
        let named = urls.iter().map(|url| Server::named(url)).collect::<io::Result<_>>()?;
        // Workers of one configuration begin with different servers.
        let next = AtomicUsize::new(clock::random_uuid().as_u64_pair().0 as usize >> 1);
        Ok(Servers { named, seen: Mutex::default(), next })
    }

    /// Which servers its cluster has now, as `teller` says. One that stands alone says nothing of it.
    pub fn learn(&self, info: &ServerInfo, teller: &Server) {
        let told: Vec<Server> = info.cluster().flat_map(|url| Server::learned(url, teller)).collect();
        if !told.is_empty() {
            let is_known = |server: &Server| self.named.contains(server) || told.contains(server);
            let mut seen = self.seen();
            seen.failures.retain(|place, _| is_known(&place.server));
            seen.unresolved.retain(|server| is_known(server));
            seen.learned = told;
        }
    }

    /// A connection to it serves.
    pub fn serves(&self, place: &Place) {
        self.seen().failures.remove(place);
    }

    pub fn failed(&self, place: &Place) {
        *self.seen().failures.entry(place.clone()).or_default() += 1;
    }

    /// Connects to the first that can be: where names could not be resolved last time, those come last. The error says
    /// what is wrong with each.
    pub async fn connect(&self) -> io::Result<Connected> {
        let (unresolved, known): (Vec<Server>, Vec<Server>) = {
            let seen = self.seen();
            let all = self.named.iter().chain(&seen.learned).cloned();
            all.partition(|server| seen.unresolved.contains(server))
        };
        let mut faults = Vec::new();
        for servers in [known, unresolved] {
            let places = self.places(servers, &mut faults).await;
            let last = places.len().saturating_sub(1);
            for (index, place) in places.into_iter().enumerate() {
                let patience = if index == last { LAST_DIAL_MAX } else { DIAL_MAX };
                let silent = |_| Err(io::Error::new(io::ErrorKind::TimedOut, "it says nothing"));
                match tokio::time::timeout(patience, dial(place.clone())).await.unwrap_or_else(silent) {
                    Ok(connected) => return Ok(connected),
                    Err(error) => {
                        self.failed(&place);
                        faults.push(place.server.fault(&error));
                    }
                }
            }
        }
        faults.dedup();
        Err(io::Error::other(faults.join("; ")))
    }

    /// Where these are, in the order in which to try. What one address is known by twice is tried once.
    async fn places(&self, servers: Vec<Server>, faults: &mut Vec<String>) -> Vec<Place> {
        let resolved = future::join_all(servers.iter().map(Server::resolve)).await;
        let (mut places, mut ways, mut seen) = (Vec::new(), HashSet::new(), self.seen());
        for (server, addresses) in servers.into_iter().zip(resolved) {
            match addresses {
                Ok(addresses) => {
                    seen.unresolved.remove(&server);
                    let fresh =
                        addresses.into_iter().filter(|address| ways.insert((*address, server.tls_name.clone())));
                    places.extend(fresh.map(|address| Place { server: server.clone(), address }));
                }
                Err(error) => {
                    faults.push(server.fault(&error));
                    seen.unresolved.insert(server);
                }
            }
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % places.len().max(1);
        places.rotate_left(turn);
        places.sort_by_key(|place| seen.failures.get(place).copied()); // stable: equals keep their turn
        places
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn dial(place: Place) -> io::Result<Connected> {
    let mut stream = TcpStream::connect(place.address).await?;
    stream.set_nodelay(true)?;
    let mut read = BytesMut::with_capacity(READ_BYTES);
    let json = read_info(&mut stream, &mut read).await?;
    let info = ServerInfo::parse(&json).ok_or_else(no_server)?;
    if !info.tls_required && !place.server.is_tls_required {
        return Ok(Connected { server: place.server.clone(), place, stream: Box::new(stream), read });
    }
    // What comes in plain is nobody's word: neither what is behind INFO nor which servers there are. The server says
    // those again once it has taken the login.
    let said = server_info::plain(&json).ok_or_else(no_server)?;
    let read = BytesMut::from([b"INFO ", said.as_slice(), b"\r\n"].concat().as_slice());
    let stream = Box::new(tls::encrypt(stream, &place.server.tls_name).await?);
    let server = Server { is_tls_required: true, ..place.server.clone() };
    Ok(Connected { place, server, stream, read })
}

/// The JSON of what a server says first.
async fn read_info(stream: &mut TcpStream, read: &mut BytesMut) -> io::Result<Vec<u8>> {
    loop {
        match operation::first(read)? {
            Some((Operation::Info(json), _)) => return Ok(json.to_vec()),
            Some(_) => return Err(no_server()),
            None => (),
        }
        if stream.read_buf(read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn no_server() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is no NATS server")
}
