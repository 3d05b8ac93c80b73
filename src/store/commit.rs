//! The writes of a batch, and what a failure among them means.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use sqlx::postgres::{PgBindIterExt, PgDatabaseError, PgSeverity};

use super::batch::{BatchId, CommitError, Ground, Writes};
use super::columns::{column, lane_numbers};
use super::error::StoreError;
use super::{new_rows as rows, pool, registry, sql};
use crate::domain::id::Lane;
use crate::domain::resource::Pool;
use crate::domain::state::Head;

/// SQLSTATE of a unique violation.
const UNIQUE_VIOLATION: &str = "23505";
/// The constraint that says that a receipt is there already.
const RECEIPT_PRIMARY_KEY: &str = "receipt_pkey";
/// The classes of SQLSTATE that blame the data of a statement: data exception, integrity constraint violation,
/// program limit exceeded.
const DATA_CLASSES: [&str; 3] = ["22", "23", "54"];

/// Everything that a batch writes but for tenants: what is configured, then in one statement all else. `false`: a lane is
/// not as the batch was decided upon, and nothing was written.
pub async fn write(
    connection: &mut PgConnection,
    batch: BatchId,
    writes: &Writes<'_>,
    ground: &Ground,
) -> Result<bool, StoreError> {
    let changes = writes.changes;
    pool::put(connection, &changes.pools).await.map_err(StoreError::of("put pools"))?;
    registry::put(connection, &changes.resources).await.map_err(StoreError::of("put resources"))?;
    write_batch(connection, batch, writes, ground).await.map_err(StoreError::of("write a batch"))
}

async fn write_batch(
    connection: &mut PgConnection,
    batch: BatchId,
    writes: &Writes<'_>,
    ground: &Ground,
) -> Result<bool, sqlx::Error> {
    let Writes { changes, payloads, receipts } = *writes;
    let (updated, inserted) = (rows::holds(&changes.updated)?, rows::holds(&changes.inserted)?);
    let (events, receipts) = (rows::events(&changes.events, payloads)?, rows::receipts(receipts)?);
    let heads: Vec<(Lane, Head)> = changes.heads.iter().map(|(lane, head)| (*lane, *head)).collect();
    let changed: BTreeSet<Lane> = changes.pools.iter().map(Pool::lane).collect();
    let registered: BTreeSet<Lane> = changes.resources.iter().map(|resource| resource.lock_name().lane()).collect();
    // The batch itself has announced its change of a tenant in the lanes.
    let tenants_batch = if changes.tenants.is_empty() { ground.tenants_batch } else { Some(batch.0) };
    let written = sqlx::query(sql::WRITE_BATCH.clone())
        .bind(batch.0)
        .bind(ground.reckoned_at)
        .bind(tenants_batch)
        .bind(lane_numbers(heads.iter().map(|(lane, _)| *lane)))
        .bind(column(&heads, |(_, head)| head.seq))
        .bind(column(&heads, |(_, head)| head.fence))
        .bind(column(&heads, |(_, head)| head.now))
        .bind(column(&heads, |(lane, _)| changed.contains(lane)))
        .bind(column(&heads, |(lane, _)| registered.contains(lane)))
        .bind(column(&heads, |(lane, _)| ground.lanes.get(lane).copied().flatten()))
        .bind(updated.iter().bind_iter())
        .bind(inserted.iter().bind_iter())
        .bind(events.iter().bind_iter())
        .bind(receipts.iter().bind_iter())
        // All of them: a transaction of one statement is not committed before the last message.
        .fetch_all(connection)
        .await?;
    Ok(!written.is_empty())
}

/// What a failure of the statement that writes a whole batch means.
pub fn meaning_at_once(error: StoreError) -> CommitError {
    let is_decided = match &error.source {
        sqlx::Error::Encode(_) => true,
        // What ends the connection too may come after the commit.
        sqlx::Error::Database(error) => {
            let error = error.try_downcast_ref::<PgDatabaseError>();
            error.is_some_and(|error| error.severity() == PgSeverity::Error)
        }
        _ => false,
    };
    match is_decided {
        true => meaning(error),
        false => CommitError::Unknown(error),
    }
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
