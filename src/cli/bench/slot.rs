//! What a slot has: the request that is unanswered, and what it was granted and has not given back.

use bytes::Bytes;
use tokio::time::Instant;
use uuid::Uuid;

use super::mix::Kind;
use crate::wire::verb::Verb;

/// A request as it was made.
#[derive(Clone, Debug)]
pub struct Request {
    pub kind: Kind,
    pub verb: Verb,
    /// The tenant's place among those of the run.
    pub tenant: u32,
    /// How many answers it asks for.
    pub items: u32,
    /// The grain at which the window that is asked for ends.
    pub end: u32,
    pub payload: Bytes,
}

#[derive(Clone, Debug)]
pub struct Sent {
    pub number: u64,
    pub request: Request,
    /// From when on its latency counts.
    pub due: Instant,
    pub first_at: Instant,
    /// When it is to be sent again if no answer has come.
    pub again_at: Instant,
    /// Why it will be sent again.
    pub why: &'static str,
}

#[derive(Clone, Debug, Default)]
pub struct Slot {
    /// `None`: idle.
    pub sent: Option<Sent>,
    pub has: Has,
}

#[derive(Clone, Debug, Default)]
pub struct Has {
    /// The reservation that was granted last.
    pub booked: Option<Booked>,
    pub taken: Taken,
}

#[derive(Clone, Copy, Debug)]
pub struct Booked {
    pub id: Uuid,
    pub tenant: u32,
    pub end: u32,
    pub extensions: u32,
}

/// The locks of one message, to be given back by one.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    pub round: &'static str,
    pub number: u64,
    pub tenant: u32,
    /// Empty: none. Kept when it is emptied, so that it is allocated once.
    pub locks: Vec<TakenLock>,
}

#[derive(Clone, Copy, Debug)]
pub struct TakenLock {
    pub item: u32,
    pub id: Uuid,
    pub token: Uuid,
}
