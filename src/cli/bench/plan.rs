//! What is sent: each request made from its number alone.

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{Days, SecondsFormat};

use super::{BenchArgs, Kind};
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
/// Longer than any run: no lock expires while it is counted.
const LOCK_TTL_SECONDS: u32 = 86_400;

/// A round of requests, numbered from 0. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Plan(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Requests,
    subject: String,
    /// Distinguishes the run, and the round within it.
    run: String,
    round: &'static str,
    pools: u64,
    capacity: u32,
    has_keys: bool,
    limit: u64,
    seed: u64,
    /// Every grid point at which a window can start or end.
    grid: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requests {
    Pools,
    Reserve,
    Lock,
    Availability,
}

impl Plan {
    /// One `pool_put` for each pool of the run.
    pub fn pools(args: &BenchArgs, subjects: &Subjects, tenant: &Tenant, run: &str) -> Plan {
        let subject = subjects.request(tenant, Verb::PoolPut);
        Plan::new(args, Requests::Pools, subject, run, "p", u64::from(args.pools))
    }

    /// The load: up to `limit` requests.
    pub fn load(
        args: &BenchArgs,
        kind: Kind,
        subjects: &Subjects,
        tenant: &Tenant,
        run: &str,
        round: &'static str,
        limit: u64,
    ) -> Plan {
        let requests = match kind {
            Kind::Reserve => Requests::Reserve,
            Kind::Lock => Requests::Lock,
            Kind::Availability => Requests::Availability,
        };
        Plan::new(args, requests, subjects.request(tenant, kind.verb()), run, round, limit)
    }

    fn new(args: &BenchArgs, kind: Requests, subject: String, run: &str, round: &'static str, limit: u64) -> Plan {
        let first = window::ceil(clock::now() + Days::new(1), GRAIN_SECONDS);
        let instant = |grain: u64| -> Instant {
            let micros = i64::try_from(grain).unwrap_or(0) * i64::from(GRAIN_SECONDS) * 1_000_000;
            window::from_micros(first.timestamp_micros() + micros)
        };
        let grid = (0..STARTS + GRAINS_MAX + 1)
            .map(|grain| instant(grain).to_rfc3339_opts(SecondsFormat::Secs, true))
            .collect();
        Plan(Arc::new(Inner {
            kind,
            subject,
            run: run.to_owned(),
            round,
            pools: u64::from(args.pools),
            capacity: args.capacity,
            has_keys: !args.no_keys,
            limit,
            seed: clock::random_uuid().as_u64_pair().0,
            grid,
        }))
    }

    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    pub fn kind(&self) -> Requests {
        self.0.kind
    }

    pub fn round(&self) -> &'static str {
        self.0.round
    }

    pub fn limit(&self) -> u64 {
        self.0.limit
    }

    pub fn has_keys(&self) -> bool {
        self.0.has_keys
    }

    /// The idempotency key of a request of this run.
    pub fn key(&self, round: &str, number: u64) -> String {
        format!("{}-{round}-{number}", self.0.run)
    }

    /// The lock that a request of this run asks for.
    pub fn lock(&self, round: &str, number: u64) -> String {
        format!("bench-{}-{round}-{number}", self.0.run)
    }

    pub fn pool_names(&self) -> impl Iterator<Item = PoolName> {
        (0..self.0.pools).filter_map(|number| PoolName::parse(&self.pool(number)))
    }

    fn pool(&self, number: u64) -> String {
        format!("bench-{}-{number}", self.0.run)
    }

    /// A pool, and a start and an end on its grid.
    fn window(&self, number: u64) -> (String, &str, &str) {
        let mut random = mixed(self.0.seed.wrapping_add(number));
        let pool = self.pool(random % self.0.pools);
        random = mixed(random);
        let start = random % STARTS;
        let end = start + 1 + mixed(random) % GRAINS_MAX;
        let at = |grain: u64| self.0.grid.get(grain as usize).map_or("", String::as_str);
        (pool, at(start), at(end))
    }

    pub fn payload(&self, number: u64) -> Bytes {
        let mut json = String::with_capacity(160);
        // Writing to a String can't fail.
        let _ = match self.0.kind {
            Requests::Pools => write!(
                json,
                r#"{{"pool":"{}","capacity":{},"grain_seconds":{GRAIN_SECONDS}}}"#,
                self.pool(number),
                self.0.capacity
            ),
            Requests::Reserve => {
                let (pool, start, end) = self.window(number);
                write!(json, r#"{{"pool":"{pool}","start_time":"{start}","end_time":"{end}","quantity":1}}"#)
            }
            Requests::Availability => {
                let (pool, start, _) = self.window(number);
                write!(json, r#"{{"pool":"{pool}","start_time":"{start}","quantity":1}}"#)
            }
            Requests::Lock => write!(
                json,
                r#"{{"requester":"bench","resource":"{}","ttl_seconds":{LOCK_TTL_SECONDS}}}"#,
                self.lock(self.0.round, number)
            ),
        };
        json.into()
    }
}

/// The step and the finish of splitmix64: numbers that look random from numbers that count.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
