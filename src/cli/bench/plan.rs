//! What is sent: each request made from its number and what its slot has.

use std::fmt::Write;
use std::sync::Arc;

use async_nats::Subject;
use chrono::{Days, SecondsFormat};

use super::mix::{Kind, Mix};
use super::slot::{Booked, Has, Request, Taken};
use super::{BenchArgs, CliError};
use crate::clock;
use crate::domain::id::{PoolName, Tenant};
use crate::domain::window::{self, Instant};
use crate::wire::subject::Subjects;
use crate::wire::verb::Verb;

/// The grain of the pools, seconds.
const GRAIN_SECONDS: u32 = 900;
/// Windows start within so many grains from tomorrow on: 300 days.
const STARTS: u64 = 300 * 96;
/// The longest window, grains.
const GRAINS_MAX: u64 = 4;
/// A reservation that was extended so often, by a grain each time, is let go.
pub const EXTENSIONS_MAX: u32 = 96;
/// Longer than any run: no lock expires while it is counted.
const LOCK_TTL_SECONDS: u32 = 86_400;
/// Sets the choice of the tenant apart from that of the window.
const TENANT_SALT: u64 = 0x6265_7274_682e_7465;
const KIND_SALT: u64 = 0x6265_7274_682e_6b69;

/// The verbs that are sent, in the order in which a tenant's subjects stand.
const VERBS: [Verb; 8] =
    [Verb::Reserve, Verb::Extend, Verb::Cancel, Verb::Get, Verb::Availability, Verb::Lock, Verb::Unlock, Verb::PoolPut];

/// What all rounds of a run share.
#[derive(Debug)]
pub struct Run {
    /// Distinguishes it from every other.
    name: String,
    tenants: Vec<Target>,
    pools: u64,
    capacity: u32,
    pub has_keys: bool,
    /// Every grid point at which a window can start or end, as it is written.
    grid: Vec<String>,
    first: Instant,
}

#[derive(Debug)]
struct Target {
    tenant: Tenant,
    subjects: [Subject; VERBS.len()],
}

impl Run {
    pub fn new(args: &BenchArgs, subjects: &Subjects) -> Result<Run, CliError> {
        let name = clock::random_uuid().simple().to_string();
        let name = name.get(..8).unwrap_or(&name).to_owned();
        let target = |number: u32| {
            let tenant = match args.tenants {
                1 => format!("bench-{name}"),
                _ => format!("bench-{name}-{number}"),
            };
            let tenant = Tenant::parse(&tenant).ok_or_else(|| CliError::told("could not name a tenant"))?;
            let subjects = VERBS.map(|verb| Subject::from(subjects.request(&tenant, verb)));
            Ok(Target { tenant, subjects })
        };
        let first = window::ceil(clock::now() + Days::new(1), GRAIN_SECONDS);
        let points = STARTS + GRAINS_MAX + u64::from(EXTENSIONS_MAX) + 1;
        let written = |grain: u64| at(first, grain).to_rfc3339_opts(SecondsFormat::Secs, true);
        Ok(Run {
            tenants: (0..args.tenants).map(target).collect::<Result<_, CliError>>()?,
            name,
            pools: u64::from(args.pools),
            capacity: args.capacity,
            has_keys: !args.no_keys,
            grid: (0..points).map(written).collect(),
            first,
        })
    }

    /// What the names of all its tenants begin with.
    pub fn prefix(&self) -> String {
        format!("bench-{}", self.name)
    }

    pub fn tenants(&self) -> impl Iterator<Item = &Tenant> {
        self.tenants.iter().map(|target| &target.tenant)
    }

    pub fn tenant(&self, number: u32) -> Option<&Tenant> {
        self.tenants.get(number as usize).map(|target| &target.tenant)
    }

    /// The instant of a grid point.
    pub fn instant(&self, grain: u32) -> Instant {
        at(self.first, u64::from(grain))
    }

    /// The idempotency key of a request.
    pub fn key(&self, round: &str, number: u64) -> String {
        let mut key = String::with_capacity(32);
        // Writing to a String can't fail; so everywhere here.
        let _ = write!(key, "{}-{round}-{number}", self.name);
        key
    }

    /// The lock that an item of a request asks for.
    pub fn lock(&self, round: &str, number: u64, item: u32) -> String {
        let mut name = String::with_capacity(48);
        self.write_lock(&mut name, round, number, item);
        name
    }

    fn write_lock(&self, into: &mut String, round: &str, number: u64, item: u32) {
        let _ = write!(into, "bench-{}-{round}-{number}", self.name);
        if item > 0 {
            let _ = write!(into, "-{item}");
        }
    }

    pub fn pool_names(&self) -> impl Iterator<Item = PoolName> {
        (0..self.pools).filter_map(|number| PoolName::parse(&format!("bench-{}-{number}", self.name)))
    }
}

fn at(first: Instant, grain: u64) -> Instant {
    let micros = i64::try_from(grain).unwrap_or(0) * i64::from(GRAIN_SECONDS) * 1_000_000;
    window::from_micros(first.timestamp_micros() + micros)
}

/// A round of requests, numbered from 0. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Plan(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    run: Arc<Run>,
    round: &'static str,
    mix: Mix,
    /// Locks of a message.
    items: u32,
    limit: u64,
    seed: u64,
}

impl Plan {
    /// Up to `limit` requests.
    pub fn new(run: &Arc<Run>, round: &'static str, mix: Mix, items: u32, limit: u64) -> Plan {
        let seed = clock::random_uuid().as_u64_pair().0;
        Plan(Arc::new(Inner { run: run.clone(), round, mix, items, limit, seed }))
    }

    pub fn run(&self) -> &Run {
        &self.0.run
    }

    pub fn round(&self) -> &'static str {
        self.0.round
    }

    pub fn limit(&self) -> u64 {
        self.0.limit
    }

    /// Locks of a message.
    pub fn items(&self) -> u32 {
        self.0.items
    }

    pub fn subject(&self, request: &Request) -> Option<&Subject> {
        let verb = VERBS.iter().position(|verb| *verb == request.verb)?;
        self.0.run.tenants.get(request.tenant as usize)?.subjects.get(verb)
    }

    /// What the slot asks for next: where it has nothing that could be changed or looked at, a reservation.
    pub fn request(&self, number: u64, has: &Has) -> Request {
        let random = mixed(self.0.seed.wrapping_add(number));
        let kind = self.0.mix.pick(mixed(random ^ KIND_SALT));
        match (kind, &has.booked) {
            (Kind::PoolPut, _) => self.pool_put(number),
            (Kind::Extend, Some(booked)) => self.extend(booked),
            (Kind::Cancel, Some(booked)) => self.of_booked(Kind::Cancel, Verb::Cancel, booked),
            (Kind::Get, Some(booked)) => self.of_booked(Kind::Get, Verb::Get, booked),
            (Kind::Availability, _) => self.availability(random),
            (Kind::LockUnlock, _) if !has.taken.locks.is_empty() => self.unlock(&has.taken),
            (Kind::Lock | Kind::LockUnlock, _) => self.lock(kind, number, random),
            (Kind::Reserve | Kind::Extend | Kind::Cancel | Kind::Get, _) => self.reserve(random),
        }
    }

    fn made(&self, kind: Kind, verb: Verb, tenant: u32, payload: String) -> Request {
        Request { kind, verb, tenant, items: 1, end: 0, payload: payload.into() }
    }

    fn tenant_of(&self, random: u64) -> u32 {
        (mixed(random ^ TENANT_SALT) % self.0.run.tenants.len().max(1) as u64) as u32
    }

    fn written(&self, grain: u64) -> &str {
        self.0.run.grid.get(grain as usize).map_or("", String::as_str)
    }

    /// Its three parts are drawn one after the other: a pool, a start, and an end.
    fn window(&self, random: u64) -> (u64, u64, u64) {
        let second = mixed(random);
        let start = second % STARTS;
        (random % self.0.run.pools, start, start + 1 + mixed(second) % GRAINS_MAX)
    }

    fn pool_put(&self, number: u64) -> Request {
        let (run, capacity) = (&self.0.run.name, self.0.run.capacity);
        let json =
            format!(r#"{{"pool":"bench-{run}-{number}","capacity":{capacity},"grain_seconds":{GRAIN_SECONDS}}}"#);
        self.made(Kind::PoolPut, Verb::PoolPut, 0, json)
    }

    fn reserve(&self, random: u64) -> Request {
        let (pool, start, end) = self.window(random);
        let mut json = String::with_capacity(160);
        let _ = write!(
            json,
            r#"{{"pool":"bench-{}-{pool}","start_time":"{}","end_time":"{}","quantity":1}}"#,
            self.0.run.name,
            self.written(start),
            self.written(end)
        );
        Request { end: end as u32, ..self.made(Kind::Reserve, Verb::Reserve, self.tenant_of(random), json) }
    }

    fn availability(&self, random: u64) -> Request {
        let (pool, start, _) = self.window(random);
        let mut json = String::with_capacity(120);
        let start = self.written(start);
        let _ = write!(json, r#"{{"pool":"bench-{}-{pool}","start_time":"{start}","quantity":1}}"#, self.0.run.name);
        self.made(Kind::Availability, Verb::Availability, self.tenant_of(random), json)
    }

    fn extend(&self, booked: &Booked) -> Request {
        let end = booked.end + 1;
        let mut json = String::with_capacity(120);
        let written = self.written(u64::from(end));
        let _ = write!(json, r#"{{"reservation_id":"{}","end_time":"{written}"}}"#, booked.id);
        Request { end, ..self.made(Kind::Extend, Verb::Extend, booked.tenant, json) }
    }

    fn of_booked(&self, kind: Kind, verb: Verb, booked: &Booked) -> Request {
        let mut json = String::with_capacity(64);
        let _ = write!(json, r#"{{"reservation_id":"{}"}}"#, booked.id);
        self.made(kind, verb, booked.tenant, json)
    }

    fn lock(&self, kind: Kind, number: u64, random: u64) -> Request {
        let items = self.0.items;
        let json = array(items, |json, item| {
            json.push_str(r#"{"requester":"bench","resource":""#);
            self.0.run.write_lock(json, self.0.round, number, item as u32);
            let _ = write!(json, r#"","ttl_seconds":{LOCK_TTL_SECONDS}}}"#);
        });
        Request { items, ..self.made(kind, Verb::Lock, self.tenant_of(random), json) }
    }

    fn unlock(&self, taken: &Taken) -> Request {
        let items = u32::try_from(taken.locks.len()).unwrap_or(u32::MAX);
        let json = array(items, |json, index| {
            let Some(lock) = taken.locks.get(index) else { return };
            json.push_str(r#"{"requester":"bench","resource":""#);
            self.0.run.write_lock(json, taken.round, taken.number, lock.item);
            let _ = write!(json, r#"","release_token":"{}"}}"#, lock.token);
        });
        Request { items, ..self.made(Kind::LockUnlock, Verb::Unlock, taken.tenant, json) }
    }
}

/// One object as it is, several as an array.
fn array(items: u32, mut write: impl FnMut(&mut String, usize)) -> String {
    let mut json = String::with_capacity(items as usize * 136 + 2);
    if items == 1 {
        write(&mut json, 0);
        return json;
    }
    for item in 0..items as usize {
        json.push(if item == 0 { '[' } else { ',' });
        write(&mut json, item);
    }
    json.push(']');
    json
}

/// The step and the finish of splitmix64: numbers that look random from numbers that count.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
