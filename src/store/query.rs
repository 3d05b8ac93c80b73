//! Reads: no lane is locked. Each gives the database's clock with what it found.

use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::batch::Receipt;
use super::columns::{Bound, column, lane_numbers};
use super::error::StoreError;
use super::row::{self, get, parsed};
use super::start::Database;
use super::tenant::Marked;
use super::{pool, sql, tenant};
use crate::domain::command::{InstanceKind, List, Page, SortBy};
use crate::domain::hold::{Hold, Status};
use crate::domain::id::{HoldId, Label, Lane, PoolName, ReceiptId, Tenant};
use crate::domain::quota::{TenantConfig, TenantUse};
use crate::domain::resource::{LockName, Pool};
use crate::domain::window::Instant;

/// Most pools of a type that one is looked up with: each is one more lane where they have to be looked at.
const SIBLINGS_MAX: i64 = 4;

/// Reads over a pool of connections.
#[derive(Clone, Debug)]
pub struct Reader {
    database: Database,
}

impl Reader {
    pub fn new(database: Database) -> Reader {
        Reader { database }
    }

    pub(super) fn connections(&self) -> &sqlx::PgPool {
        self.database.pool()
    }

    /// Did this error come of there being more to read than connections? The server may be well; where it is away,
    /// the connections to it are gone.
    pub fn is_overrun(&self, error: &StoreError) -> bool {
        let pool = self.database.pool();
        let are_all_taken = pool.size() >= pool.options().get_max_connections() && pool.num_idle() == 0;
        are_all_taken && matches!(error.source, sqlx::Error::PoolTimedOut)
    }

    /// A tenant's hold as its row is, and the time.
    pub async fn hold(&self, tenant: &Tenant, id: HoldId) -> Result<(Option<Hold>, Instant), StoreError> {
        let lane = i16::from(id.lane().number());
        let query = sqlx::query(sql::READ_HOLD.clone()).bind(lane).bind(id.uuid()).bind(tenant.as_str());
        let (mut holds, now) = self.holds(query, "read a hold").await?;
        Ok((holds.pop(), now))
    }

    /// One page of a tenant's reservations, filtered and sorted by the status that each has at the time given with
    /// it, and whether there is more behind it. By creation the newest come first where `is_descending`; by status
    /// the order is that of a hold's life, and ids order those of one status in the same direction.
    pub async fn list(&self, tenant: &Tenant, list: &List) -> Result<(Vec<Hold>, bool, Instant), StoreError> {
        let (after, order) = list_order(list);
        let end = list.after.map(|cursor| cursor.id.uuid()).unwrap_or(match list.is_descending {
            true => Uuid::max(),
            false => Uuid::nil(),
        });
        let end_status = list.after.and_then(|cursor| cursor.status).unwrap_or(match list.is_descending {
            true => Status::Expired,
            false => Status::Waitlisted,
        });
        let query = sqlx::query(sql::list_holds(after, order))
            .bind(tenant.as_str())
            .bind(list.pool.as_ref().map(PoolName::as_str))
            .bind(list.instance_type.as_ref().map(Label::as_str))
            .bind(list.region.as_ref().map(Label::as_str))
            .bind(list.status.map(Status::name))
            .bind(end)
            .bind(i64::from(list.limit) + 1);
        let query = match list.sort_by {
            SortBy::CreatedAt => query,
            SortBy::Status => query.bind(end_status.name()),
        };
        let (mut holds, now) = self.holds(query, "list reservations").await?;
        let has_more = holds.len() > list.limit as usize;
        holds.truncate(list.limit as usize);
        Ok((holds, has_more, now))
    }

    /// The live claims on these locks as their rows are, in no order.
    pub async fn locks(&self, names: &[LockName]) -> Result<(Vec<Hold>, Instant), StoreError> {
        let query = sqlx::query(sql::READ_LOCKS.clone())
            .bind(lane_numbers(names.iter().map(LockName::lane)))
            .bind(column(names, |name| name.tenant.as_str()))
            .bind(column(names, |name| name.resource.as_str()));
        self.holds(query, "read locks").await
    }

    pub async fn receipt(&self, id: ReceiptId) -> Result<Option<Receipt>, StoreError> {
        let query = sqlx::query(sql::LOAD_RECEIPTS.clone()).bind(vec![id.uuid()]);
        let row = query.fetch_optional(self.database.pool()).await.map_err(StoreError::of("read a receipt"))?;
        row.as_ref().map(row::receipt).transpose().map_err(StoreError::of("read the row of a receipt"))
    }

    pub async fn pool(&self, name: &PoolName) -> Result<Option<Pool>, StoreError> {
        let lane = i16::from(Lane::of_pool(name).number());
        let query = sqlx::query(sql::READ_POOL.clone()).bind(lane).bind(name.as_str());
        let row = query.fetch_optional(self.database.pool()).await.map_err(StoreError::of("read a pool"))?;
        row.as_ref().map(pool::pool).transpose().map_err(StoreError::of("read the row of a pool"))
    }

    /// One page of all pools by name, and whether there is more behind it.
    pub async fn pools(&self, page: &Page) -> Result<(Vec<Pool>, bool), StoreError> {
        self.page_of_pools(sqlx::query(sql::LIST_POOLS.clone()), page).await
    }

    /// The same of those that are enabled.
    pub async fn open_pools(&self, page: &Page) -> Result<(Vec<Pool>, bool), StoreError> {
        self.page_of_pools(sqlx::query(sql::LIST_OPEN_POOLS.clone()), page).await
    }

    async fn page_of_pools(&self, query: Bound<'_>, page: &Page) -> Result<(Vec<Pool>, bool), StoreError> {
        let after = page.after.as_ref().map_or("", PoolName::as_str).to_owned();
        let query = query.bind(after).bind(i64::from(page.limit) + 1);
        let rows = query.fetch_all(self.database.pool()).await.map_err(StoreError::of("list pools"))?;
        let has_more = rows.len() > page.limit as usize;
        let pools = rows.iter().take(page.limit as usize).map(pool::pool).collect::<Result<_, _>>();
        Ok((pools.map_err(StoreError::of("read the row of a pool"))?, has_more))
    }

    /// The pool of a kind, the pair being unique; and the first that are enabled of those of its type elsewhere.
    pub async fn pool_of_kind(&self, kind: &InstanceKind) -> Result<(Option<PoolName>, Vec<PoolName>), StoreError> {
        let query = sqlx::query(sql::FIND_POOL_OF_KIND.clone())
            .bind(kind.instance_type.as_str())
            .bind(kind.region.as_str())
            .bind(SIBLINGS_MAX);
        let rows = query.fetch_all(self.database.pool()).await.map_err(StoreError::of("find the pool of a kind"))?;
        let (mut own, mut siblings) = (None, Vec::new());
        for row in &rows {
            let name = parsed(row, "name", PoolName::parse).map_err(StoreError::of("read the row of a pool"))?;
            match get(row, "is_own").map_err(StoreError::of("read the row of a pool"))? {
                true => own = Some(name),
                false => siblings.push(name),
            }
        }
        Ok((own, siblings))
    }

    /// What the operator says of a tenant, if anything, and the time.
    pub async fn tenant(&self, name: &Tenant) -> Result<(Option<TenantConfig>, Instant), StoreError> {
        let query = sqlx::query(sql::READ_TENANT.clone()).bind(name.as_str());
        let row = query.fetch_one(self.database.pool()).await.map_err(StoreError::of("read a tenant"))?;
        let is_there = get::<Option<&str>>(&row, "name").map(|name| name.is_some());
        let config = is_there.and_then(|is_there| is_there.then(|| tenant::config(&row)).transpose());
        let config = config.and_then(|config| Ok((config, get(&row, "read_at")?)));
        config.map_err(StoreError::of("read the row of a tenant"))
    }

    /// What a tenant has: reads all its live reservations and locks.
    pub async fn tenant_use(&self, name: &Tenant, marked: Marked) -> Result<TenantUse, StoreError> {
        let used = tenant::used(self.database.pool(), std::slice::from_ref(name), marked).await?;
        Ok(used.into_values().next().unwrap_or_default())
    }

    /// For each lane that has one, the earliest instant at which something is due, and the time.
    pub async fn next_due(&self) -> Result<(Vec<(Lane, Instant)>, Instant), StoreError> {
        let rows = sqlx::query(sql::NEXT_DUE.clone()).fetch_all(self.database.pool()).await;
        let rows = rows.map_err(StoreError::of("read when something is due"))?;
        dues(&rows).map_err(StoreError::of("read the row of a lane"))
    }

    pub(super) async fn holds(
        &self,
        query: Bound<'_>,
        attempt: &'static str,
    ) -> Result<(Vec<Hold>, Instant), StoreError> {
        let rows = query.fetch_all(self.database.pool()).await.map_err(StoreError::of(attempt))?;
        row::holds_read_at(&rows).map_err(StoreError::of("read the row of a hold"))
    }
}

/// The condition for what lies behind a page, and the order: ids begin with the time of creation.
fn list_order(list: &List) -> (&'static str, &'static str) {
    match (list.sort_by, list.is_descending) {
        (SortBy::CreatedAt, false) => ("hold.id > $6", "id"),
        (SortBy::CreatedAt, true) => ("hold.id < $6", "id desc"),
        (SortBy::Status, false) => {
            ("(effective_status(hold, clock.at), hold.id) > ($8::hold_status, $6)", "shown_status, id")
        }
        (SortBy::Status, true) => {
            ("(effective_status(hold, clock.at), hold.id) < ($8::hold_status, $6)", "shown_status desc, id desc")
        }
    }
}

fn dues(rows: &[PgRow]) -> Result<(Vec<(Lane, Instant)>, Instant), sqlx::Error> {
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let mut dues = Vec::new();
    for row in rows {
        if let Some(due_at) = get::<Option<Instant>>(row, "due_at")? {
            dues.push((row::lane(row)?, due_at));
        }
    }
    Ok((dues, get(first, "read_at")?))
}
