//! The README and the contract are true: every command in them is run, and every answer is the one that they show.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test's way to fail

mod book;
mod contract;
#[path = "../it/harness.rs"]
#[allow(dead_code)] // it is shared with other tests, each of which needs its own part
mod harness;
mod nats_command;
mod readme;
mod schemas;
#[path = "../servers/mod.rs"]
mod servers;
mod settings;
mod shell;
mod shown;
