//! Replies to the operator's verbs.

use serde::Serialize;

use super::view::{self, PoolView, Shown};
use crate::domain::booked::Withdrawn;
use crate::domain::hold::Hold;
use crate::domain::id::HoldId;
use crate::domain::lock::Lock;
use crate::domain::outcome::{LockReleased, Lowered, ReleaseStatus};

/// Most of the reservations that were ended that a reply names, so that it fits into one message; each has its event.
const NAMED_MAX: usize = 1_000;

#[derive(Serialize)]
pub struct LoweredView<'a> {
    #[serde(flatten)]
    pool: PoolView<'a>,
    withdrawn: Vec<WithdrawnView<'a>>,
    withdrawn_count: usize,
}

#[derive(Serialize)]
struct WithdrawnView<'a> {
    reservation_id: Shown<HoldId>,
    tenant: &'a str,
    status: &'static str,
    quantity: u32,
    credit_cents: i64,
}

/// `pool_put`, where reservations had to go for it.
pub fn lowered(lowered: &Lowered) -> LoweredView<'_> {
    LoweredView {
        pool: view::pool(&lowered.pool),
        withdrawn: lowered.withdrawn.iter().take(NAMED_MAX).map(withdrawn).collect(),
        withdrawn_count: lowered.withdrawn.len(),
    }
}

fn withdrawn(withdrawn: &Withdrawn) -> WithdrawnView<'_> {
    WithdrawnView {
        reservation_id: Shown(withdrawn.id),
        tenant: withdrawn.tenant.as_str(),
        status: withdrawn.status.name(),
        quantity: withdrawn.quantity,
        credit_cents: withdrawn.credit_cents,
    }
}

#[derive(Serialize)]
pub struct LockReleasedView<'a> {
    tenant: &'a str,
    resource: &'a str,
    status: &'static str,
    /// Who held it until now.
    requester: Option<&'a str>,
    released: Vec<String>,
}

/// `lock_release`.
pub fn lock_released(released: &LockReleased) -> LockReleasedView<'_> {
    let lock = released.claims.first().and_then(Hold::lock);
    let status = if lock.is_some() { ReleaseStatus::Relinquished } else { ReleaseStatus::NotReserved };
    LockReleasedView {
        tenant: released.tenant.as_str(),
        resource: released.resource.as_str(),
        status: status.name(),
        requester: lock.map(|lock| lock.requester.as_str()),
        released: released.claims.iter().filter_map(Hold::lock).map(Lock::place).collect(),
    }
}
