//! The lock client against a real worker, and the guard of the store that is written to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // tests may fail loudly

mod abandoned;
mod acquire;
#[path = "../readme/book.rs"]
#[allow(dead_code)] // it is shared with other tests, each of which needs its own part
mod book;
mod documents;
#[path = "../../examples/lock.rs"]
mod example;
mod frozen;
mod guard;
#[path = "../it/harness.rs"]
#[allow(dead_code)] // it is shared with other tests, each of which needs its own part
mod harness;
mod holder;
#[path = "../servers/mod.rs"]
mod servers;
#[path = "../readme/shown.rs"]
mod shown;
mod support;
#[path = "../it/tap.rs"]
#[allow(dead_code)] // it is shared with other tests, each of which needs its own part
mod tap;
mod wait;
