//! A tenant's capacity in a pool: how it is named, and what `schedule` answers.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::instant::Utc;
use super::view::Carried;
use crate::domain::hold::Opaque;
use crate::domain::id::{PoolName, Tenant, ZoneName};
use crate::domain::schedule::Step;
use crate::domain::window::Instant;

/// The workspace of every tenant: berth has no more than one.
const WORKSPACE: &str = "default";
const PATH_PREFIX: &str = "berth:capacity:";

/// Longest name of a capacity, characters: that of a path with the longest names.
pub const ID_LENGTH_MAX: usize = 150;
/// The form of a capacity's name, for JSON Schema.
pub const PATTERN: &str = "^(berth:capacity:[a-z0-9][a-z0-9-]{0,62}:default:)?[a-z0-9][a-z0-9_-]{0,62}$";

/// What a capacity's name says.
#[derive(Debug)]
pub struct CapacityId {
    /// Of a resource path only.
    pub tenant: Option<Tenant>,
    pub pool: PoolName,
}

/// The pool's name, or `berth:capacity:<tenant>:default:<pool>`.
pub fn parse(text: &str) -> Option<CapacityId> {
    let Some(path) = text.strip_prefix(PATH_PREFIX) else {
        return Some(CapacityId { tenant: None, pool: PoolName::parse(text)? });
    };
    let (tenant, rest) = path.split_once(':')?;
    let (workspace, pool) = rest.split_once(':')?;
    let tenant = Some(Tenant::parse(tenant).filter(|_| workspace == WORKSPACE)?);
    Some(CapacityId { tenant, pool: PoolName::parse(pool)? })
}

/// What is answered of a capacity.
#[derive(Debug)]
pub struct Capacity<'a> {
    pub tenant: &'a Tenant,
    pub pool: &'a PoolName,
    pub created_at: Instant,
    pub tags: Option<&'a Opaque>,
    pub total: &'a [Step],
    /// The pool's zones, and what is held in each in which anything is.
    pub zones: &'a BTreeSet<ZoneName>,
    pub by_zone: &'a BTreeMap<ZoneName, Vec<Step>>,
}

#[derive(Serialize)]
pub(super) struct CapacityView<'a> {
    id: &'a str,
    resource_path: String,
    owner: &'a str,
    workspace: &'static str,
    name: &'a str,
    kind: &'static str,
    object: &'static str,
    zones: Vec<&'a str>,
    allocation_schedule: AllocationView<'a>,
    created_at: Utc,
    procurements: [&'a str; 0],
    deployments: [&'a str; 0],
    tags: Option<Carried<'a>>,
}

#[derive(Serialize)]
struct AllocationView<'a> {
    total: Vec<StepView>,
    by_zone: BTreeMap<&'a str, Vec<StepView>>,
}

#[derive(Serialize)]
struct StepView {
    effective_at: Utc,
    node_allocation: i64,
}

pub(super) fn view<'a>(capacity: &Capacity<'a>) -> CapacityView<'a> {
    let step = |step: &Step| StepView { effective_at: Utc(step.effective_at), node_allocation: step.units };
    let steps = |steps: &[Step]| steps.iter().map(step).collect();
    CapacityView {
        id: capacity.pool.as_str(),
        resource_path: format!("{PATH_PREFIX}{}:{WORKSPACE}:{}", capacity.tenant, capacity.pool),
        owner: capacity.tenant.as_str(),
        workspace: WORKSPACE,
        name: capacity.pool.as_str(),
        kind: "market",
        object: "capacity",
        zones: capacity.zones.iter().map(ZoneName::as_str).collect(),
        allocation_schedule: AllocationView {
            total: steps(capacity.total),
            by_zone: capacity.by_zone.iter().map(|(zone, of_zone)| (zone.as_str(), steps(of_zone))).collect(),
        },
        created_at: Utc(capacity.created_at),
        procurements: [],
        deployments: [],
        tags: capacity.tags.map(Carried::new),
    }
}
