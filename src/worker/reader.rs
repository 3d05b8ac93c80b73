//! Reads: no lane is locked, nothing is written. What is due is applied to what was read before it is shown.

use std::collections::BTreeMap;

use crate::domain::command::{
    Command, InstanceKind, List, LockList, Page, PoolPut, Query, Request, ResourceList, SortBy,
};
use crate::domain::hold::{Hold, Kind, Status};
use crate::domain::id::{HoldId, IdempotencyKey, PoolName, ReceiptId, ResourceName, Tenant};
use crate::domain::outcome::{FieldReason, Refusal, Registered};
use crate::domain::resource::LockName;
use crate::domain::tick::as_of;
use crate::store::StoreError;
use crate::store::query::Reader;
use crate::store::tenant::Marked;
use crate::wire::reply::{self, Encoded};

use super::answer::fits;
use super::decided::stored;
use super::intake::Intake;
use super::pipeline::kind_is_taken;

/// Answers queries from the database.
#[derive(Clone, Debug)]
pub struct Queries {
    pub reader: Reader,
    /// The server's `max_payload`, bytes.
    pub payload_bytes_max: usize,
}

impl Queries {
    /// The answer, and whether it is the stored one of an earlier command.
    pub async fn answer(&self, tenant: Option<&Tenant>, query: Query) -> (Encoded, bool) {
        let field = field_of(&query);
        let answer = match (tenant, query) {
            (Some(tenant), Query::Receipt(key)) => return self.receipt(tenant, &key).await,
            (Some(tenant), Query::Get(id)) => self.get(tenant, id).await,
            (Some(tenant), Query::GetPast(id, at)) => self.get_past(tenant, id, at).await,
            (Some(tenant), Query::History(id, as_of)) => self.history(tenant, id, as_of).await,
            (Some(tenant), Query::Usage(id, as_of)) => self.usage(tenant, id, as_of).await,
            (Some(tenant), Query::Schedule(of)) => self.schedule(tenant, of).await,
            (Some(tenant), Query::List(list)) => self.list(tenant, list).await,
            (Some(tenant), Query::Resources(list)) => self.resources(tenant, list).await,
            (Some(tenant), Query::Locks(list)) => self.locks(tenant, list).await,
            (Some(tenant), Query::ListPast(list, at)) => self.list_past(tenant, list, at).await,
            (Some(tenant), Query::Verify { resource, fencing_token }) => {
                self.verify(tenant, resource, fencing_token).await
            }
            (Some(_), Query::Pools(page)) => self.open_pools(page).await,
            (_, Query::PoolGet(name)) => self.pool(&name).await,
            (_, Query::PoolList(page)) => self.pools(page).await,
            (_, Query::TenantGet(name)) => self.tenant(&name).await,
            (Some(tenant), Query::Quota) => self.quota(tenant).await,
            (None, _) => Ok(Err(Refusal::NotFound)), // the operator has no such verb
        };
        (self.settled(answer, field), false)
    }

    async fn receipt(&self, tenant: &Tenant, key: &IdempotencyKey) -> (Encoded, bool) {
        match self.reader.receipt(ReceiptId::of(Some(tenant), key)).await {
            Ok(Some(receipt)) => (stored(&receipt), true),
            Ok(None) => (reply::refusal(&Refusal::NotFound), false),
            Err(error) => (self.settled(Err(error), "idempotency_key"), false),
        }
    }

    async fn get(&self, tenant: &Tenant, id: HoldId) -> Result<Result<Encoded, Refusal>, StoreError> {
        let (hold, now) = self.reader.hold(tenant, id).await?;
        let hold = hold.filter(|hold| hold.kind() == Kind::Reservation);
        Ok(hold.map(|hold| reply::reservation(&as_of(hold, now))).ok_or(Refusal::NotFound))
    }

    /// A page whose reply would not fit into one message is cut, and says that there is more.
    async fn list(&self, tenant: &Tenant, list: List) -> Result<Result<Encoded, Refusal>, StoreError> {
        let (holds, has_more, now) = self.reader.list(tenant, &list).await?;
        let holds: Vec<Hold> = holds.into_iter().map(|hold| as_of(hold, now)).collect();
        let is_by_status = list.sort_by == SortBy::Status;
        let encode = |holds: &[Hold], has_more| reply::reservations(holds, has_more, is_by_status);
        Ok(Ok(self.cut_to_fit(&holds, has_more, encode)))
    }

    /// The longest beginning of a page, by halves, whose reply fits into one message.
    pub(super) fn cut_to_fit<T>(&self, items: &[T], has_more: bool, encode: impl Fn(&[T], bool) -> Encoded) -> Encoded {
        let encoded = encode(items, has_more);
        match items.len() <= 1 || fits(encoded.body.len(), self.payload_bytes_max) {
            true => encoded,
            false => self.cut_to_fit(&items[..items.len() / 2], true, encode),
        }
    }

    async fn verify(
        &self,
        tenant: &Tenant,
        resource: ResourceName,
        fencing_token: i64,
    ) -> Result<Result<Encoded, Refusal>, StoreError> {
        let name = LockName { tenant: tenant.clone(), resource };
        let holders = self.holders(&[name]).await?;
        let is_current = |holder: &Hold| holder.lock().is_some_and(|lock| lock.fencing_token == fencing_token);
        Ok(Ok(reply::verify(fencing_token, holders.iter().any(is_current))))
    }

    async fn resources(&self, tenant: &Tenant, list: ResourceList) -> Result<Result<Encoded, Refusal>, StoreError> {
        let (resources, has_more) = self.reader.resources(tenant, &list).await?;
        let names: Vec<LockName> = resources.iter().map(|registered| registered.resource.lock_name()).collect();
        let mut holders: BTreeMap<LockName, Vec<Hold>> = BTreeMap::new();
        for holder in self.holders(&names).await? {
            if let Some(name) = holder.lock_name() {
                holders.entry(name).or_default().push(holder);
            }
        }
        let with_holders = |registered: Registered| {
            let holders = holders.remove(&registered.resource.lock_name()).unwrap_or_default();
            (registered, holders)
        };
        let resources: Vec<(Registered, Vec<Hold>)> = resources.into_iter().map(with_holders).collect();
        Ok(Ok(self.cut_to_fit(&resources, has_more, reply::resources)))
    }

    async fn locks(&self, tenant: &Tenant, list: LockList) -> Result<Result<Encoded, Refusal>, StoreError> {
        let (holds, has_more, _) = self.reader.live_locks(tenant, &list).await?;
        Ok(Ok(self.cut_to_fit(&holds, has_more, reply::locks)))
    }

    /// Who holds these locks at the database's time, in the order in which it was granted.
    async fn holders(&self, names: &[LockName]) -> Result<Vec<Hold>, StoreError> {
        let (holds, now) = self.reader.locks(names).await?;
        let mut held: Vec<Hold> =
            holds.into_iter().map(|hold| as_of(hold, now)).filter(|hold| hold.status == Status::Active).collect();
        held.sort_by_key(|hold| hold.lock().map(|lock| lock.fencing_token));
        Ok(held)
    }

    async fn pool(&self, name: &PoolName) -> Result<Result<Encoded, Refusal>, StoreError> {
        Ok(self.reader.pool(name).await?.map(|pool| reply::pool(&pool)).ok_or(Refusal::UnknownPool))
    }

    async fn pools(&self, page: Page) -> Result<Result<Encoded, Refusal>, StoreError> {
        let (pools, has_more) = self.reader.pools(&page).await?;
        Ok(Ok(self.cut_to_fit(&pools, has_more, reply::pools)))
    }

    async fn tenant(&self, name: &Tenant) -> Result<Result<Encoded, Refusal>, StoreError> {
        let (config, _) = self.reader.tenant(name).await?;
        Ok(config.map(|config| reply::tenant_config(&config)).ok_or(Refusal::NotFound))
    }

    async fn quota(&self, tenant: &Tenant) -> Result<Result<Encoded, Refusal>, StoreError> {
        let (config, now) = self.reader.tenant(tenant).await?;
        // Where the last limit is lifted in between nothing is marked any more, and nothing is shown as used.
        let mut used = self.reader.tenant_use(tenant, Marked::of(config.as_ref())).await?;
        used.lapse(now);
        Ok(Ok(reply::quota(&config.map(|config| config.limits).unwrap_or_default(), &used, now)))
    }

    async fn open_pools(&self, page: Page) -> Result<Result<Encoded, Refusal>, StoreError> {
        let (pools, has_more) = self.reader.open_pools(&page).await?;
        Ok(Ok(self.cut_to_fit(&pools, has_more, reply::open_pools)))
    }

    /// Fills in the pool of what was asked for by kind, and its siblings. Where none is found the command is decided all
    /// the same: its key may have an answer.
    pub async fn find_pool(&self, request: &mut Request) -> Result<(), Refusal> {
        let mut siblings = Vec::new();
        for (kind, pool) in request.command.wanted_kinds() {
            (*pool, siblings) = self.pool_of_kind(kind).await?;
        }
        if !matches!(request.command, Command::Transact(_)) {
            request.siblings.pools = siblings;
        }
        Ok(())
    }

    /// Refuses a configuration whose kind another pool has.
    pub async fn check_kind(&self, put: &PoolPut) -> Result<(), Refusal> {
        let (Some(instance_type), Some(region)) = (put.instance_type.clone(), put.region.clone()) else {
            return Ok(());
        };
        match self.pool_of_kind(&InstanceKind { instance_type, region }).await?.0 {
            Some(other) if other != put.pool => Err(kind_is_taken()),
            _ => Ok(()),
        }
    }

    async fn pool_of_kind(&self, kind: &InstanceKind) -> Result<(Option<PoolName>, Vec<PoolName>), Refusal> {
        self.reader.pool_of_kind(kind).await.map_err(|error| {
            tracing::warn!(%error, cause = %error.source, "could not look up a pool");
            self.refusal_of(&error)
        })
    }

    /// `field`: what is told of an answer that would be too large.
    fn settled(&self, answer: Result<Result<Encoded, Refusal>, StoreError>, field: &str) -> Encoded {
        match answer {
            Ok(Ok(encoded)) if fits(encoded.body.len(), self.payload_bytes_max) => encoded,
            Ok(Ok(_)) => {
                let expected = "one of which less is to be told: the answer does not fit into one message";
                reply::refusal(&Refusal::field(field, FieldReason::TooManyItems, expected))
            }
            Ok(Err(refusal)) => reply::refusal(&refusal),
            Err(error) => {
                tracing::warn!(%error, cause = %error.source, "could not answer a query");
                reply::refusal(&self.refusal_of(&error))
            }
        }
    }

    fn refusal_of(&self, error: &StoreError) -> Refusal {
        match self.reader.is_overrun(error) {
            true => Intake::overloaded(),
            false => Refusal::Unavailable,
        }
    }
}

/// The field of a query that says of what, or of how much, is to be told.
fn field_of(query: &Query) -> &'static str {
    match query {
        Query::Get(_) | Query::GetPast(..) | Query::History(..) | Query::Usage(..) => "reservation_id",
        Query::Schedule(_) | Query::PoolGet(_) => "pool",
        Query::List(_)
        | Query::ListPast(..)
        | Query::Pools(_)
        | Query::PoolList(_)
        | Query::Resources(_)
        | Query::Locks(_) => "limit",
        Query::Verify { .. } => "resource",
        Query::Receipt(_) => "idempotency_key",
        Query::TenantGet(_) | Query::Quota => "tenant",
    }
}
