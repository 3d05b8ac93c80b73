//! What replies and events show of the domain's types: field by field, in the order of the documentation. A field that
//! is only there when it says something is left out otherwise; the others are `null`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::instant::Utc;
use super::json::Json;
use super::reply_lock;
use crate::domain::command::UnitId;
use crate::domain::hold::{Hold, Opaque, Reservation, Units};
use crate::domain::id::HoldId;
use crate::domain::lock::Lock;
use crate::domain::resource::{Capacity, CapacityStep, Offer, Pool};
use crate::domain::window::Interval;

/// What nearly every reply and event fits into: a buffer that grows is copied each time.
const USUAL_BYTES: usize = 1024;

/// The bytes of a value that always has some: what is encoded here has string keys only, and a vector takes it all.
pub fn bytes(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    write(&mut bytes, value);
    bytes
}

/// Adds the bytes of a value to others: all of them, or none.
pub fn write(bytes: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    let before = bytes.len();
    if serde_json::to_writer(&mut *bytes, value).is_err() {
        bytes.truncate(before);
    }
}

/// Anything that is written as the text that it displays.
pub struct Shown<T>(pub T);

impl<T: fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Carried JSON, written as it is.
pub struct Carried<'a>(pub &'a Opaque);

impl<'a> Carried<'a> {
    pub fn new(json: &'a Opaque) -> Carried<'a> {
        Carried(json)
    }
}

impl Serialize for Carried<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: Option<&RawValue> = serde_json::from_str(self.0.as_str()).ok();
        raw.serialize(serializer)
    }
}

pub fn carried(opaque: &Opaque) -> Carried<'_> {
    Carried(opaque)
}

/// A launch specification without what is not for every reader of events.
pub struct Redacted<'a>(&'a Opaque);

impl Serialize for Redacted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let members = Json::parse(self.0.as_str().as_bytes()).and_then(Json::members).unwrap_or_default();
        let shown = members.iter().filter(|(name, _)| name != "startup_script");
        let raw = |text| serde_json::from_str::<&RawValue>(text).ok();
        serializer.collect_map(shown.map(|(name, value)| (name, raw(value.as_str()))))
    }
}

#[derive(Serialize)]
pub struct IntervalView {
    start_time: Utc,
    end_time: Utc,
    quantity: u32,
}

struct Intervals<'a>(&'a [Interval]);

impl Serialize for Intervals<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(interval))
    }
}

pub fn interval(interval: &Interval) -> IntervalView {
    IntervalView { start_time: Utc(interval.start), end_time: Utc(interval.end), quantity: interval.quantity }
}

/// A unit's id.
pub struct UnitShown(pub UnitId);

impl Serialize for UnitShown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}.{}", self.0.hold, self.0.number))
    }
}

struct UnitsOf<'a>(HoldId, &'a Units);

impl Serialize for UnitsOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.1.iter().map(|number| UnitShown(UnitId { hold: self.0, number })))
    }
}

#[derive(Serialize)]
pub struct ReservationView<'a, L: Serialize> {
    /// `null` where only a dry run made it: nobody can use the id.
    reservation_id: Option<Uuid>,
    tenant: &'a str,
    kind: &'static str,
    name: Option<&'a str>,
    pool: &'a str,
    instance_type: Option<&'a str>,
    region: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<&'a str>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_reason: Option<&'static str>,
    intervals: Intervals<'a>,
    start_time: Utc,
    end_time: Utc,
    quantity: u32,
    units: UnitsOf<'a>,
    launch_specification: Option<L>,
    tags: Option<Carried<'a>>,
    offer_key: &'a str,
    unit_price_cents: i64,
    total_price_cents: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused_at: Option<Utc>,
    /// Always there: an event without it is of a time when events did not tell it.
    ending_soon_at: Option<Utc>,
    created_at: Utc,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deactivated_at: Option<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_expires_at: Option<Utc>,
    version: u32,
}

/// A reservation as its tenant sees it.
pub fn reservation<'a>(hold: &'a Hold, reservation: &'a Reservation) -> ReservationView<'a, Carried<'a>> {
    reservation_with(hold, reservation, Carried)
}

/// A reservation as an event shows it.
pub fn reservation_redacted<'a>(hold: &'a Hold, reservation: &'a Reservation) -> ReservationView<'a, Redacted<'a>> {
    reservation_with(hold, reservation, Redacted)
}

fn reservation_with<'a, L: Serialize>(
    hold: &'a Hold,
    reservation: &'a Reservation,
    launch_specification: fn(&'a Opaque) -> L,
) -> ReservationView<'a, L> {
    ReservationView {
        reservation_id: (hold.version > 0).then_some(hold.id.uuid()),
        tenant: hold.tenant.as_str(),
        kind: hold.kind().name(),
        name: reservation.name.as_ref().map(|name| name.as_str()),
        pool: reservation.pool.as_str(),
        instance_type: reservation.instance_type.as_ref().map(|label| label.as_str()),
        region: reservation.region.as_ref().map(|label| label.as_str()),
        zone: reservation.zone.as_ref().map(|zone| zone.as_str()),
        status: hold.status.name(),
        end_reason: hold.end_reason.map(|reason| reason.name()),
        intervals: Intervals(&reservation.intervals),
        start_time: Utc(reservation.start_time),
        end_time: Utc(reservation.end_time),
        quantity: reservation.quantity,
        units: UnitsOf(hold.id, &reservation.units),
        launch_specification: reservation.launch_specification.as_ref().map(launch_specification),
        tags: reservation.tags.as_ref().map(Carried),
        offer_key: reservation.offer_key.as_str(),
        unit_price_cents: reservation.unit_price_cents,
        total_price_cents: reservation.total_price_cents,
        paused_at: reservation.paused_at.map(Utc),
        ending_soon_at: hold.ending_soon_at().map(Utc),
        created_at: Utc(hold.created_at),
        created_by: hold.created_by.as_ref().map(|actor| actor.as_str()),
        deactivated_at: hold.deactivated_at.map(Utc),
        hold_expires_at: hold.expires_at.map(Utc),
        version: hold.version,
    }
}

/// A lock's claim as an event shows it: never its release token.
#[derive(Serialize)]
pub struct LockView<'a> {
    lock_id: Uuid,
    tenant: &'a str,
    kind: &'static str,
    resource: &'a str,
    resource_type: &'a str,
    requester: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_reason: Option<&'static str>,
    mode: &'static str,
    slot: Option<String>,
    blockers: Vec<&'a str>,
    is_blocker: bool,
    reserved_at_path: Option<String>,
    fencing_token: Option<i64>,
    expires_at: Option<Utc>,
    created_at: Utc,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deactivated_at: Option<Utc>,
    version: u32,
}

pub fn lock<'a>(hold: &'a Hold, lock: &'a Lock) -> LockView<'a> {
    LockView {
        lock_id: hold.id.uuid(),
        tenant: hold.tenant.as_str(),
        kind: hold.kind().name(),
        resource: lock.resource.as_str(),
        resource_type: lock.resource_type.as_str(),
        requester: lock.requester.as_str(),
        status: hold.status.name(),
        end_reason: hold.end_reason.map(|reason| reason.name()),
        mode: lock.mode.name(),
        slot: lock.slot.map(|_| lock.place()),
        blockers: lock.blockers.iter().map(|name| name.as_str()).collect(),
        is_blocker: lock.is_blocker,
        reserved_at_path: reply_lock::path(&lock.path),
        fencing_token: (lock.fencing_token > 0).then_some(lock.fencing_token),
        expires_at: hold.expires_at.map(Utc),
        created_at: Utc(hold.created_at),
        created_by: hold.created_by.as_ref().map(|actor| actor.as_str()),
        deactivated_at: hold.deactivated_at.map(Utc),
        version: hold.version,
    }
}

#[derive(Serialize)]
struct StepView {
    effective_at: Utc,
    quantity: u32,
}

/// Units at all times, or over time.
#[derive(Serialize)]
#[serde(untagged)]
enum CapacityView {
    Constant(u32),
    Schedule(Vec<StepView>),
}

#[derive(Serialize)]
pub struct OfferView<'a> {
    key: &'a str,
    display_name: &'a str,
    unit_price_cents: i64,
    return_buyback_price_cents: i64,
    pause_buyback_price_cents: i64,
    option_premium_cents: i64,
}

/// A pool: but for its version, a `pool_put` that would change nothing.
#[derive(Serialize)]
pub struct PoolView<'a> {
    pool: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    capacity: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capacity_schedule: Option<Vec<StepView>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    zones: Vec<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    capacity_by_zone: BTreeMap<&'a str, CapacityView>,
    instance_type: Option<&'a str>,
    region: Option<&'a str>,
    instance_spec: Option<Carried<'a>>,
    grain_seconds: u32,
    quantity_step: u32,
    quantity_min: Option<u32>,
    quantity_max: Option<u32>,
    duration_min_seconds: Option<u32>,
    duration_max_seconds: Option<u32>,
    lead_time_seconds: u32,
    horizon_seconds: u32,
    intervals_max: u32,
    ending_soon_seconds: u32,
    cancellable: bool,
    extendable: bool,
    pausable: bool,
    reducible: bool,
    enabled: bool,
    offers: Vec<OfferView<'a>>,
    tags: Option<Carried<'a>>,
    version: u32,
}

pub fn pool(pool: &Pool) -> PoolView<'_> {
    let (capacity, capacity_schedule) = match capacity_view(&pool.capacity) {
        CapacityView::Constant(capacity) => (Some(capacity), None),
        CapacityView::Schedule(steps) => (None, Some(steps)),
    };
    let policy = &pool.policy;
    PoolView {
        pool: pool.name.as_str(),
        capacity,
        capacity_schedule,
        zones: pool.zones.keys().map(|zone| zone.as_str()).collect(),
        capacity_by_zone: pool
            .zones
            .iter()
            .filter_map(|(zone, units)| Some((zone.as_str(), capacity_view(units.as_ref()?))))
            .collect(),
        instance_type: pool.instance_type.as_ref().map(|label| label.as_str()),
        region: pool.region.as_ref().map(|label| label.as_str()),
        instance_spec: pool.instance_spec.as_ref().map(Carried),
        grain_seconds: policy.grain_seconds,
        quantity_step: policy.quantity_step,
        quantity_min: policy.quantity_min,
        quantity_max: policy.quantity_max,
        duration_min_seconds: policy.duration_min_seconds,
        duration_max_seconds: policy.duration_max_seconds,
        lead_time_seconds: policy.lead_time_seconds,
        horizon_seconds: policy.horizon_seconds,
        intervals_max: policy.intervals_max,
        ending_soon_seconds: policy.ending_soon_seconds,
        cancellable: policy.cancellable,
        extendable: policy.extendable,
        pausable: policy.pausable,
        reducible: policy.reducible,
        enabled: policy.enabled,
        offers: pool.offers.iter().map(offer).collect(),
        tags: pool.tags.as_ref().map(Carried),
        version: pool.version,
    }
}

fn capacity_view(units: &Capacity) -> CapacityView {
    match units {
        Capacity::Constant(quantity) => CapacityView::Constant(*quantity),
        Capacity::Schedule(steps) => CapacityView::Schedule(steps.iter().map(step).collect()),
    }
}

fn step(step: &CapacityStep) -> StepView {
    StepView { effective_at: Utc(step.effective_at), quantity: step.quantity }
}

pub fn offer(offer: &Offer) -> OfferView<'_> {
    OfferView {
        key: offer.key.as_str(),
        display_name: offer.display_name.as_str(),
        unit_price_cents: offer.unit_price_cents,
        return_buyback_price_cents: offer.return_buyback_price_cents,
        pause_buyback_price_cents: offer.pause_buyback_price_cents,
        option_premium_cents: offer.option_premium_cents,
    }
}
