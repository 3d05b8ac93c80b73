//! The parts of the model test of locks.

pub mod book;
pub mod ops;
pub mod watch;
