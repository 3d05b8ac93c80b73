//! The store against a real Postgres, which this run starts for itself. Each test has a database of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests may fail loudly too

#[path = "servers/mod.rs"]
mod servers;

#[path = "store/batches.rs"]
mod batches;
#[path = "store/caches.rs"]
mod caches;
#[path = "store/history.rs"]
mod history;
#[path = "store/journal.rs"]
mod journal;
#[path = "store/plans.rs"]
mod plans;
#[path = "store/reads.rs"]
mod reads;
#[path = "store/rows.rs"]
mod rows;
#[path = "store/settle.rs"]
mod settle;
#[path = "store/start.rs"]
mod start;
#[path = "store/support.rs"]
mod support;
#[path = "store/unlocked.rs"]
mod unlocked;
#[path = "store/zones.rs"]
mod zones;
