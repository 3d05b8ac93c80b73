//! A hold as a record: a value of the database's type `new_hold`, for its insert and for its update.

use sqlx::postgres::{PgHasArrayType, PgTypeInfo};
use sqlx::{Postgres, Type};
use uuid::Uuid;

use super::columns::{integer, lane_number, maybe_integer, micros};
use super::row::joined;
use crate::domain::hold::{EndReason, Hold, Opaque, Reservation};
use crate::domain::id::{Actor, Label, ResourceName, ZoneName};
use crate::domain::lock::{Lock, Mode};
use crate::domain::window::Instant;

/// Field by field in the order of the type.
#[derive(Debug, sqlx::Encode)]
pub struct NewHold<'a> {
    lane: i16,
    id: Uuid,
    kind: &'a str,
    tenant: &'a str,
    status: &'a str,
    end_reason: Option<&'a str>,
    version: i32,
    created_at: Instant,
    created_by: Option<&'a str>,
    deactivated_at: Option<Instant>,
    expires_at: Option<Instant>,
    due_at: Option<Instant>,
    occupied_until: Option<Instant>,
    last_seq: i64,
    pool: Option<&'a str>,
    name: Option<&'a str>,
    instance_type: Option<&'a str>,
    region: Option<&'a str>,
    start_time: Option<Instant>,
    end_time: Option<Instant>,
    quantity: Option<i32>,
    intervals: Option<Vec<i64>>,
    units: Option<Vec<i32>>,
    units_bound: Option<i32>,
    launch_specification: Option<&'a str>,
    tags: Option<&'a str>,
    offer_key: Option<&'a str>,
    unit_price_cents: Option<i64>,
    return_buyback_price_cents: Option<i64>,
    pause_buyback_price_cents: Option<i64>,
    total_price_cents: Option<i64>,
    paused_at: Option<Instant>,
    ending_soon_seconds: Option<i32>,
    warned_end: Option<Instant>,
    zone: Option<&'a str>,
    requester: Option<&'a str>,
    resource: Option<&'a str>,
    resource_type: Option<&'a str>,
    release_token: Option<Uuid>,
    fencing_token: Option<i64>,
    is_shared: Option<bool>,
    slot: Option<i32>,
    ttl_seconds: Option<i32>,
    is_blocker: Option<bool>,
    blockers: Option<String>,
    tree_path: Option<String>,
    delay_seconds: Option<i32>,
}

impl Type<Postgres> for NewHold<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("new_hold")
    }
}

impl PgHasArrayType for NewHold<'_> {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::array_of("new_hold")
    }
}

impl<'a> NewHold<'a> {
    pub fn of(hold: &'a Hold) -> Result<NewHold<'a>, sqlx::Error> {
        let (reservation, lock) = (hold.reservation(), hold.lock());
        let label = |of: fn(&Reservation) -> &Option<Label>| Some(of(reservation?).as_ref()?.as_str());
        let opaque = |of: fn(&Reservation) -> &Option<Opaque>| Some(of(reservation?).as_ref()?.as_str());
        // Where a lock says nothing, the columns are null: exclusive, no blocker, nothing blocked, no delay.
        let is = |of: fn(&Lock) -> bool| lock.is_some_and(of).then_some(true);
        let names = |of: fn(&Lock) -> &[ResourceName]| lock.map(of).filter(|names| !names.is_empty()).map(joined);
        let delay_seconds = lock.map(|lock| lock.delay_seconds).filter(|seconds| *seconds > 0);
        Ok(NewHold {
            lane: lane_number(hold.id.lane()),
            id: hold.id.uuid(),
            kind: hold.kind().name(),
            tenant: hold.tenant.as_str(),
            status: hold.status.name(),
            end_reason: hold.end_reason.map(EndReason::name),
            version: integer(hold.version)?,
            created_at: hold.created_at,
            created_by: hold.created_by.as_ref().map(Actor::as_str),
            deactivated_at: hold.deactivated_at,
            expires_at: hold.expires_at,
            due_at: hold.due_at(),
            occupied_until: hold.occupied_until(),
            last_seq: hold.last_seq,
            pool: reservation.map(|it| it.pool.as_str()),
            name: label(|it| &it.name),
            instance_type: label(|it| &it.instance_type),
            region: label(|it| &it.region),
            start_time: reservation.map(|it| it.start_time),
            end_time: reservation.map(|it| it.end_time),
            quantity: maybe_integer(reservation.map(|it| it.quantity))?,
            intervals: reservation.map(intervals),
            units: reservation.map(units).transpose()?,
            units_bound: maybe_integer(reservation.map(|it| it.units_bound))?,
            launch_specification: opaque(|it| &it.launch_specification),
            tags: opaque(|it| &it.tags),
            offer_key: reservation.map(|it| it.offer_key.as_str()),
            unit_price_cents: reservation.map(|it| it.unit_price_cents),
            return_buyback_price_cents: reservation.map(|it| it.return_buyback_price_cents),
            pause_buyback_price_cents: reservation.map(|it| it.pause_buyback_price_cents),
            total_price_cents: reservation.map(|it| it.total_price_cents),
            paused_at: reservation.and_then(|it| it.paused_at),
            ending_soon_seconds: maybe_integer(reservation.map(|it| it.ending_soon_seconds))?,
            warned_end: reservation.and_then(|it| it.warned_end),
            zone: reservation.and_then(|it| it.zone.as_ref()).map(ZoneName::as_str),
            requester: lock.map(|it| it.requester.as_str()),
            resource: lock.map(|it| it.resource.as_str()),
            resource_type: lock.map(|it| it.resource_type.as_str()),
            release_token: lock.map(|it| it.release_token),
            fencing_token: lock.map(|it| it.fencing_token),
            is_shared: is(|it| it.mode == Mode::Shared),
            slot: maybe_integer(lock.and_then(|it| it.slot))?,
            ttl_seconds: maybe_integer(lock.and_then(|it| it.ttl_seconds))?,
            is_blocker: is(|it| it.is_blocker),
            blockers: names(|it| &it.blockers),
            tree_path: names(|it| &it.path),
            delay_seconds: maybe_integer(delay_seconds)?,
        })
    }
}

fn intervals(reservation: &Reservation) -> Vec<i64> {
    let intervals = reservation.intervals.iter();
    intervals.flat_map(|it| [micros(it.start), micros(it.end), i64::from(it.quantity)]).collect()
}

fn units(reservation: &Reservation) -> Result<Vec<i32>, sqlx::Error> {
    reservation.units.ranges().iter().flat_map(|(from, to)| [integer(*from), integer(*to)]).collect()
}
