//! What this worker keeps of tenants with limits between batches: who they are, and what each has.
//!
//! The order in which a batch takes what others want too: the slots of its lanes, the lanes' rows, the rows of its
//! tenants, the slots of its tenants; each kind in ascending order. Who holds a tenant's slot has its row or has ended
//! the transaction that had it, so that nobody waits for a slot longer than an answer takes to arrive.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

use super::waiting::Waiting;
use crate::domain::command::Command;
use crate::domain::id::Tenant;
use crate::domain::quota::TenantState;
use crate::domain::window::Instant;
use crate::store::tenant::{CachedTenant, LockedTenant, Marked};
use crate::store::{Loaded, Session, StoreError};

type Slot = Arc<tokio::sync::Mutex<Option<CachedTenant>>>;

#[derive(Clone, Debug, Default)]
pub struct Tenants(Arc<Kept>);

#[derive(Debug, Default)]
struct Kept {
    limited: Mutex<Arc<Limited>>,
    slots: Mutex<BTreeMap<Tenant, Slot>>,
}

/// The tenants with a limit, as of the batch that last changed what is known of tenants. Before the first such batch
/// there are none.
#[derive(Debug, Default)]
struct Limited {
    as_of: Option<Uuid>,
    tenants: BTreeSet<Tenant>,
}

/// What a batch decides upon.
#[derive(Debug)]
pub struct Opened {
    pub loaded: Loaded,
    pub tenants: LockedTenants,
}

impl Opened {
    /// Where no tenant of it has a limit.
    pub fn without_limits(loaded: Loaded) -> Opened {
        Opened { loaded, tenants: LockedTenants::default() }
    }
}

/// The tenants of a batch, their slots empty: what is not put back is forgotten, and read anew by the next batch.
#[derive(Debug, Default)]
pub struct LockedTenants(BTreeMap<Tenant, Taken>);

#[derive(Debug)]
struct Taken {
    slot: OwnedMutexGuard<Option<CachedTenant>>,
    last_batch: Option<Uuid>,
    state: TenantState,
}

impl Tenants {
    /// Locks and loads the tenants with limits whose commands or holds are in a batch that has its lanes.
    pub async fn open(
        &self,
        session: &mut Session,
        mut loaded: Loaded,
        commands: &[Box<Waiting>],
    ) -> Result<Opened, StoreError> {
        let limited = self.limited(session, loaded.tenants_batch).await?;
        let wanted = wanted(&limited.tenants, &loaded, commands);
        if wanted.is_empty() {
            return Ok(Opened::without_limits(loaded));
        }
        let mut rows = session.lock_tenants(&wanted).await?;
        let now = set_time(&mut loaded, &rows);
        let mut slots = BTreeMap::new();
        let mut cold = Vec::new();
        for tenant in wanted {
            let mut slot = self.slot(&tenant).lock_owned().await;
            let row = rows.get(&tenant);
            let cached = slot.take().filter(|cached| row.is_some_and(|row| row.is_of(cached, now)));
            if cached.is_none() {
                cold.push(tenant.clone());
            }
            slots.insert(tenant, (slot, cached));
        }
        let marked = |tenant: &Tenant| Marked::of(rows.get(tenant).map(|row| &row.config));
        let (limited, others): (Vec<Tenant>, Vec<Tenant>) =
            cold.into_iter().partition(|tenant| marked(tenant) == Marked::Yes);
        let mut read = session.tenants_use(&limited, Marked::Yes).await?;
        // What one without limits has is asked by nobody, until it is given one.
        let given: Vec<Tenant> = others.into_iter().filter(|tenant| is_given_limit(tenant, commands)).collect();
        read.extend(session.tenants_use(&given, Marked::No).await?);
        let taken = slots.into_iter().map(|(tenant, (slot, cached))| {
            let used = cached.map(|cached| cached.used).or_else(|| read.remove(&tenant)).unwrap_or_default();
            let row = rows.remove(&tenant);
            let last_batch = row.as_ref().and_then(|row| row.last_batch);
            let state = TenantState { config: row.map(|row| row.config), used };
            (tenant, Taken { slot, last_batch, state })
        });
        Ok(Opened { loaded, tenants: LockedTenants(taken.collect()) })
    }

    /// Is nobody of a batch, of whom the lanes know as of these batches, limited?
    pub fn are_free(&self, tenants_batches: impl IntoIterator<Item = Option<Uuid>>, commands: &[Box<Waiting>]) -> bool {
        let known = self.known();
        let are_known = tenants_batches.into_iter().all(|as_of| as_of == known.as_of);
        let mut callers = commands.iter().filter_map(|waiting| waiting.request.tenant.as_ref());
        are_known && (known.tenants.is_empty() || !callers.any(|tenant| known.tenants.contains(tenant)))
    }

    /// Is nobody whose holds were loaded limited, among those that are known?
    pub fn owners_are_free(&self, loaded: &Loaded) -> bool {
        wanted(&self.known().tenants, loaded, &[]).is_empty()
    }

    fn known(&self) -> Arc<Limited> {
        self.0.limited.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Read again where the lanes say that it has changed: it can't change again before they are let go.
    async fn limited(&self, session: &mut Session, as_of: Option<Uuid>) -> Result<Arc<Limited>, StoreError> {
        let known = self.known();
        if known.as_of == as_of {
            return Ok(known);
        }
        let read = Arc::new(Limited { as_of, tenants: session.limited_tenants().await? });
        *self.0.limited.lock().unwrap_or_else(PoisonError::into_inner) = read.clone();
        Ok(read)
    }

    fn slot(&self, tenant: &Tenant) -> Slot {
        let mut slots = self.0.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(tenant.clone()).or_default().clone()
    }
}

/// A command changes nothing but what is its tenant's; the clock and the operator change what was loaded for them.
fn wanted(limited: &BTreeSet<Tenant>, loaded: &Loaded, commands: &[Box<Waiting>]) -> BTreeSet<Tenant> {
    let put = commands.iter().filter_map(|waiting| match &waiting.request.command {
        Command::TenantPut(put) => Some(&put.tenant),
        _ => None,
    });
    let mut wanted: BTreeSet<Tenant> = put.cloned().collect();
    if !limited.is_empty() {
        let callers = commands.iter().filter_map(|waiting| waiting.request.tenant.as_ref());
        let booked = loaded.booked.iter().flat_map(|booked| &booked.holds);
        let owners = loaded.holds.iter().chain(booked).map(|hold| &hold.tenant);
        wanted.extend(callers.chain(owners).filter(|tenant| limited.contains(*tenant)).cloned());
    }
    wanted
}

fn is_given_limit(tenant: &Tenant, commands: &[Box<Waiting>]) -> bool {
    commands.iter().any(|waiting| match &waiting.request.command {
        Command::TenantPut(put) => put.tenant == *tenant && put.limits.has_any(),
        _ => false,
    })
}

/// No batch decides about a tenant at an earlier time than the one before it, in whichever lanes that was: sets one
/// time for all lanes of this one, and gives it.
fn set_time(loaded: &mut Loaded, rows: &BTreeMap<Tenant, LockedTenant>) -> Instant {
    let lanes = loaded.lanes.values().map(|cached| cached.state.head.now);
    let now = lanes.chain(rows.values().map(|row| row.decided_at)).max().unwrap_or(Instant::MIN_UTC);
    loaded.lanes.values_mut().for_each(|cached| cached.state.head.now = now);
    now
}

impl LockedTenants {
    /// What is known of them, to be decided upon.
    pub fn take(&mut self) -> BTreeMap<Tenant, TenantState> {
        self.0.iter_mut().map(|(tenant, taken)| (tenant.clone(), std::mem::take(&mut taken.state))).collect()
    }

    /// Keeps what is known of them; `changed_by` tells the batch that has just changed one, if it did.
    pub fn put_back(&mut self, states: BTreeMap<Tenant, TenantState>, changed_by: impl Fn(&Tenant) -> Option<Uuid>) {
        for (tenant, state) in states {
            if let Some(mut taken) = self.0.remove(&tenant) {
                let last_batch = changed_by(&tenant).or(taken.last_batch);
                *taken.slot = Some(CachedTenant { last_batch, used: state.used });
            }
        }
    }
}
