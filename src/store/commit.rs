//! The writes of a batch, and what a failure among them means.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use sqlx::postgres::PgBindIterExt;

use super::batch::{BatchId, CommitError, Writes};
use super::columns::lane_numbers;
use super::error::StoreError;
use super::{new_rows as rows, pool, registry, sql};
use crate::domain::hold::Hold;
use crate::domain::id::Lane;
use crate::domain::resource::Pool;
use crate::domain::state::Head;
use crate::domain::window::Instant;

/// SQLSTATE of a unique violation.
const UNIQUE_VIOLATION: &str = "23505";
/// The constraint that says that a receipt is there already.
const RECEIPT_PRIMARY_KEY: &str = "receipt_pkey";
/// The classes of SQLSTATE that blame the data of a statement: data exception, integrity constraint violation,
/// program limit exceeded.
const DATA_CLASSES: [&str; 3] = ["22", "23", "54"];

/// Everything that a batch writes: what has changed, then in one statement what is new.
pub async fn write(connection: &mut PgConnection, batch: BatchId, writes: &Writes<'_>) -> Result<(), StoreError> {
    let changes = writes.changes;
    update_holds(connection, &changes.updated).await.map_err(StoreError::of("update holds"))?;
    pool::put(connection, &changes.pools).await.map_err(StoreError::of("put pools"))?;
    registry::put(connection, &changes.resources).await.map_err(StoreError::of("put resources"))?;
    write_new(connection, batch, writes).await.map_err(StoreError::of("write a batch"))
}

async fn update_holds(connection: &mut PgConnection, holds: &[Hold]) -> Result<(), sqlx::Error> {
    if holds.is_empty() {
        return Ok(());
    }
    let rows = rows::holds(holds)?;
    let done = sqlx::query(sql::UPDATE_HOLDS.clone()).bind(rows.iter().bind_iter()).execute(connection).await?;
    match done.rows_affected() == holds.len() as u64 {
        true => Ok(()),
        false => Err(sqlx::Error::RowNotFound),
    }
}

async fn write_new(connection: &mut PgConnection, batch: BatchId, writes: &Writes<'_>) -> Result<(), sqlx::Error> {
    let Writes { changes, payloads, receipts } = *writes;
    let (holds, events) = (rows::holds(&changes.inserted)?, rows::events(&changes.events, payloads)?);
    let receipts = rows::receipts(receipts)?;
    let heads: Vec<(Lane, Head)> = changes.heads.iter().map(|(lane, head)| (*lane, *head)).collect();
    let changed: BTreeSet<Lane> = changes.pools.iter().map(Pool::lane).collect();
    let registered: BTreeSet<Lane> = changes.resources.iter().map(|resource| resource.lock_name().lane()).collect();
    sqlx::query(sql::WRITE_BATCH.clone())
        .bind(holds.iter().bind_iter())
        .bind(events.iter().bind_iter())
        .bind(receipts.iter().bind_iter())
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
