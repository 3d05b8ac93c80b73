//! The journal as the relay reads it: per lane, gapless, above the cursor. And the lease by which there is one relay.

use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::columns::lane_numbers;
use super::error::StoreError;
use super::row::{self, get, number};
use super::sql;
use super::start::Database;
use crate::domain::event::{Event, EventType};
use crate::domain::hold::Kind;
use crate::domain::id::{HoldId, Lane, Tenant};
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

impl Entry {
    /// An event as its batch has written it.
    pub fn of(event: &Event, payload: Vec<u8>) -> Entry {
        let hold = &event.hold;
        Entry {
            lane: event.lane,
            seq: event.seq,
            event_id: hold.id.event_id(hold.version),
            tenant: hold.tenant.clone(),
            kind: hold.kind(),
            label: hold.subject_label().to_owned(),
            event_type: event.event_type,
            at: event.at,
            payload,
        }
    }
}

/// An event as it stands in the stream.
#[derive(Clone, Copy, Debug)]
pub struct Published {
    pub lane: Lane,
    pub seq: i64,
    /// SHA-256 of its payload.
    pub digest: [u8; 32],
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

    /// Takes the lease where it is free or ran out, or once more for its holder, for `seconds` by the database's clock;
    /// `None` while another holds it.
    pub async fn lease(&self, holder: Uuid, seconds: u32) -> Result<Option<Lease>, StoreError> {
        let epoch = sqlx::query_scalar(sql::TAKE_LEASE.clone())
            .bind(holder)
            .bind(f64::from(seconds))
            .fetch_optional(self.database.pool())
            .await
            .map_err(StoreError::of("take the relay's lease"))?;
        Ok(epoch.map(|epoch| Lease { holder, epoch }))
    }

    /// Keeps the lease for `seconds` more; `false`: it is another's, or ran out, or the server was started since, which
    /// may be another one then, without the last commits.
    pub async fn renew(&self, lease: Lease, seconds: u32) -> Result<bool, StoreError> {
        let query = sqlx::query(sql::RENEW_LEASE.clone()).bind(lease.holder).bind(lease.epoch).bind(f64::from(seconds));
        let renewed = query.execute(self.database.pool()).await;
        Ok(renewed.map_err(StoreError::of("renew the relay's lease"))?.rows_affected() == 1)
    }

    /// Gives the lease up, so that another worker need not wait for its end.
    pub async fn release(&self, lease: Lease) -> Result<(), StoreError> {
        let query = sqlx::query(sql::RELEASE_LEASE.clone()).bind(lease.holder).bind(lease.epoch);
        query.execute(self.database.pool()).await.map(drop).map_err(StoreError::of("give the relay's lease up"))
    }

    /// The cursors of all lanes: the last published `seq`.
    pub async fn cursors(&self) -> Result<Vec<(Lane, i64)>, StoreError> {
        let rows = sqlx::query(sql::READ_CURSORS.clone()).fetch_all(self.database.pool()).await;
        let rows = rows.map_err(StoreError::of("read the relay's cursors"))?;
        let cursor = |row| Ok((row::lane(row)?, get(row, "seq")?));
        rows.iter().map(cursor).collect::<Result<_, _>>().map_err(StoreError::of("read the row of a cursor"))
    }

    /// Which of these events the journal has, in the order of each lane. A database that was restored, or has failed
    /// over to a replica without its last commits, has given some of their numbers to other events.
    pub async fn known(&self, published: &[Published]) -> Result<Vec<(Lane, i64)>, StoreError> {
        if published.is_empty() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(sql::KNOWN_EVENTS.clone())
            .bind(lane_numbers(published.iter().map(|event| event.lane)))
            .bind(published.iter().map(|event| event.seq).collect::<Vec<i64>>())
            .bind(published.iter().map(|event| event.digest).collect::<Vec<[u8; 32]>>())
            .fetch_all(self.database.pool())
            .await
            .map_err(StoreError::of("compare the stream with the journal"))?;
        let place = |row| Ok((row::lane(row)?, get(row, "seq")?));
        let places: Result<Vec<_>, sqlx::Error> = rows.iter().map(place).collect();
        places.map_err(StoreError::of("read the row of an event"))
    }

    /// Up to `limit` entries and about `bytes_max` bytes above the given cursors, ordered by lane and seq. Each lane
    /// gets a share, so that a busy one does not keep the others waiting. Where a lane's journal does not continue at
    /// its cursor, nothing of the lane is given: order is never bought with a gap.
    pub async fn above(&self, cursors: &[(Lane, i64)], limit: u32, bytes_max: usize) -> Result<Vec<Entry>, StoreError> {
        let rows = sqlx::query(sql::JOURNAL_ABOVE.clone())
            .bind(lane_numbers(cursors.iter().map(|(lane, _)| *lane)))
            .bind(cursors.iter().map(|(_, seq)| *seq).collect::<Vec<i64>>())
            .bind(i64::from(limit))
            .bind(i64::try_from(bytes_max).unwrap_or(i64::MAX))
            .fetch_all(self.database.pool())
            .await
            .map_err(StoreError::of("read what waits to be published"))?;
        let entries: Result<Vec<Entry>, sqlx::Error> = rows.iter().map(entry).collect();
        Ok(without_gaps(entries.map_err(StoreError::of("read the row of an event"))?, cursors))
    }

    /// Moves cursors, each forwards only, if the lease is still this one; `false`: it is not.
    pub async fn advance(&self, lease: Lease, cursors: &[(Lane, i64)]) -> Result<bool, StoreError> {
        let row = sqlx::query(sql::ADVANCE_CURSORS.clone())
            .bind(lease.holder)
            .bind(lease.epoch)
            .bind(lane_numbers(cursors.iter().map(|(lane, _)| *lane)))
            .bind(cursors.iter().map(|(_, seq)| *seq).collect::<Vec<i64>>())
            .fetch_one(self.database.pool())
            .await
            .map_err(StoreError::of("move the relay's cursors"))?;
        row.try_get("is_mine").map_err(StoreError::of("move the relay's cursors"))
    }

    /// How many entries wait above the cursors, over all lanes.
    pub async fn backlog(&self) -> Result<i64, StoreError> {
        let waiting = sqlx::query_scalar(sql::COUNT_BACKLOG.clone()).fetch_one(self.database.pool()).await;
        waiting.map_err(StoreError::of("count what waits to be published"))
    }
}

fn entry(row: &PgRow) -> Result<Entry, sqlx::Error> {
    let hold = HoldId::from_uuid(get(row, "hold_id")?);
    Ok(Entry {
        lane: row::lane(row)?,
        seq: get(row, "seq")?,
        event_id: hold.event_id(number::<i32, u32>(row, "version")?),
        tenant: row::tenant(row)?,
        kind: row::kind(row)?,
        label: get(row, "label")?,
        event_type: row::event_type(row)?,
        at: get(row, "at")?,
        payload: get(row, "payload")?,
    })
}

/// What follows on the cursors number by number.
fn without_gaps(entries: Vec<Entry>, cursors: &[(Lane, i64)]) -> Vec<Entry> {
    let mut last: BTreeMap<Lane, i64> = cursors.iter().copied().collect();
    let mut follows = |entry: &Entry| match last.get_mut(&entry.lane) {
        Some(seq) if *seq + 1 == entry.seq => {
            *seq = entry.seq;
            true
        }
        _ => false,
    };
    entries.into_iter().filter(|entry| follows(entry)).collect()
}
