//! What is old goes, in bounded chunks.

use std::time::Duration;

use sqlx::SqlStr;

use super::error::StoreError;
use super::sql;
use super::start::Database;
use crate::domain::id::LANES;

/// How many rows one sweep deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub receipts: u64,
    pub batches: u64,
    pub journal: u64,
    pub history: u64,
}

impl Database {
    /// Deletes receipts and batches older than `receipts_kept`; moves published events older than `journal_kept` out
    /// of the journal, those of reservations into the history; deletes from there what is older than `history_kept`.
    /// Of each no more than `limit` rows (of the journal, `limit` or one a lane), so that a caller goes on while it
    /// finds something. Each lane keeps its last event. An event that a receipt may speak of stays: none goes for ever
    /// before the receipts of its time have gone.
    pub async fn sweep(
        &self,
        receipts_kept: Duration,
        journal_kept: Duration,
        history_kept: Duration,
        limit: u32,
    ) -> Result<Swept, StoreError> {
        let limit = i64::from(limit);
        let of_lane = (limit / i64::from(LANES)).max(1);
        let receipts = self.delete(sql::SWEEP_RECEIPTS.clone(), receipts_kept, limit, "sweep receipts").await?;
        let is_caught_up = receipts < limit.unsigned_abs();
        let history_kept = history_kept.max(receipts_kept);
        let batches_kept = receipts_kept.max(journal_kept); // lanes are read up from them
        Ok(Swept {
            receipts,
            batches: self.delete(sql::SWEEP_BATCHES.clone(), batches_kept, limit, "sweep batches").await?,
            journal: self.sweep_journal(journal_kept, of_lane).await?,
            history: match is_caught_up {
                true => self.delete(sql::SWEEP_HISTORY.clone(), history_kept, limit, "sweep the history").await?,
                false => 0,
            },
        })
    }

    async fn sweep_journal(&self, kept: Duration, limit: i64) -> Result<u64, StoreError> {
        let query = sqlx::query_scalar::<_, i64>(sql::SWEEP_JOURNAL.clone()).bind(kept.as_secs_f64()).bind(limit);
        let swept = query.fetch_one(self.pool()).await.map_err(StoreError::of("sweep the journal"))?;
        Ok(swept.unsigned_abs())
    }

    async fn delete(
        &self,
        statement: SqlStr,
        kept: Duration,
        limit: i64,
        attempt: &'static str,
    ) -> Result<u64, StoreError> {
        let deleted = sqlx::query(statement).bind(kept.as_secs_f64()).bind(limit).execute(self.pool()).await;
        Ok(deleted.map_err(StoreError::of(attempt))?.rows_affected())
    }
}
