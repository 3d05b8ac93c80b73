//! A tap on the wire between a worker and a server: bytes pass until a pattern comes by, and then the test says what
//! happens to it. So a worker can be killed at a precise step without a line in it that is there for tests.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the worker to the server.
    Out,
    /// From the server to the worker.
    In,
}

#[derive(Clone, Debug)]
struct Trap {
    way: Way,
    pattern: Vec<u8>,
}

/// Listens in place of a server.
pub struct Tap {
    pub address: SocketAddr,
    trap: Arc<Mutex<Option<Trap>>>,
    caught: mpsc::Receiver<()>,
}

impl Tap {
    pub async fn to(server: SocketAddr) -> Tap {
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
        Tap { address, trap, caught }
    }

    /// From now on, the bytes of this pattern and all behind them are held back on the connection that brings them.
    pub fn set(&self, way: Way, pattern: impl AsRef<[u8]>) {
        *self.trap.lock().unwrap() = Some(Trap { way, pattern: pattern.as_ref().to_vec() });
    }

    /// Waits until the trap has caught something, and takes it away, so that a next connection passes. What was
    /// caught never arrives.
    pub async fn caught(&mut self) {
        super::harness::within("the trap", self.caught.recv()).await.unwrap();
        *self.trap.lock().unwrap() = None;
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    way: Way,
    trap: Arc<Mutex<Option<Trap>>>,
    caught: mpsc::Sender<()>,
) {
    let mut buffer = vec![0; 64 * 1024];
    let mut tail = Vec::new();
    while let Ok(length) = from.read(&mut buffer).await {
        if length == 0 {
            break;
        }
        let armed = trap.lock().unwrap().clone().filter(|trap| trap.way == way);
        if let Some(trap) = armed {
            // What came before may hold the pattern's beginning.
            tail.extend_from_slice(&buffer[..length]);
            if tail.windows(trap.pattern.len()).any(|window| window == trap.pattern) {
                let _ = caught.send(()).await;
                // Held back for ever: the connection stays open and silent until the worker is gone.
                while from.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
                return;
            }
            let keep = tail.len().min(trap.pattern.len().saturating_sub(1));
            tail.drain(..tail.len() - keep);
        } else {
            tail.clear();
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}
