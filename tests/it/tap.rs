//! A tap on the wire between a worker and a server: bytes pass until a pattern comes by, and then the test says what
//! happens to it. So a worker can be killed at a precise step without a line in it that is there for tests.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use crate::harness::within;

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the worker to the server.
    Out,
    /// From the server to the worker.
    In,
}

/// A place in Postgres's protocol, whichever way a batch takes to its commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The message that commits it.
    Commit,
    /// The answer that it is committed.
    Committed,
}

/// Bytes, some of them any.
type Pattern = Vec<Option<u8>>;

#[derive(Debug)]
struct Trap {
    way: Way,
    patterns: Vec<Pattern>,
}

/// Listens in place of a server.
pub struct Tap {
    /// The server's URL, with the tap in its place.
    pub url: String,
    trap: Arc<Mutex<Option<Trap>>>,
    caught: mpsc::Receiver<Held>,
}

/// A pattern and all that came behind it on its connection. Dropped, it never arrives.
#[derive(Debug)]
pub struct Held(oneshot::Sender<Order>);

#[derive(Debug)]
enum Order {
    Release,
    Cut,
}

impl Held {
    /// Lets it pass after all.
    pub fn release(self) {
        let _ = self.0.send(Order::Release); // the connection may have ended meanwhile
    }

    /// Ends the connection; what was held back never arrives.
    pub fn cut(self) {
        let _ = self.0.send(Order::Cut); // the connection may have ended meanwhile
    }
}

impl Tap {
    /// Before the server of this URL.
    pub async fn before(url: &str) -> Tap {
        let server = authority(url);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let trap: Arc<Mutex<Option<Trap>>> = Arc::default();
        let (sender, caught) = mpsc::channel(64);
        let shared = trap.clone();
        tokio::spawn(async move {
            while let Ok((worker, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(server).await else { continue };
                let (worker_in, worker_out) = worker.into_split();
                let (server_in, server_out) = server.into_split();
                tokio::spawn(pass(worker_in, server_out, Way::Out, shared.clone(), sender.clone()));
                tokio::spawn(pass(server_in, worker_out, Way::In, shared.clone(), sender.clone()));
            }
        });
        let plain = if url.starts_with("postgres:") { "?sslmode=disable" } else { "" };
        let url = format!("{}{plain}", url.replace(&server.to_string(), &address.to_string()));
        Tap { url, trap, caught }
    }

    /// The first bytes of this pattern from now on, and all behind them on their connection, are held back. Nothing
    /// else is, also not the same pattern when it comes again.
    pub fn set(&self, way: Way, pattern: impl AsRef<[u8]>) {
        *self.trap.lock().unwrap() = Some(Trap { way, patterns: vec![exactly(pattern.as_ref())] });
    }

    /// The same for the next batch that comes to this step.
    pub fn set_at(&self, step: Step) {
        *self.trap.lock().unwrap() = Some(match step {
            Step::Commit => Trap { way: Way::Out, patterns: vec![exactly(b"Q\0\0\0\x0bCOMMIT\0"), written_at_once()] },
            Step::Committed => Trap { way: Way::In, patterns: vec![exactly(b"C\0\0\0\x0bCOMMIT\0"), exactly(AT_ONCE)] },
        });
    }

    /// The same for the next batch that is written without locks, before it.
    pub fn set_at_unlocked(&self) {
        *self.trap.lock().unwrap() = Some(Trap { way: Way::Out, patterns: vec![written_at_once()] });
    }

    /// Has the pattern not come by?
    pub fn is_set(&self) -> bool {
        self.trap.lock().unwrap().is_some()
    }

    /// Waits until something is held back.
    pub async fn caught(&mut self) -> Held {
        within("the trap", self.caught.recv()).await.unwrap()
    }
}

fn exactly(bytes: &[u8]) -> Pattern {
    bytes.iter().copied().map(Some).collect()
}

/// The parameters of a batch that is written without locks: fourteen, first its id, then the time that it was decided
/// at, which is null under locks.
fn written_at_once() -> Pattern {
    [exactly(b"\0\x0e\0\0\0\x10"), vec![None; 16], exactly(b"\0\0\0\x08")].concat()
}

/// The answer to it: its last column is 1, it is one row, the portal is closed, and no transaction is open.
const AT_ONCE: &[u8] = b"\0\0\0\x04\0\0\0\x01C\0\0\0\rSELECT 1\x003\0\0\0\x04Z\0\0\0\x05I";

/// Host and port of a URL.
fn authority(url: &str) -> SocketAddr {
    let rest = url.split_once("://").unwrap().1;
    let authority = rest.split(['/', '?']).next().unwrap();
    authority.rsplit('@').next().unwrap().parse().unwrap()
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    way: Way,
    trap: Arc<Mutex<Option<Trap>>>,
    caught: mpsc::Sender<Held>,
) {
    let mut buffer = vec![0; 64 * 1024];
    let mut tail = Vec::new();
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let at = spring(&trap, way, &mut tail, &buffer[..length]);
        let (passing, held) = buffer[..length].split_at(at.unwrap_or(length));
        if to.write_all(passing).await.is_err() {
            break;
        }
        if at.is_none() {
            continue;
        }
        let (sender, order) = oneshot::channel();
        let _ = caught.send(Held(sender)).await; // the test may be over
        let Some(released) = hold(&mut from, held.to_vec(), order).await else { break };
        if to.write_all(&released).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await; // it may be gone already
}

/// Where in these bytes a pattern begins, if the trap is set for it. Of a pattern that came in two reads the
/// beginning has passed: no server does anything with a part of a message.
fn spring(trap: &Mutex<Option<Trap>>, way: Way, tail: &mut Vec<u8>, bytes: &[u8]) -> Option<usize> {
    let mut trap = trap.lock().unwrap();
    let Some(set) = trap.as_ref().filter(|trap| trap.way == way) else {
        tail.clear();
        return None;
    };
    let known = tail.len();
    tail.extend_from_slice(bytes);
    let is = |window: &[u8], pattern: &Pattern| {
        window.len() == pattern.len()
            && window.iter().zip(pattern).all(|(byte, set)| set.is_none_or(|set| set == *byte))
    };
    let find = |pattern: &Pattern| tail.windows(pattern.len()).position(|window| is(window, pattern));
    let found = set.patterns.iter().filter_map(find).min();
    let length = set.patterns.iter().map(Vec::len).max().unwrap_or(0);
    if found.is_some() {
        *trap = None;
        tail.clear();
    } else {
        tail.drain(..tail.len().saturating_sub(length - 1));
    }
    found.map(|at| at.saturating_sub(known))
}

/// Reads on, because the end of the connection has to be seen. `None`: nothing of it is to arrive.
async fn hold(from: &mut OwnedReadHalf, mut held: Vec<u8>, order: oneshot::Receiver<Order>) -> Option<Vec<u8>> {
    let order = async {
        match order.await {
            Ok(order) => order,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::pin!(order);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        tokio::select! {
            order = &mut order => return matches!(order, Order::Release).then_some(held),
            read = from.read(&mut buffer) => match read {
                Ok(length @ 1..) => held.extend_from_slice(&buffer[..length]),
                _ => return None,
            },
        }
    }
}
