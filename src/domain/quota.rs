//! What a tenant may have at once, and what it has: over all pools, and over all its locks.
//!
//! | limit | what counts | in which statuses |
//! |---|---|---|
//! | units | the peak of summed quantity at any instant from now on | Held, Pending, Active, Paused |
//! | unit-hours | the sum of quantity × time from now on | the same |
//! | locks | claims | Active, Waitlisted |
//!
//! What has run out by now does not count, whether or not its event has been written.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use super::hold::{Claim, Hold, Status, interval_change};
use super::id::{HoldId, ResourceName, Tenant};
use super::outcome::Refusal;
use super::resource::Capacity;
use super::usage::{Undo, Usage};
use super::window::{Delta, Instant, Interval};

/// Largest limit of any kind.
pub const LIMIT_MAX: i64 = 1_000_000_000_000;
/// Most prefixes of one tenant.
pub const PREFIXES_MAX: usize = 1_000;

/// How far back a tenant's use is kept in memory, days. Nothing is asked about what is past.
const USE_KEPT_DAYS: i64 = 1;
const UNIT_HOUR: i128 = 3_600_000_000; // microseconds

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quota {
    Units,
    UnitHours,
    Locks,
}

impl Quota {
    pub const ALL: [Quota; 3] = [Quota::Units, Quota::UnitHours, Quota::Locks];

    /// As it is written on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Quota::Units => "units",
            Quota::UnitHours => "unit_hours",
            Quota::Locks => "locks",
        }
    }
}

/// The most that a tenant may have; `None`: unlimited. Binds new commands only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub units: Option<u64>,
    pub unit_hours: Option<u64>,
    pub locks: Option<u64>,
}

impl Limits {
    pub fn has_any(&self) -> bool {
        self.units.is_some() || self.unit_hours.is_some() || self.locks.is_some()
    }
}

/// What the operator says of a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantConfig {
    pub tenant: Tenant,
    /// 1, 2, 3 …: one more with each change.
    pub version: u32,
    pub limits: Limits,
    /// Sorted, each once. Names of locks that begin so have to be registered.
    pub registered_prefixes: Vec<ResourceName>,
}

/// What a tenant has.
#[derive(Debug)]
pub struct TenantUse {
    /// Units over time, over all pools.
    units: Usage,
    /// The live claims on locks, each with the instant at which it runs out.
    locks: BTreeMap<HoldId, Option<Instant>>,
    expiries: BTreeSet<(Instant, HoldId)>,
    /// What ran out before it no longer counts.
    lapsed_until: Instant,
}

impl Default for TenantUse {
    fn default() -> TenantUse {
        TenantUse {
            units: Usage::new(&Capacity::Constant(0)),
            locks: BTreeMap::new(),
            expiries: BTreeSet::new(),
            lapsed_until: Instant::MIN_UTC,
        }
    }
}

/// A live claim on a lock: when it runs out, if it ever does.
type LockClaim = Option<Option<Instant>>;

#[derive(Debug)]
enum UseUndo {
    Units(Undo),
    /// What there was before.
    Lock(HoldId, LockClaim),
}

/// Takes back one change of a tenant.
#[derive(Debug)]
pub struct TenantUndo(Tenant, Change);

#[derive(Debug)]
enum Change {
    Use(UseUndo),
    /// What the operator had said before.
    Config(Option<TenantConfig>),
}

impl TenantUndo {
    /// The latest first.
    pub(super) fn apply(self, tenants: &mut BTreeMap<Tenant, TenantState>) {
        let Some(state) = tenants.get_mut(&self.0) else { return };
        match self.1 {
            Change::Use(undo) => state.used.undo(undo),
            Change::Config(before) => state.config = before,
        }
    }
}

/// The intervals over which a hold counts against its tenant's limits. Unlike against its pool, a reservation that was
/// terminated counts no more.
fn counted(hold: &Hold) -> &[Interval] {
    match (&hold.claim, hold.status) {
        (Claim::Reservation(reservation), Status::Held | Status::Pending | Status::Active | Status::Paused) => {
            &reservation.intervals
        }
        _ => &[],
    }
}

fn lapses_at(status: Status, expires_at: Option<Instant>) -> Option<Instant> {
    expires_at.filter(|_| status == Status::Held)
}

impl TenantUse {
    /// Adds a live reservation that was read from the database.
    pub fn load_reservation(&mut self, id: HoldId, status: Status, expires_at: Option<Instant>, of: &[Interval]) {
        let change: Vec<Delta> = interval_change(&[], of);
        let _ = self.units.apply(id, &change, lapses_at(status, expires_at)); // what is stored is never taken back
    }

    /// Adds a live claim on a lock that was read from the database.
    pub fn load_lock(&mut self, id: HoldId, expires_at: Option<Instant>) {
        self.set_lock(id, Some(expires_at));
    }

    /// Goes along with a change of one of the tenant's holds.
    fn apply(&mut self, before: Option<&Hold>, after: &Hold) -> UseUndo {
        match &after.claim {
            Claim::Reservation(_) => {
                let change = interval_change(before.map_or(&[][..], counted), counted(after));
                UseUndo::Units(self.units.apply(after.id, &change, lapses_at(after.status, after.expires_at)))
            }
            Claim::Lock(_) => {
                let claim = (!after.status.is_terminal()).then_some(after.expires_at);
                UseUndo::Lock(after.id, self.set_lock(after.id, claim))
            }
        }
    }

    /// Takes back an `apply`, the latest first.
    fn undo(&mut self, undo: UseUndo) {
        match undo {
            UseUndo::Units(undo) => self.units.undo(undo),
            UseUndo::Lock(id, before) => drop(self.set_lock(id, before)),
        }
    }

    /// `None`: there is no claim. Gives what there was.
    fn set_lock(&mut self, id: HoldId, claim: LockClaim) -> LockClaim {
        let before = self.locks.remove(&id);
        if let Some(Some(expires_at)) = before {
            self.expiries.remove(&(expires_at, id));
        }
        if let Some(expires_at) = claim {
            self.locks.insert(id, expires_at);
            self.expiries.extend(expires_at.map(|at| (at, id)));
        }
        before
    }

    /// Takes out what has run out by now. Nothing may be asked about an earlier instant afterwards.
    pub fn lapse(&mut self, now: Instant) {
        self.units.lapse(now);
        self.units.fold(now - TimeDelta::days(USE_KEPT_DAYS));
        self.lapsed_until = self.lapsed_until.max(now);
    }

    /// Can it answer for an instant, or has what ran out after it been taken out already?
    pub fn is_good_at(&self, now: Instant) -> bool {
        self.lapsed_until <= now
    }

    /// The most units at any instant from `now` on.
    pub fn units(&self, now: Instant) -> u64 {
        self.peak(now, Instant::MAX_UTC)
    }

    /// The unit-hours from `now` on, begun ones as whole ones.
    pub fn unit_hours(&self, now: Instant) -> u64 {
        whole_hours(self.units.sum_from(now))
    }

    /// The claims on locks that have not run out. Walks over those that have, until the clock has carried them out.
    pub fn locks(&self, now: Instant) -> u64 {
        let run_out = self.expiries.iter().take_while(|(at, _)| *at <= now).count();
        self.locks.len().saturating_sub(run_out) as u64
    }

    fn peak(&self, start: Instant, end: Instant) -> u64 {
        u64::try_from(self.units.peak(start, end)).unwrap_or(0)
    }

    /// May these intervals be added? What of them is past counts for nothing. Looks at every step of the tenant's use
    /// where there is a limit of unit-hours, at a few of them otherwise.
    fn check_intervals(&self, limits: &Limits, now: Instant, intervals: &[Interval]) -> Result<(), Refusal> {
        let rest = |interval: &Interval| Interval { start: interval.start.max(now), ..*interval };
        let ahead: Vec<Interval> = intervals.iter().map(rest).filter(|rest| rest.start < rest.end).collect();
        if let Some(limit) = limits.units {
            for interval in &ahead {
                let (used, requested) = (self.peak(interval.start, interval.end), u64::from(interval.quantity));
                check(Quota::Units, limit, used, requested)?;
            }
        }
        if let Some(limit) = limits.unit_hours {
            let (used, requested) = (self.units.sum_from(now), ahead.iter().map(unit_micros).sum::<i128>());
            if used + requested > i128::from(limit) * UNIT_HOUR {
                let (used, requested) = (whole_hours(used), whole_hours(requested));
                return Err(Refusal::QuotaExceeded { quota: Quota::UnitHours, limit, used, requested });
            }
        }
        Ok(())
    }
}

fn check(quota: Quota, limit: u64, used: u64, requested: u64) -> Result<(), Refusal> {
    match used.saturating_add(requested) <= limit {
        true => Ok(()),
        false => Err(Refusal::QuotaExceeded { quota, limit, used, requested }),
    }
}

fn unit_micros(interval: &Interval) -> i128 {
    let micros = interval.end.timestamp_micros() - interval.start.timestamp_micros();
    i128::from(micros) * i128::from(interval.quantity)
}

fn whole_hours(unit_micros: i128) -> u64 {
    let hours = unit_micros.div_euclid(UNIT_HOUR) + i128::from(unit_micros.rem_euclid(UNIT_HOUR) > 0);
    u64::try_from(hours.max(0)).unwrap_or(u64::MAX)
}

/// A tenant as of the last batch that changed its limits or its use.
#[derive(Debug, Default)]
pub struct TenantState {
    /// `None` where the operator has said nothing of it.
    pub config: Option<TenantConfig>,
    pub used: TenantUse,
}

/// The tenants of a batch that have a limit or get one; every other is free to do what it likes.
#[derive(Debug, Default)]
pub struct Tenants {
    known: BTreeMap<Tenant, TenantState>,
    /// Those whose use or configuration the batch has changed, and those whose configuration.
    changed: BTreeSet<Tenant>,
    put: BTreeSet<Tenant>,
}

/// Which tenants a batch has changed so far: a trial puts it back.
#[derive(Debug)]
pub(super) struct Touched {
    changed: BTreeSet<Tenant>,
    put: BTreeSet<Tenant>,
}

impl Tenants {
    pub(super) fn known_mut(&mut self) -> &mut BTreeMap<Tenant, TenantState> {
        &mut self.known
    }

    pub(super) fn touched(&self) -> Touched {
        Touched { changed: self.changed.clone(), put: self.put.clone() }
    }

    pub(super) fn set_touched(&mut self, touched: Touched) {
        (self.changed, self.put) = (touched.changed, touched.put);
    }

    pub fn load(&mut self, tenant: Tenant, state: TenantState) {
        self.known.insert(tenant, state);
    }

    pub fn get(&self, tenant: &Tenant) -> Option<&TenantState> {
        self.known.get(tenant)
    }

    pub fn lapse(&mut self, tenant: &Tenant, now: Instant) {
        if let Some(state) = self.known.get_mut(tenant) {
            state.used.lapse(now);
        }
    }

    pub fn check_intervals(&self, tenant: &Tenant, now: Instant, intervals: &[Interval]) -> Result<(), Refusal> {
        match self.limited(tenant) {
            Some((limits, used)) => used.check_intervals(limits, now, intervals),
            None => Ok(()),
        }
    }

    /// May so many more claims on locks be added?
    pub fn check_locks(&self, tenant: &Tenant, now: Instant, count: u64) -> Result<(), Refusal> {
        match self.limited(tenant) {
            Some((Limits { locks: Some(limit), .. }, used)) => check(Quota::Locks, *limit, used.locks(now), count),
            _ => Ok(()),
        }
    }

    /// Has a name to be registered before it can be locked?
    pub fn is_registered_prefix(&self, tenant: &Tenant, name: &ResourceName) -> bool {
        let config = self.known.get(tenant).and_then(|known| known.config.as_ref());
        let begins = |prefix: &ResourceName| name.as_str().starts_with(prefix.as_str());
        config.is_some_and(|config| config.registered_prefixes.iter().any(begins))
    }

    fn limited(&self, tenant: &Tenant) -> Option<(&Limits, &TenantUse)> {
        let state = self.known.get(tenant)?;
        Some((&state.config.as_ref()?.limits, &state.used))
    }

    pub(super) fn put(&mut self, config: TenantConfig) -> TenantUndo {
        let tenant = config.tenant.clone();
        let before = self.known.entry(tenant.clone()).or_default().config.replace(config);
        self.changed.insert(tenant.clone());
        self.put.insert(tenant.clone());
        TenantUndo(tenant, Change::Config(before))
    }

    pub(super) fn record(&mut self, before: Option<&Hold>, after: &Hold) -> Option<TenantUndo> {
        let state = self.known.get_mut(&after.tenant)?;
        let undo = state.used.apply(before, after);
        self.changed.insert(after.tenant.clone());
        Some(TenantUndo(after.tenant.clone(), Change::Use(undo)))
    }

    /// The configurations that have changed, the tenants that have, and all of them as they are now.
    pub(super) fn finish(self) -> (Vec<TenantConfig>, BTreeSet<Tenant>, BTreeMap<Tenant, TenantState>) {
        let Tenants { known, mut changed, put } = self;
        let is_limited = |state: &TenantState| state.config.as_ref().is_some_and(|config| config.limits.has_any());
        // Of those without a limit nobody keeps count.
        changed.retain(|tenant| put.contains(tenant) || known.get(tenant).is_some_and(is_limited));
        let configs = put.iter().filter_map(|tenant| known.get(tenant)?.config.clone()).collect();
        (configs, changed, known)
    }
}
