//! Random commands about the locks of one tenant. Tokens follow from a request's number, so a command can name what an
//! earlier one of its batch takes.

use berth::domain::command::{Command, LockRelease, Method, Register, Renew, Request, TakeLock, Transact, Unlock};
use berth::domain::id::{Entropy, Requester, ResourceName, Tenant};
use berth::domain::lock::Mode;
use berth::domain::window::{Instant, from_micros};
use proptest::prelude::*;
use uuid::Uuid;

use crate::world::request;

/// The last is the name of a place of the first where that has several.
pub const NAMES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "a_1"];
const WHO: [&str; 4] = ["ann", "bob", "cat", "dan"];

pub fn second(number: i64) -> Instant {
    from_micros(1_800_000_000_000_000 + number * 1_000_000)
}

/// The number of an instant that [`second`] gives.
pub fn seconds(at: Instant) -> i64 {
    (at - second(0)).num_seconds()
}

pub fn name(number: usize) -> ResourceName {
    ResourceName::parse(NAMES[number]).unwrap()
}

pub fn number(name: &ResourceName) -> usize {
    NAMES.iter().position(|known| *known == name.as_str()).unwrap()
}

pub fn requester(number: usize) -> Requester {
    Requester::parse(WHO[number]).unwrap()
}

pub fn who(requester: &Requester) -> usize {
    WHO.iter().position(|known| *known == requester.as_str()).unwrap()
}

pub fn acme() -> Tenant {
    Tenant::parse("acme").unwrap()
}

#[derive(Clone, Debug)]
pub enum Op {
    Lock {
        name: usize,
        by: usize,
        shared: bool,
        ttl: Option<u32>,
        wait: Option<u32>,
    },
    /// With one of the tokens that were made last; `by`: as somebody who may not have it.
    Unlock {
        which: usize,
        by: Option<usize>,
    },
    Renew {
        which: usize,
        ttl: u32,
    },
    Register {
        name: usize,
        capacity: u32,
        blocks: Vec<usize>,
        under: Vec<usize>,
        delay: u32,
    },
    Release {
        name: usize,
    },
    Transact {
        method: Method,
        ops: Vec<Op>,
    },
}

fn lock() -> impl Strategy<Value = Op> {
    let ttl = prop_oneof![2 => Just(None), 5 => (1u32..12).prop_map(Some)];
    let wait = prop_oneof![1 => Just(None), 2 => (1u32..30).prop_map(Some)];
    (0..NAMES.len(), 0..WHO.len(), prop::bool::weighted(0.3), ttl, wait)
        .prop_map(|(name, by, shared, ttl, wait)| Op::Lock { name, by, shared, ttl, wait })
}

fn unlock() -> impl Strategy<Value = Op> {
    let by = prop_oneof![9 => Just(None), 1 => (0..WHO.len()).prop_map(Some)];
    (0usize..12, by).prop_map(|(which, by)| Op::Unlock { which, by })
}

fn register() -> impl Strategy<Value = Op> {
    let capacity = prop_oneof![4 => Just(1u32), 3 => 2u32..4];
    let delay = prop_oneof![2 => Just(0u32), 1 => 1u32..8];
    let names = |most| prop_oneof![1 => Just(Vec::new()), 1 => prop::collection::vec(0..6usize, 0..most)];
    (0..NAMES.len(), capacity, names(3), names(3), delay).prop_map(|(name, capacity, mut blocks, under, delay)| {
        blocks.sort_unstable();
        blocks.dedup();
        Op::Register { name, capacity, blocks, under, delay }
    })
}

fn transact() -> impl Strategy<Value = Op> {
    let method = prop_oneof![Just(Method::AllOrNone), Just(Method::AsManyAsPossible), Just(Method::First)];
    let without_wait = lock().prop_map(|op| match op {
        Op::Lock { name, by, shared, ttl, .. } => Op::Lock { name, by, shared, ttl, wait: None },
        op => op,
    });
    let item = prop_oneof![3 => without_wait, 1 => unlock()];
    (method, prop::collection::vec(item, 1..4)).prop_map(|(method, ops)| Op::Transact { method, ops })
}

pub fn op() -> impl Strategy<Value = Op> {
    let renew = (0usize..8, 1u32..15).prop_map(|(which, ttl)| Op::Renew { which, ttl });
    let release = (0..NAMES.len()).prop_map(|name| Op::Release { name });
    prop_oneof![10 => lock(), 5 => unlock(), 2 => renew, 4 => register(), 1 => release, 2 => transact()]
}

/// How what is due is carried out before a batch.
#[derive(Clone, Copy, Debug)]
pub enum Tick {
    Late,
    Whole,
    /// In batches of so many.
    Pages(usize),
}

#[derive(Clone, Copy, Debug)]
pub enum Crash {
    No,
    /// It is decided, lost before it is committed, and decided again.
    Lost,
    /// The worker starts anew before it.
    Cold,
}

#[derive(Clone, Debug)]
pub struct Step {
    pub seconds: i64,
    pub tick: Tick,
    pub crash: Crash,
    /// Each with whether it is a dry run.
    pub batch: Vec<(Op, bool)>,
}

pub fn step() -> impl Strategy<Value = Step> {
    let tick = prop_oneof![3 => Just(Tick::Late), 2 => Just(Tick::Whole), 2 => (1usize..4).prop_map(Tick::Pages)];
    let crash = prop_oneof![6 => Just(Crash::No), 1 => Just(Crash::Lost), 1 => Just(Crash::Cold)];
    let seconds = prop_oneof![2 => Just(0i64), 4 => 1i64..8, 1 => 8i64..40];
    let batch = prop::collection::vec((op(), prop::bool::weighted(0.07)), 0..4);
    (seconds, tick, crash, batch).prop_map(|(seconds, tick, crash, batch)| Step { seconds, tick, crash, batch })
}

/// What is known of a lock that was asked for, whether or not it was had.
#[derive(Clone, Copy, Debug)]
struct Token {
    name: usize,
    by: usize,
    token: Uuid,
}

/// Makes requests of commands, each with a number of its own.
#[derive(Clone, Debug, Default)]
pub struct Numbering {
    count: u64,
    tokens: Vec<Token>,
}

impl Numbering {
    pub fn request(&mut self, op: &Op, is_dry_run: bool) -> Request {
        self.count += 1;
        let entropy = request("acme", self.count, Command::Several(Vec::new())).entropy;
        let command = self.command(op, &entropy);
        let mut request = request("acme", self.count, command);
        request.is_dry_run = is_dry_run;
        if matches!(request.command, Command::LockRelease(_)) {
            request.tenant = None;
        }
        request
    }

    fn command(&mut self, op: &Op, entropy: &Entropy) -> Command {
        match op {
            Op::Lock { name: resource, by, shared, ttl, wait } => {
                self.tokens.push(Token { name: *resource, by: *by, token: entropy.token() });
                Command::Lock(TakeLock {
                    requester: requester(*by),
                    resource: name(*resource),
                    resource_type: None,
                    ttl_seconds: *ttl,
                    mode: if *shared { Mode::Shared } else { Mode::Exclusive },
                    wait_seconds: *wait,
                })
            }
            Op::Unlock { which, by } => {
                let known = self.token(*which);
                Command::Unlock(Unlock {
                    requester: requester(by.unwrap_or(known.by)),
                    resource: name(known.name),
                    release_token: known.token,
                })
            }
            Op::Renew { which, ttl } => {
                let known = self.token(*which);
                Command::Renew(Renew { resource: name(known.name), release_token: known.token, ttl_seconds: *ttl })
            }
            Op::Register { name: resource, capacity, blocks, under, delay } => Command::Register(Register {
                name: name(*resource),
                capacity: *capacity,
                blocks: blocks.iter().map(|it| name(*it)).collect(),
                ancestors: under.iter().map(|it| name(*it)).collect(),
                resource_type: None,
                lock_delay_seconds: *delay,
            }),
            Op::Release { name: resource } => {
                Command::LockRelease(LockRelease { tenant: acme(), resource: name(*resource) })
            }
            Op::Transact { method, ops } => {
                let item = |(index, op)| self.command(op, &entropy.item(index));
                Command::Transact(Transact { method: *method, commands: ops.iter().enumerate().map(item).collect() })
            }
        }
    }

    /// One of the latest; one that nobody has where there is none.
    fn token(&self, which: usize) -> Token {
        let latest = self.tokens.iter().rev().nth(which).or(self.tokens.last());
        latest.copied().unwrap_or(Token { name: 0, by: 0, token: Uuid::nil() })
    }
}
