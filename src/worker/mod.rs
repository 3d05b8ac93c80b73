//! Requests in from NATS, batches through `store` and `domain`, replies out.

mod answer;
mod batch;
mod clock_work;
mod connect;
mod decided;
mod discovery;
mod dispatch;
mod endpoint;
pub mod filter;
mod homes;
mod intake;
mod kept;
mod lanes;
pub mod login;
mod neighbours;
mod pass_on;
mod past;
mod past_list;
mod pipeline;
mod queue;
mod reader;
mod run;
mod service;
pub mod streams;
mod submit;
mod tenants;
mod told;
mod waiting;

pub use run::{Readiness, WorkerError, run};
