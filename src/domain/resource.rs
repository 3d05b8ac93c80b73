//! What can be held: a pool is configured by the operator, a lock exists by being asked for.

use std::collections::BTreeMap;

use super::hold::Opaque;
use super::id::{Label, Lane, PoolName, ResourceName, Tenant, ZoneName};
use super::window::Instant;

/// Most units that one reservation may hold: every unit has an id in replies and events, and those have to fit into
/// one message.
pub const QUANTITY_MAX: u32 = 10_000;
/// Largest capacity of a pool, units.
pub const CAPACITY_MAX: u32 = 1_000_000_000;
/// Largest price, cents per unit-hour.
pub const PRICE_MAX_CENTS: i64 = 1_000_000_000;
/// Largest grain, seconds. A day, so that what is older than two days can be forgotten from memory.
pub const GRAIN_MAX_SECONDS: u32 = 86_400;
/// The offer of a pool that names none, at no price.
pub const STANDARD_OFFER: &str = "standard";

/// A pool of like units, shared among all tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    pub name: PoolName,
    /// 1, 2, 3 …: one more with each change.
    pub version: u32,
    pub capacity: Capacity,
    pub zones: Zones,
    pub instance_type: Option<Label>,
    pub region: Option<Label>,
    pub policy: Policy,
    pub offers: Vec<Offer>,
    pub instance_spec: Option<Opaque>,
    pub tags: Option<Opaque>,
}

impl Pool {
    pub fn lane(&self) -> Lane {
        Lane::of_pool(&self.name)
    }
}

/// A pool's zones, each with its own capacity; `None`: only the pool's binds. The capacities need not add up to the
/// pool's: both bind.
pub type Zones = BTreeMap<ZoneName, Option<Capacity>>;

/// How many units there are, over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capacity {
    Constant(u32),
    /// A step function: 0 before the first step; strictly ascending in time; not empty.
    Schedule(Vec<CapacityStep>),
}

impl Capacity {
    /// How many units there are at an instant.
    pub fn at(&self, at: Instant) -> u32 {
        match self {
            Capacity::Constant(quantity) => *quantity,
            Capacity::Schedule(steps) => {
                steps.iter().rev().find(|step| step.effective_at <= at).map_or(0, |step| step.quantity)
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapacityStep {
    pub effective_at: Instant,
    pub quantity: u32,
}

/// What a pool lets its tenants do. Binds new commands only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub grain_seconds: u32,
    pub quantity_step: u32,
    pub quantity_min: Option<u32>,
    pub quantity_max: Option<u32>,
    pub duration_min_seconds: Option<u32>,
    pub duration_max_seconds: Option<u32>,
    pub lead_time_seconds: u32,
    pub horizon_seconds: u32,
    pub intervals_max: u32,
    pub ending_soon_seconds: u32,
    pub cancellable: bool,
    pub extendable: bool,
    pub pausable: bool,
    pub reducible: bool,
    pub enabled: bool,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            grain_seconds: 900,
            quantity_step: 1,
            quantity_min: None,
            quantity_max: None,
            duration_min_seconds: None,
            duration_max_seconds: None,
            lead_time_seconds: 0,
            horizon_seconds: 366 * 86_400,
            intervals_max: 672,
            ending_soon_seconds: 0,
            cancellable: true,
            extendable: true,
            pausable: true,
            reducible: true,
            enabled: true,
        }
    }
}

/// A price that a pool offers. All prices in cents per unit-hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub key: Label,
    pub display_name: Label,
    pub unit_price_cents: i64,
    pub return_buyback_price_cents: i64,
    pub pause_buyback_price_cents: i64,
    pub option_premium_cents: i64,
}

/// What identifies a lock: its name within a tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockName {
    pub tenant: Tenant,
    pub resource: ResourceName,
}

impl LockName {
    pub fn lane(&self) -> Lane {
        Lane::of_locks(&self.tenant)
    }

    /// Another lock of the same tenant.
    pub fn sibling(&self, resource: &ResourceName) -> LockName {
        LockName { tenant: self.tenant.clone(), resource: resource.clone() }
    }
}
