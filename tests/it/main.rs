//! The whole of berth against a real Postgres and a real nats-server, which this run starts for itself. Each test has
//! a database and a subject space of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // tests may fail loudly

mod accounts;
mod bad_input;
mod bench;
mod calendar;
mod checker;
mod crashes;
mod documents;
mod dry_run;
mod harness;
mod homes;
mod idempotency;
mod lifecycle;
mod limits;
mod locks;
mod looks;
#[path = "../nats_server/mod.rs"]
mod nats_server;
mod observe;
mod offers;
mod past;
mod past_list;
mod quota;
mod refusals;
mod reservations;
#[path = "../servers/mod.rs"]
mod servers;
mod service;
mod start;
mod submit;
mod tap;
mod update;
mod zones;
