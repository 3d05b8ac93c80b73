//! Locks in Redis. Each connection writes the commands of all its slots in one piece and reads the replies in their
//! order, as a client that pipelines does.

use std::collections::VecDeque;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::load::{Load, Tally};
use crate::resp;

const LOCK: &str = include_str!("../lua/lock.lua");
const UNLOCK: &str = include_str!("../lua/unlock.lua");
const RELEASE: &str = include_str!("../lua/release.lua");
const TTL_MILLISECONDS: &[u8] = b"86400000";
const RECEIPT_SECONDS: &[u8] = b"604800";
const READ_BYTES: usize = 256 * 1024;

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Plain,
    Script,
}

pub async fn run(address: &str, load: Load, kind: Kind) -> Result<serde_json::Value> {
    let run = Uuid::new_v4().simple().to_string()[..8].to_owned();
    let mut connections = Vec::new();
    for (number, slots) in load.slots().enumerate() {
        connections.push(Connection::open(address, kind, format!("{run}-{number}"), slots).await?);
    }
    let mut tally = load.tally()?;
    let mut tasks = JoinSet::new();
    for connection in connections {
        tasks.spawn(connection.run(tally.clone()));
    }
    while let Some(done) = tasks.join_next().await {
        tally.add(&done??)?;
    }
    load.report(&tally)
}

struct Connection {
    stream: TcpStream,
    kind: Kind,
    /// Distinguishes what this connection locks.
    name: String,
    next: u64,
    /// The hashes of the scripts that lock and unlock.
    scripts: [Vec<u8>; 2],
    slots: Vec<Slot>,
    /// Slots in the order in which they are answered.
    asked: VecDeque<usize>,
    out: Vec<u8>,
}

#[derive(Clone)]
struct Slot {
    number: u64,
    /// What it asks for now is to give back what it has.
    gives_back: bool,
    token: String,
    sent: Instant,
}

impl Connection {
    async fn open(address: &str, kind: Kind, name: String, slots: usize) -> Result<Connection> {
        let stream = TcpStream::connect(address).await.context("could not connect to Redis")?;
        stream.set_nodelay(true)?;
        let idle = Slot { number: 0, gives_back: true, token: String::new(), sent: Instant::now() };
        let (scripts, slots) = ([Vec::new(), Vec::new()], vec![idle; slots]);
        let (asked, out) = (VecDeque::new(), Vec::new());
        let mut connection = Connection { stream, kind, name, next: 0, scripts, slots, asked, out };
        let sources = if kind == Kind::Plain { [LOCK, RELEASE] } else { [LOCK, UNLOCK] };
        connection.scripts = [connection.load(sources[0]).await?, connection.load(sources[1]).await?];
        Ok(connection)
    }

    async fn load(&mut self, script: &str) -> Result<Vec<u8>> {
        let mut command = Vec::new();
        resp::command(&mut command, &[b"SCRIPT", b"LOAD", script.as_bytes()]);
        self.stream.write_all(&command).await?;
        let mut bytes = Vec::new();
        while self.stream.read_buf(&mut bytes).await? > 0 {
            if let Some((text, _)) = resp::reply(&bytes)? {
                return Ok(text.to_vec());
            }
        }
        bail!("Redis has closed the connection")
    }

    async fn run(mut self, mut tally: Tally) -> Result<Tally> {
        (0..self.slots.len()).for_each(|slot| self.ask(slot));
        let mut bytes = Vec::with_capacity(READ_BYTES);
        while !self.asked.is_empty() {
            self.stream.write_all(&self.out).await?;
            self.out.clear();
            if self.stream.read_buf(&mut bytes).await? == 0 {
                bail!("Redis has closed the connection");
            }
            let (now, mut read) = (Instant::now(), 0);
            while let Some((text, length)) = if read < bytes.len() { resp::reply(&bytes[read..])? } else { None } {
                let slot = self.asked.pop_front().context("a reply that nobody asked for")?;
                let is_right = self.is_right(self.slots[slot].gives_back, text);
                tally.answered(self.slots[slot].sent, now, 1, is_right);
                if !tally.is_over(now) {
                    self.ask(slot);
                }
                read += length;
            }
            bytes.drain(..read);
        }
        Ok(tally)
    }

    fn is_right(&self, gives_back: bool, text: &[u8]) -> bool {
        match (self.kind, gives_back) {
            (Kind::Plain, false) => text == b"OK",
            (Kind::Plain, true) => text == b"1",
            (Kind::Script, false) => text.starts_with(b"{\"status\":\"ACQUIRED\""),
            (Kind::Script, true) => text.starts_with(b"{\"status\":\"RELEASED\""),
        }
    }

    /// The slot's next command: a new lock, or back with the one that it has.
    fn ask(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        slot.gives_back = !slot.gives_back;
        slot.sent = Instant::now();
        if !slot.gives_back {
            self.next += 1;
            slot.number = self.next;
            slot.token = Uuid::new_v4().to_string();
        }
        let (verb, script) = if slot.gives_back { ("u", &self.scripts[1]) } else { ("l", &self.scripts[0]) };
        let (resource, token) = (format!("bench-{}-{}", self.name, slot.number), slot.token.as_bytes());
        let lock = format!("lock:{resource}");
        match (self.kind, slot.gives_back) {
            (Kind::Plain, false) => {
                resp::command(&mut self.out, &[b"SET", lock.as_bytes(), token, b"NX", b"PX", TTL_MILLISECONDS]);
            }
            (Kind::Plain, true) => resp::command(&mut self.out, &[b"EVALSHA", script, b"1", lock.as_bytes(), token]),
            (Kind::Script, _) => {
                let key = format!("receipt:{}-{verb}-{}", self.name, slot.number);
                let keys: [&[u8]; 4] = [key.as_bytes(), lock.as_bytes(), b"fence", b"events"];
                let values: [&[u8]; 4] = [token, TTL_MILLISECONDS, RECEIPT_SECONDS, resource.as_bytes()];
                let words = [[b"EVALSHA".as_slice(), script, b"4"].as_slice(), &keys, &values].concat();
                resp::command(&mut self.out, &words);
            }
        }
        self.asked.push_back(index);
    }
}
