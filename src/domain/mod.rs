//! What can be held, who holds it, and what a command does to it. Pure: no async, no clock, no randomness, no I/O;
//! ordered maps only, so that the same batch decided twice gives the same bytes.

pub mod booked;
pub mod command;
pub mod contention;
pub mod counter;
pub mod decide;
mod ending_soon;
pub mod event;
pub mod hold;
pub mod id;
pub mod lock;
pub mod look;
pub mod outcome;
mod outcome_lock;
pub mod past;
mod pause;
pub mod pool_state;
pub mod price;
pub mod quota;
pub mod registry;
pub mod resource;
pub mod schedule;
pub mod state;
pub mod statement;
pub mod tick;
pub mod usage;
pub mod window;
