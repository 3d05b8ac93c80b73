//! Connecting, migrating, and the checks without which a worker refuses to start.

use super::error::StoreError;

/// How to reach the database, and a pool of connections for what is not a batch.
#[derive(Clone, Debug)]
pub struct Database {
    pool: sqlx::PgPool,
}

/// Why a worker does not start on this database: one sentence each.
#[derive(Debug, thiserror::Error)]
pub enum UnfitDatabase {
    #[error("Postgres is a replica (pg_is_in_recovery is true): point the worker at the primary")]
    Replica,
    #[error("Postgres does not keep what it commits ({setting} is off): turn it on")]
    NotDurable { setting: &'static str },
    #[error("the schema is at version {found}, this binary supports {oldest} to {newest}: {advice}")]
    Schema { found: i64, oldest: i64, newest: i64, advice: &'static str },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Database {
    /// `url`: `postgres://…`. Waits for no server: fails at once where none answers.
    pub async fn connect(url: &str, connections_max: u32) -> Result<Database, StoreError> {
        let _ = (url, connections_max);
        todo!()
    }

    pub fn pool(&self) -> &sqlx::PgPool {
        &self.pool
    }

    /// Brings the schema to the newest version; safe when several run at once.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        todo!()
    }

    /// Durable, the primary, and of a schema that this binary supports?
    pub async fn check(&self) -> Result<(), UnfitDatabase> {
        todo!()
    }
}
