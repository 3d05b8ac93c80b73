//! Reads: no lane is locked. Each gives the database's clock with what it found.

use super::batch::Receipt;
use super::error::StoreError;
use super::start::Database;
use crate::domain::command::{InstanceKind, List, Page};
use crate::domain::hold::Hold;
use crate::domain::id::{HoldId, Lane, PoolName, ReceiptId, Tenant};
use crate::domain::resource::{LockName, Pool};
use crate::domain::window::Instant;

/// Reads over a pool of connections.
#[derive(Clone, Debug)]
pub struct Reader {
    database: Database,
}

impl Reader {
    pub fn new(database: Database) -> Reader {
        Reader { database }
    }

    /// A tenant's hold as its row is, and the time.
    pub async fn hold(&self, tenant: &Tenant, id: HoldId) -> Result<(Option<Hold>, Instant), StoreError> {
        let _ = (&self.database, tenant, id);
        todo!()
    }

    /// One page of a tenant's reservations, filtered and sorted by the status that each has at the time given with
    /// it, and whether there is more behind it.
    pub async fn list(&self, tenant: &Tenant, list: &List) -> Result<(Vec<Hold>, bool, Instant), StoreError> {
        let _ = (tenant, list);
        todo!()
    }

    /// The live claims on these locks as their rows are, in no order.
    pub async fn locks(&self, names: &[LockName]) -> Result<(Vec<Hold>, Instant), StoreError> {
        let _ = names;
        todo!()
    }

    pub async fn receipt(&self, id: ReceiptId) -> Result<Option<Receipt>, StoreError> {
        let _ = id;
        todo!()
    }

    pub async fn pool(&self, name: &PoolName) -> Result<Option<Pool>, StoreError> {
        let _ = name;
        todo!()
    }

    pub async fn pools(&self, page: &Page) -> Result<(Vec<Pool>, bool), StoreError> {
        let _ = page;
        todo!()
    }

    /// The pool of a kind; the pair is unique.
    pub async fn pool_of_kind(&self, kind: &InstanceKind) -> Result<Option<PoolName>, StoreError> {
        let _ = kind;
        todo!()
    }

    /// For each lane that has one, the earliest instant at which something is due, and the time.
    pub async fn next_due(&self) -> Result<(Vec<(Lane, Instant)>, Instant), StoreError> {
        todo!()
    }
}

impl Reader {
    /// stub
    pub async fn sweep(
        &self,
        receipts_kept: std::time::Duration,
        journal_kept: std::time::Duration,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let _ = (receipts_kept, journal_kept, limit);
        todo!()
    }
}
