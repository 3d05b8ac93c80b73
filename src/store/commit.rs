//! The writes of a batch, a statement a table, and what a failure among them means.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::batch::{BatchId, CommitError, Receipt, Writes};
use super::columns::{bind_holds, bind_journal, bind_receipts, lane_numbers};
use super::error::StoreError;
use super::{pool, registry, sql};
use crate::domain::hold::Hold;
use crate::domain::id::Lane;
use crate::domain::resource::Pool;
use crate::domain::state::{Changes, Head};
use crate::domain::window::Instant;

/// SQLSTATE of a unique violation.
const UNIQUE_VIOLATION: &str = "23505";
/// The constraint that says that a receipt is there already.
const RECEIPT_PRIMARY_KEY: &str = "receipt_pkey";
/// The classes of SQLSTATE that blame the data of a statement: data exception, integrity constraint violation,
/// program limit exceeded.
const DATA_CLASSES: [&str; 3] = ["22", "23", "54"];

/// Everything that a batch writes. Changed holds go before new ones, because a lock may pass from one to the other;
/// receipts go last, because they are where the batch may meet another one.
pub async fn write(connection: &mut PgConnection, batch: BatchId, writes: &Writes<'_>) -> Result<(), StoreError> {
    let Writes { changes, payloads, receipts } = *writes;
    update_holds(connection, &changes.updated).await.map_err(StoreError::of("update holds"))?;
    insert_holds(connection, &changes.inserted).await.map_err(StoreError::of("insert holds"))?;
    insert_journal(connection, changes, payloads).await.map_err(StoreError::of("append to the journal"))?;
    pool::put(connection, &changes.pools).await.map_err(StoreError::of("put pools"))?;
    registry::put(connection, &changes.resources).await.map_err(StoreError::of("put resources"))?;
    update_lanes(connection, batch, changes).await.map_err(StoreError::of("move lanes on"))?;
    insert_receipts(connection, receipts).await.map_err(StoreError::of("store receipts"))
}

async fn update_holds(connection: &mut PgConnection, holds: &[Hold]) -> Result<(), sqlx::Error> {
    if holds.is_empty() {
        return Ok(());
    }
    let done = bind_holds(sql::UPDATE_HOLDS.clone(), holds)?.execute(connection).await?;
    match done.rows_affected() == holds.len() as u64 {
        true => Ok(()),
        false => Err(sqlx::Error::RowNotFound),
    }
}

async fn insert_holds(connection: &mut PgConnection, holds: &[Hold]) -> Result<(), sqlx::Error> {
    if holds.is_empty() {
        return Ok(());
    }
    bind_holds(sql::INSERT_HOLDS.clone(), holds)?.execute(connection).await.map(drop)
}

async fn insert_journal(
    connection: &mut PgConnection,
    changes: &Changes,
    payloads: &[Vec<u8>],
) -> Result<(), sqlx::Error> {
    if changes.events.is_empty() {
        return Ok(());
    }
    bind_journal(sql::INSERT_JOURNAL.clone(), &changes.events, payloads)?.execute(connection).await.map(drop)
}

async fn update_lanes(connection: &mut PgConnection, batch: BatchId, changes: &Changes) -> Result<(), sqlx::Error> {
    let heads: Vec<(Lane, Head)> = changes.heads.iter().map(|(lane, head)| (*lane, *head)).collect();
    let changed: BTreeSet<Lane> = changes.pools.iter().map(Pool::lane).collect();
    let registered: BTreeSet<Lane> = changes.resources.iter().map(|resource| resource.lock_name().lane()).collect();
    sqlx::query(sql::UPDATE_LANES.clone())
        .bind(lane_numbers(heads.iter().map(|(lane, _)| *lane)))
        .bind(heads.iter().map(|(_, head)| head.seq).collect::<Vec<i64>>())
        .bind(heads.iter().map(|(_, head)| head.fence).collect::<Vec<i64>>())
        .bind(heads.iter().map(|(_, head)| head.now).collect::<Vec<Instant>>())
        .bind(batch.0)
        .bind(heads.iter().map(|(lane, _)| changed.contains(lane)).collect::<Vec<bool>>())
        .bind(heads.iter().map(|(lane, _)| registered.contains(lane)).collect::<Vec<bool>>())
        .execute(connection)
        .await
        .map(drop)
}

async fn insert_receipts(connection: &mut PgConnection, receipts: &[Receipt]) -> Result<(), sqlx::Error> {
    if receipts.is_empty() {
        return Ok(());
    }
    bind_receipts(sql::INSERT_RECEIPTS.clone(), receipts)?.execute(connection).await.map(drop)
}

/// What a failure before the commit means, once the transaction is rolled back.
pub fn meaning(error: StoreError) -> CommitError {
    let sqlx::Error::Database(database) = &error.source else {
        return match &error.source {
            sqlx::Error::Encode(_) => CommitError::Refused(error),
            _ => CommitError::Lost(error),
        };
    };
    let code = database.code().unwrap_or_default();
    if code == UNIQUE_VIOLATION && database.constraint() == Some(RECEIPT_PRIMARY_KEY) {
        return CommitError::ReceiptTaken;
    }
    match DATA_CLASSES.iter().any(|class| code.starts_with(class)) {
        true => CommitError::Refused(error),
        false => CommitError::Lost(error),
    }
}
