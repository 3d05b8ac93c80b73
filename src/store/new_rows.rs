//! Events and receipts as records: values of the database's types `new_event` and `new_receipt`.

use sqlx::postgres::{PgHasArrayType, PgTypeInfo};
use sqlx::{Postgres, Type};
use uuid::Uuid;

use super::batch::Receipt;
use super::columns::{integer, lane_number, maybe_integer, micros, too_large};
use super::new_hold::NewHold;
use crate::domain::event::Event;
use crate::domain::hold::Hold;
use crate::domain::id::{Tenant, ZoneName};
use crate::domain::window::Instant;

/// Field by field in the order of the type, as is the one below.
#[derive(Debug, sqlx::Encode)]
pub struct NewEvent<'a> {
    lane: i16,
    seq: i64,
    hold_id: Uuid,
    version: i32,
    tenant: &'a str,
    kind: &'a str,
    label: &'a str,
    event_type: &'a str,
    at: Instant,
    usage: Option<Vec<i64>>,
    lapses_at: Option<Instant>,
    payload: &'a [u8],
    previous_seq: Option<i64>,
    zone: Option<&'a str>,
}

#[derive(Debug, sqlx::Encode)]
pub struct NewReceipt<'a> {
    id: Uuid,
    tenant: Option<&'a str>,
    verb: &'a str,
    request: &'a [u8],
    body: Option<&'a [u8]>,
    error_number: Option<i16>,
    error_code: Option<&'a str>,
    event_lane: Option<i16>,
    event_seq: Option<i64>,
    event_hold_id: Option<Uuid>,
    event_version: Option<i32>,
    body_from: Option<i32>,
    body_length: Option<i32>,
}

impl Type<Postgres> for NewEvent<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("new_event")
    }
}

impl PgHasArrayType for NewEvent<'_> {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::array_of("new_event")
    }
}

impl Type<Postgres> for NewReceipt<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("new_receipt")
    }
}

impl PgHasArrayType for NewReceipt<'_> {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::array_of("new_receipt")
    }
}

impl<'a> NewEvent<'a> {
    pub fn of(event: &'a Event, payload: &'a [u8]) -> Result<NewEvent<'a>, sqlx::Error> {
        let hold = &event.hold;
        Ok(NewEvent {
            lane: lane_number(event.lane),
            seq: event.seq,
            hold_id: hold.id.uuid(),
            version: integer(hold.version)?,
            tenant: hold.tenant.as_str(),
            kind: hold.kind().name(),
            label: hold.subject_label(),
            event_type: event.event_type.name(),
            at: event.at,
            usage: (!event.usage.is_empty()).then(|| usage(event)),
            lapses_at: event.lapses_at(),
            payload,
            previous_seq: event.previous_seq,
            zone: hold.reservation().and_then(|it| it.zone.as_ref()).map(ZoneName::as_str),
        })
    }
}

impl<'a> NewReceipt<'a> {
    pub fn of(receipt: &'a Receipt) -> Result<NewReceipt<'a>, sqlx::Error> {
        let error_number = receipt.error.as_ref().map(|(number, _)| i16::try_from(*number));
        Ok(NewReceipt {
            id: receipt.id.uuid(),
            tenant: receipt.tenant.as_ref().map(Tenant::as_str),
            verb: &receipt.verb,
            request: &receipt.request,
            body: receipt.told.is_none().then_some(&receipt.body),
            error_number: error_number.transpose().map_err(too_large)?,
            error_code: receipt.error.as_ref().map(|(_, code)| code.as_str()),
            event_lane: receipt.told.map(|told| lane_number(told.hold.lane())),
            event_seq: receipt.told.map(|told| told.seq),
            event_hold_id: receipt.told.map(|told| told.hold.uuid()),
            event_version: maybe_integer(receipt.told.map(|told| told.version))?,
            body_from: maybe_integer(receipt.told.map(|told| told.from))?,
            body_length: maybe_integer(receipt.told.map(|told| told.length))?,
        })
    }
}

fn usage(event: &Event) -> Vec<i64> {
    event.usage.iter().flat_map(|delta| [micros(delta.start), micros(delta.end), delta.units]).collect()
}

pub fn holds(holds: &[Hold]) -> Result<Vec<NewHold<'_>>, sqlx::Error> {
    holds.iter().map(NewHold::of).collect()
}

/// An encoded event for each of `events`.
pub fn events<'a>(events: &'a [Event], payloads: &'a [Vec<u8>]) -> Result<Vec<NewEvent<'a>>, sqlx::Error> {
    events.iter().zip(payloads).map(|(event, payload)| NewEvent::of(event, payload)).collect()
}

/// Sorted by id, so that two batches meet at each id in the same order and neither waits for the other in a circle.
pub fn receipts(receipts: &[Receipt]) -> Result<Vec<NewReceipt<'_>>, sqlx::Error> {
    let mut rows = receipts.iter().map(NewReceipt::of).collect::<Result<Vec<_>, _>>()?;
    rows.sort_unstable_by_key(|row| row.id);
    Ok(rows)
}
