//! The journal as the relay reads it: per lane, gapless, above the cursor. And the lease by which there is one relay.

use uuid::Uuid;

use super::error::StoreError;
use super::start::Database;
use crate::domain::event::EventType;
use crate::domain::hold::Kind;
use crate::domain::id::{Lane, Tenant};
use crate::domain::window::Instant;

/// One event as it waits in the journal.
#[derive(Clone, Debug)]
pub struct Entry {
    pub lane: Lane,
    pub seq: i64,
    pub event_id: Uuid,
    pub tenant: Tenant,
    pub kind: Kind,
    /// The subject's token before the type.
    pub label: String,
    pub event_type: EventType,
    pub at: Instant,
    pub payload: Vec<u8>,
}

/// The right to publish, held by one worker at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub holder: Uuid,
    /// One more with each new holder: what is written under an older one is refused.
    pub epoch: i64,
}

/// The relay's side of the store: its own connections from the pool.
#[derive(Clone, Debug)]
pub struct Journal {
    database: Database,
}

impl Journal {
    pub fn new(database: Database) -> Journal {
        Journal { database }
    }

    /// Takes the lease where it is free or ran out, or renews the holder's own for `seconds` by the database's clock;
    /// `None` while another holds it.
    pub async fn lease(&self, holder: Uuid, seconds: u32) -> Result<Option<Lease>, StoreError> {
        let _ = (&self.database, holder, seconds);
        todo!()
    }

    /// Gives the lease up, so that another worker need not wait for its end.
    pub async fn release(&self, lease: Lease) -> Result<(), StoreError> {
        let _ = lease;
        todo!()
    }

    /// The cursors of all lanes: the last published `seq`.
    pub async fn cursors(&self) -> Result<Vec<(Lane, i64)>, StoreError> {
        todo!()
    }

    /// Up to `limit` entries and about `bytes_max` bytes above the given cursors, ordered by lane and seq.
    pub async fn above(&self, cursors: &[(Lane, i64)], limit: u32, bytes_max: usize) -> Result<Vec<Entry>, StoreError> {
        let _ = (cursors, limit, bytes_max);
        todo!()
    }

    /// Moves cursors, each forwards only, if the lease is still this one; `false`: it is not.
    pub async fn advance(&self, lease: Lease, cursors: &[(Lane, i64)]) -> Result<bool, StoreError> {
        let _ = (lease, cursors);
        todo!()
    }

    /// How many entries wait above the cursors, over all lanes.
    pub async fn backlog(&self) -> Result<i64, StoreError> {
        todo!()
    }
}
