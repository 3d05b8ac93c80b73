//! What is asked for. Form has been checked by `wire`; what depends on state is checked by `decide`.

use uuid::Uuid;

use super::booked::VictimOrder;
use super::hold::{Opaque, Status};
use super::id::{
    Actor, Entropy, HoldId, IdempotencyKey, Label, Lane, LaneSet, PoolName, Requester, ResourceName, ResourceType,
    Tenant, ZoneName,
};
use super::lock::Mode;
use super::look::Look;
use super::quota::Limits;
use super::resource::{Capacity, LockName, Offer, Policy, Pool, Zones};
use super::window::{Instant, Interval};

/// A command and who sent it.
#[derive(Clone, Debug)]
pub struct Request {
    /// The tenant of the subject; `None` for the operator's verbs.
    pub tenant: Option<Tenant>,
    pub actor: Option<Actor>,
    /// Decided later than this, it is refused and changes nothing.
    pub not_after: Option<Instant>,
    /// The W3C trace context that replies and events continue.
    pub trace: Option<Trace>,
    pub entropy: Entropy,
    /// Decided like any other, and then taken back.
    pub is_dry_run: bool,
    pub siblings: Siblings,
    pub command: Command,
}

/// For a reservation by kind: the pools of its type elsewhere, which a refusal may offer. Their lanes are only locked
/// when the pool that was asked for has none to give: what is granted does not wait for them.
#[derive(Clone, Debug, Default)]
pub struct Siblings {
    pub pools: Vec<PoolName>,
    pub are_locked: bool,
}

/// A W3C trace context, checked by `wire`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    pub traceparent: String,
    pub tracestate: Option<String>,
}

#[derive(Clone, Debug)]
pub enum Command {
    Reserve(Reserve),
    Confirm(Confirm),
    Extend(Extend),
    Terminate(Terminate),
    Cancel(Cancel),
    Update(Update),
    Lock(TakeLock),
    Unlock(Unlock),
    Renew(Renew),
    Register(Register),
    Transact(Transact),
    /// Lock commands that came in one message: each decided on its own, in order, under one key.
    Several(Vec<Command>),
    PoolPut(PoolPut),
    ReservationTerminate(ReservationTerminate),
    LockRelease(LockRelease),
    /// Changes nothing, and so has no receipt.
    Look(Look),
    TenantPut(TenantPut),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Reserve {
    /// As asked for, or as found for `wanted_kind` before the lanes were locked; `None` where none was found.
    pub pool: Option<PoolName>,
    /// The request named a kind instead of a pool; checked again under the lock.
    pub wanted_kind: Option<InstanceKind>,
    pub name: Option<Label>,
    /// As sent: not empty, each `start < end`, sorted by start, none overlapping.
    pub intervals: Vec<Interval>,
    /// For each of `intervals`, where it stood in the request: refusals name it. `None`: the request gave one window
    /// by `start_time` and `end_time`.
    pub positions: Option<Vec<usize>>,
    pub tags: Option<Opaque>,
    pub launch_specification: Option<Opaque>,
    pub price: PriceLimit,
    pub hold_seconds: Option<u32>,
    /// Only units of this part of the pool.
    pub zone: Option<ZoneName>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceKind {
    pub instance_type: Label,
    pub region: Label,
}

/// The offer asked for and the most that a unit-hour may cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceLimit {
    /// `None`: `standard` for a new reservation, its own offer for an extension.
    pub offer_key: Option<Label>,
    pub unit_price_max_cents: Option<i64>,
}

#[derive(Clone, Debug)]
pub struct Confirm {
    pub id: HoldId,
    /// Keep only so many units; `None`: all.
    pub quantity: Option<u32>,
}

#[derive(Clone, Debug)]
pub struct Extend {
    pub id: HoldId,
    pub end_time: Instant,
    pub price: PriceLimit,
}

#[derive(Clone, Debug)]
pub struct Terminate {
    pub id: HoldId,
    pub part: Part,
}

#[derive(Clone, Debug)]
pub enum Part {
    All,
    /// So many units, those with the highest numbers first.
    Quantity(u32),
    /// These units, by the ids that the reservation shows. Not empty, no id twice.
    Units(Vec<UnitId>),
}

/// `<reservation_id>.<number>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnitId {
    pub hold: HoldId,
    pub number: u32,
}

#[derive(Clone, Debug)]
pub struct Cancel {
    pub id: HoldId,
}

/// What is `None` stays as it is.
#[derive(Clone, Debug)]
pub struct Update {
    pub id: HoldId,
    pub paused: Option<bool>,
    pub volumes: Option<Volumes>,
    pub name: Option<Label>,
    pub tags: Option<Opaque>,
}

/// Other volumes for a launch specification. That is carried and never read here, so `wire`, which knows how it is
/// written, brings along what it is with them: given it and the volumes, `None` where there is none before and after.
#[derive(Clone, Debug)]
pub struct Volumes {
    pub volumes: Opaque,
    pub put: fn(Option<&Opaque>, &Opaque) -> Option<Opaque>,
}

#[derive(Clone, Debug)]
pub struct TakeLock {
    pub requester: Requester,
    pub resource: ResourceName,
    /// `None`: that of the registered resource, or the default.
    pub resource_type: Option<ResourceType>,
    /// `None`: until released.
    pub ttl_seconds: Option<u32>,
    pub mode: Mode,
    /// Wait so long where it can't be had now; `None`: don't.
    pub wait_seconds: Option<u32>,
}

#[derive(Clone, Debug)]
pub struct Unlock {
    pub requester: Requester,
    pub resource: ResourceName,
    pub release_token: Uuid,
}

#[derive(Clone, Debug)]
pub struct Renew {
    pub resource: ResourceName,
    pub release_token: Uuid,
    pub ttl_seconds: u32,
}

/// The whole of what a tenant says of a resource: what is not given takes its default.
#[derive(Clone, Debug)]
pub struct Register {
    pub name: ResourceName,
    pub capacity: u32,
    /// Sorted, each once.
    pub blocks: Vec<ResourceName>,
    /// What it is a part of, from the root on; empty: of nothing.
    pub ancestors: Vec<ResourceName>,
    pub resource_type: Option<ResourceType>,
    pub lock_delay_seconds: u32,
}

/// Several commands in one: what of them stands when one of them fails is said by the method.
#[derive(Clone, Debug)]
pub struct Transact {
    pub method: Method,
    /// All of them take, or all give back.
    pub commands: Vec<Command>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    AllOrNone,
    AsManyAsPossible,
    /// The first that can be had, and no more.
    First,
}

impl Method {
    pub const ALL: [Method; 3] = [Method::AllOrNone, Method::AsManyAsPossible, Method::First];

    /// As it is written on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Method::AllOrNone => "ALL_OR_NONE",
            Method::AsManyAsPossible => "AS_MANY_AS_POSSIBLE",
            Method::First => "FIRST",
        }
    }

    pub fn parse(name: &str) -> Option<Method> {
        Method::ALL.into_iter().find(|method| method.name() == name)
    }
}

/// The whole of a pool's configuration: what is not given takes its default.
#[derive(Clone, Debug)]
pub struct PoolPut {
    pub pool: PoolName,
    pub capacity: Capacity,
    pub instance_type: Option<Label>,
    pub region: Option<Label>,
    pub policy: Policy,
    pub offers: Vec<Offer>,
    pub instance_spec: Option<Opaque>,
    pub tags: Option<Opaque>,
    pub zones: Zones,
    /// End what no longer fits, in this order; `None`: refuse.
    pub force: Option<VictimOrder>,
}

impl PoolPut {
    /// The pool as it would be configured.
    pub fn configured(&self, version: u32) -> Pool {
        Pool {
            name: self.pool.clone(),
            version,
            capacity: self.capacity.clone(),
            zones: self.zones.clone(),
            instance_type: self.instance_type.clone(),
            region: self.region.clone(),
            policy: self.policy.clone(),
            offers: self.offers.clone(),
            instance_spec: self.instance_spec.clone(),
            tags: self.tags.clone(),
        }
    }
}

/// The operator's: gives back all of a tenant's reservation, whatever the pool's policy says.
#[derive(Clone, Debug)]
pub struct ReservationTerminate {
    pub tenant: Tenant,
    pub id: HoldId,
}

/// The operator's: gives up a tenant's lock whose token was lost.
#[derive(Clone, Debug)]
pub struct LockRelease {
    pub tenant: Tenant,
    pub resource: ResourceName,
}

impl LockRelease {
    pub fn name(&self) -> LockName {
        LockName { tenant: self.tenant.clone(), resource: self.resource.clone() }
    }
}

/// All that the operator says of a tenant: what is not given is unlimited, or none.
#[derive(Clone, Debug)]
pub struct TenantPut {
    pub tenant: Tenant,
    pub limits: Limits,
    /// Sorted, each once.
    pub registered_prefixes: Vec<ResourceName>,
}

impl Request {
    /// The lanes that have to be locked to decide it.
    pub fn lanes(&self) -> LaneSet {
        let mut lanes = self.command.lanes();
        self.locked_siblings().iter().for_each(|pool| lanes.insert(Lane::of_pool(pool)));
        self.lock_names().iter().for_each(|name| lanes.insert(name.lane()));
        lanes
    }

    /// The siblings that can be looked at.
    pub fn locked_siblings(&self) -> &[PoolName] {
        if self.siblings.are_locked { &self.siblings.pools } else { &[] }
    }

    /// The locks that have to be loaded to decide it, in the order in which they are named.
    pub fn lock_names(&self) -> Vec<LockName> {
        if let Command::LockRelease(release) = &self.command {
            return vec![release.name()];
        }
        let Some(tenant) = &self.tenant else { return Vec::new() };
        let name = |resource: &ResourceName| LockName { tenant: tenant.clone(), resource: resource.clone() };
        self.command.resources().into_iter().map(name).collect()
    }
}

impl Command {
    /// The lanes of the pools and holds that it names.
    fn lanes(&self) -> LaneSet {
        match self {
            // Without a pool it is refused; some lane is locked all the same, for its time.
            Command::Reserve(reserve) => LaneSet::from_iter([reserve.pool.as_ref().map_or(Lane::FIRST, Lane::of_pool)]),
            Command::PoolPut(put) => LaneSet::from_iter([Lane::of_pool(&put.pool)]),
            Command::Look(look) => look.lanes(),
            // Nothing of the tenant may change meanwhile, wherever it is.
            Command::TenantPut(_) => Lane::all().collect(),
            Command::Transact(Transact { commands, .. }) | Command::Several(commands) => {
                commands.iter().map(Command::lanes).fold(LaneSet::default(), LaneSet::union)
            }
            command => command.hold_ids().into_iter().map(HoldId::lane).collect(),
        }
    }

    /// The holds that have to be loaded to decide it.
    pub fn hold_ids(&self) -> Vec<HoldId> {
        match self {
            Command::Confirm(confirm) => vec![confirm.id],
            Command::Extend(extend) => vec![extend.id],
            Command::Terminate(terminate) => vec![terminate.id],
            Command::Cancel(cancel) => vec![cancel.id],
            Command::ReservationTerminate(terminate) => vec![terminate.id],
            Command::Look(Look::Extension(id)) => vec![*id],
            Command::Update(update) => vec![update.id],
            Command::Transact(transact) => transact.commands.iter().flat_map(Command::hold_ids).collect(),
            Command::Several(commands) => commands.iter().flat_map(Command::hold_ids).collect(),
            _ => Vec::new(),
        }
    }

    /// The kinds whose pools have to be found before the lanes are known, and where each goes. Checked again under the
    /// lock.
    pub fn wanted_kinds(&mut self) -> Vec<(&InstanceKind, &mut Option<PoolName>)> {
        match self {
            Command::Reserve(Reserve { wanted_kind: Some(kind), pool, .. }) => vec![(kind, pool)],
            Command::Look(look) => look.wanted_kind().into_iter().collect(),
            Command::Transact(transact) => transact.commands.iter_mut().flat_map(Command::wanted_kinds).collect(),
            Command::Several(commands) => commands.iter_mut().flat_map(Command::wanted_kinds).collect(),
            _ => Vec::new(),
        }
    }

    fn resources(&self) -> Vec<&ResourceName> {
        match self {
            Command::Lock(lock) => vec![&lock.resource],
            Command::Unlock(unlock) => vec![&unlock.resource],
            Command::Renew(renew) => vec![&renew.resource],
            Command::Register(register) => {
                register.ancestors.iter().chain(&register.blocks).chain([&register.name]).collect()
            }
            Command::Look(Look::Locks(check)) => check.resources.iter().collect(),
            Command::Several(commands) => commands.iter().flat_map(Command::resources).collect(),
            Command::Transact(transact) => transact.commands.iter().flat_map(Command::resources).collect(),
            _ => Vec::new(),
        }
    }
}

/// What is read: nothing is locked and nothing changes.
#[derive(Clone, Debug)]
pub enum Query {
    Get(HoldId),
    /// A reservation as it stood at an instant.
    GetPast(HoldId, Instant),
    /// What happened to a reservation, up to an instant where one is given.
    History(HoldId, Option<Instant>),
    /// What a reservation was granted and has used, as of an instant where one is given.
    Usage(HoldId, Option<Instant>),
    Schedule(ScheduleOf),
    List(List),
    /// The same as it stood at an instant; sorted by creation.
    ListPast(List, Instant),
    /// Is this the fencing token of the lock's present holder?
    Verify {
        resource: ResourceName,
        fencing_token: i64,
    },
    Receipt(IdempotencyKey),
    PoolGet(PoolName),
    /// Those that take reservations.
    Pools(Page),
    PoolList(Page),
    TenantGet(Tenant),
    Resources(ResourceList),
    Locks(LockList),
    /// The limits of the tenant that asks, and what it has.
    Quota,
}

/// What a tenant holds of a pool over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleOf {
    pub pool: PoolName,
    /// 0 to 1,440.
    pub history_minutes: u32,
    /// As it stood at this instant, instead of now.
    pub as_of: Option<Instant>,
}

/// Who holds these locks?
#[derive(Clone, Debug)]
pub struct Check {
    pub resources: Vec<ResourceName>,
    /// The request gave `resources`, so the answer is an array.
    pub is_many: bool,
}

/// A tenant's registered resources, by name.
#[derive(Clone, Debug)]
pub struct ResourceList {
    /// Only those whose names begin so.
    pub prefix: Option<String>,
    pub limit: u32,
    pub after: Option<ResourceName>,
}

/// A tenant's claims on locks that are held or waited for, the oldest first.
#[derive(Clone, Debug)]
pub struct LockList {
    pub requester: Option<Requester>,
    pub resource: Option<ResourceName>,
    pub limit: u32,
    pub after: Option<HoldId>,
}

/// A tenant's reservations, by page.
#[derive(Clone, Debug)]
pub struct List {
    pub pool: Option<PoolName>,
    pub instance_type: Option<Label>,
    pub region: Option<Label>,
    pub status: Option<Status>,
    pub sort_by: SortBy,
    pub is_descending: bool,
    /// 1 to 100.
    pub limit: u32,
    pub after: Option<ListCursor>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortBy {
    CreatedAt,
    Status,
}

/// Where a page ended: `status` only where the list is sorted by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListCursor {
    pub status: Option<Status>,
    pub id: HoldId,
}

/// All pools, by name.
#[derive(Clone, Debug)]
pub struct Page {
    pub limit: u32,
    pub after: Option<PoolName>,
}
