//! What a person runs: the embedded stack, a thin client, the load tool. Prints; everything else only logs.

pub mod bench;
pub mod client;
pub mod dev;
pub mod stack;
pub mod watch;
