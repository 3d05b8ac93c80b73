//! berth: reservations of capacity and locks, asked for over NATS, decided in one place, committed in Postgres.
//!
//! Data flows one way: bytes in (`wire`), requests gathered into a batch (`worker`), lanes locked and state loaded
//! (`store`), one pure function decides (`domain`), rows, journal and receipts are committed (`store`), and only then
//! do bytes leave (`worker`, `relay`). The clock is one more producer of commands (`ticker`). `client` is for the
//! applications on the other side: it knows the contract and nothing of the rest.
//!
//! Invariants:
//! - only `store` knows SQL; only `wire`, and `cli` and `client` as clients, know JSON; only `worker`, `relay`, `cli` and
//!   `client` know NATS;
//! - `domain` imports nothing of this crate; `store` and `wire` never see each other;
//! - deciding never waits and never asks the time: clock and randomness are passed in;
//! - nothing is serialized after commit and nothing is sent before it;
//! - every change of a hold goes through `domain::decide`, the clock's too;
//! - events leave only through the journal;
//! - every loop, batch, window, payload and retry has a named limit;
//! - killing the process at any line loses nothing that was answered.

pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod domain;
pub mod health;
pub mod relay;
pub mod store;
pub mod telemetry;
pub mod ticker;
pub mod wire;
pub mod worker;
