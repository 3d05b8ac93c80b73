//! The whole of berth against a real Postgres and a real nats-server, which this run starts for itself. Each test has
//! a database and a subject space of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // clippy spares only the tests themselves, not what they call

mod bad_input;
mod harness;
mod idempotency;
mod lifecycle;
mod limits;
mod locks;
mod observe;
mod reservations;
mod service;
mod start;
mod submit;
mod tap;
