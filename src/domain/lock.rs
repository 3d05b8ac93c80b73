//! Locks: a claim on a named resource, and what is registered of the resources that a tenant has described.

use uuid::Uuid;

use super::id::{Requester, ResourceName, ResourceType, Tenant};
use super::resource::LockName;

/// Most places of one resource.
pub const PLACES_MAX: u32 = 1_000;
/// Most resources that one may block, directly and by what it blocks.
pub const BLOCKS_MAX: usize = 100;
/// Most names from the root of a tree to a resource of it.
pub const DEPTH_MAX: usize = 16;
/// Most resources that stand together in trees or block each other: whoever locks one of them has all their claims
/// read.
pub const RELATED_MAX: usize = 1_000;
/// Most bytes of their names together: events and replies name all that is held with a lock.
pub const RELATED_BYTES_MAX: usize = 65_536;
/// Most holders of one lock that `check` names, the first.
pub const HOLDERS_SHOWN_MAX: usize = 100;
/// Most claims on resources that stand together in trees or block each other: each decision looks through them all.
pub const RELATED_CLAIMS_MAX: usize = 5_000;
/// Most claims that wait for one resource.
pub const WAITERS_MAX: usize = 10_000;
/// Longest wait for a lock, and longest time for which a resource stays closed, seconds: a day.
pub const WAIT_MAX_SECONDS: u32 = 86_400;
/// Between the names of a path; no name that is registered or locked has it.
pub const PATH_SEPARATOR: char = '>';

/// Who may hold a resource beside whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    #[default]
    Exclusive,
    /// With any number of others that share it.
    Shared,
}

impl Mode {
    pub const ALL: [Mode; 2] = [Mode::Exclusive, Mode::Shared];

    /// As it is written on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Exclusive => "exclusive",
            Mode::Shared => "shared",
        }
    }

    pub fn parse(name: &str) -> Option<Mode> {
        Mode::ALL.into_iter().find(|mode| mode.name() == name)
    }

    pub fn goes_with(self, other: Mode) -> bool {
        self == Mode::Shared && other == Mode::Shared
    }

    /// Does who has this have `wanted` too?
    pub fn covers(self, wanted: Mode) -> bool {
        self == Mode::Exclusive || wanted == Mode::Shared
    }
}

/// A claim on a resource: waiting for it, holding it, or over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    pub requester: Requester,
    pub resource: ResourceName,
    pub resource_type: ResourceType,
    pub release_token: Uuid,
    /// Strictly rising per resource, for ever. 0 while it waits: it is drawn with the grant.
    pub fencing_token: i64,
    pub mode: Mode,
    /// The place that it has, from 0; `None` where the resource has only one, and while it waits.
    pub slot: Option<u32>,
    /// How long it is held from its grant or its last renewal on, seconds; `None`: until it is released.
    pub ttl_seconds: Option<u32>,
    /// It was taken with another lock of its requester, and goes with the last that needs it.
    pub is_blocker: bool,
    /// What has to be held with it, sorted.
    pub blockers: Vec<ResourceName>,
    /// The names from the root of its tree to its own; empty where it stands in none.
    pub path: Vec<ResourceName>,
    /// For how long nobody is granted its place once its time to live has run out, seconds.
    pub delay_seconds: u32,
}

impl Lock {
    /// As it is called where there are several: the name of the place.
    pub fn place(&self) -> String {
        match self.slot {
            Some(slot) => slot_name(&self.resource, slot),
            None => self.resource.to_string(),
        }
    }
}

pub fn slot_name(resource: &ResourceName, slot: u32) -> String {
    format!("{resource}_{slot}")
}

/// What a tenant has said of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    pub tenant: Tenant,
    pub name: ResourceName,
    /// 1, 2, 3 …: one more with each change.
    pub version: u32,
    /// How many may hold it at once, each a place of its own.
    pub capacity: u32,
    /// What it is a part of.
    pub parent: Option<ResourceName>,
    /// What is taken and given back with it. Sorted, each once.
    pub blocks: Vec<ResourceName>,
    /// The label of claims that bring none.
    pub resource_type: Option<ResourceType>,
    pub lock_delay_seconds: u32,
    /// What was taken off `blocks` while it was held: its claims of that time have it still.
    pub former_blocks: Vec<ResourceName>,
}

impl Resource {
    /// One of which nothing is said but that there is one.
    pub fn plain(name: LockName) -> Resource {
        Resource {
            tenant: name.tenant,
            name: name.resource,
            version: 0,
            capacity: 1,
            parent: None,
            blocks: Vec::new(),
            resource_type: None,
            lock_delay_seconds: 0,
            former_blocks: Vec::new(),
        }
    }

    pub fn lock_name(&self) -> LockName {
        LockName { tenant: self.tenant.clone(), resource: self.name.clone() }
    }
}
