//! Domain types to columns: each statement of a batch takes one array for each column. Arrays within rows, which
//! `unnest` would flatten, travel as Postgres's text form of an array.

use std::fmt::Write;

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{Postgres, SqlStr};

use super::batch::Receipt;
use super::row::joined;
use crate::domain::event::Event;
use crate::domain::hold::{EndReason, Hold, Opaque, Reservation};
use crate::domain::id::{Actor, Label, Lane, ResourceName, ZoneName};
use crate::domain::lock::{Lock, Mode};
use crate::domain::window::Instant;

pub type Bound<'q> = Query<'q, Postgres, PgArguments>;

pub fn lane_numbers(lanes: impl IntoIterator<Item = Lane>) -> Vec<i16> {
    lanes.into_iter().map(|lane| i16::from(lane.number())).collect()
}

/// Binds holds to the columns that `hold_rows.sql` names, in its order.
pub fn bind_holds<'q>(statement: SqlStr, holds: &[Hold]) -> Result<Bound<'q>, sqlx::Error> {
    let bound = sqlx::query(statement)
        .bind(lane_numbers(holds.iter().map(|hold| hold.id.lane())))
        .bind(column(holds, |hold| hold.id.uuid()))
        .bind(column(holds, |hold| hold.kind().name()))
        .bind(column(holds, |hold| hold.tenant.as_str()))
        .bind(column(holds, |hold| hold.status.name()))
        .bind(column(holds, |hold| hold.end_reason.map(EndReason::name)))
        .bind(integers(holds, |hold| Some(hold.version))?)
        .bind(column(holds, |hold| hold.created_at))
        .bind(column(holds, |hold| hold.created_by.as_ref().map(Actor::as_str)))
        .bind(column(holds, |hold| hold.deactivated_at))
        .bind(column(holds, |hold| hold.expires_at))
        .bind(column(holds, Hold::due_at))
        .bind(column(holds, Hold::occupied_until));
    let bound = bind_course(bind_locks(bind_reservations(bound, holds)?, holds), holds)?;
    let bound = bound.bind(of_reservations(holds, |reservation| reservation.zone.as_ref().map(ZoneName::as_str)));
    bind_places(bound, holds)
}

fn bind_reservations<'q>(bound: Bound<'q>, holds: &[Hold]) -> Result<Bound<'q>, sqlx::Error> {
    Ok(bound
        .bind(of_reservations(holds, |reservation| Some(reservation.pool.as_str())))
        .bind(of_reservations(holds, |reservation| reservation.name.as_ref().map(Label::as_str)))
        .bind(of_reservations(holds, |reservation| reservation.instance_type.as_ref().map(Label::as_str)))
        .bind(of_reservations(holds, |reservation| reservation.region.as_ref().map(Label::as_str)))
        .bind(of_reservations(holds, |reservation| Some(reservation.start_time)))
        .bind(of_reservations(holds, |reservation| Some(reservation.end_time)))
        .bind(integers(holds, |hold| hold.reservation().map(|reservation| reservation.quantity))?)
        .bind(of_reservations(holds, |reservation| Some(interval_array(reservation))))
        .bind(of_reservations(holds, |reservation| Some(unit_array(reservation))))
        .bind(integers(holds, |hold| hold.reservation().map(|reservation| reservation.units_bound))?)
        .bind(of_reservations(holds, |reservation| reservation.launch_specification.as_ref().map(Opaque::as_str)))
        .bind(of_reservations(holds, |reservation| reservation.tags.as_ref().map(Opaque::as_str)))
        .bind(of_reservations(holds, |reservation| Some(reservation.offer_key.as_str())))
        .bind(of_reservations(holds, |reservation| Some(reservation.unit_price_cents)))
        .bind(of_reservations(holds, |reservation| Some(reservation.return_buyback_price_cents)))
        .bind(of_reservations(holds, |reservation| Some(reservation.pause_buyback_price_cents)))
        .bind(of_reservations(holds, |reservation| Some(reservation.total_price_cents))))
}

fn bind_locks<'q>(bound: Bound<'q>, holds: &[Hold]) -> Bound<'q> {
    bound
        .bind(of_locks(holds, |lock| lock.requester.as_str()))
        .bind(of_locks(holds, |lock| lock.resource.as_str()))
        .bind(of_locks(holds, |lock| lock.resource_type.as_str()))
        .bind(of_locks(holds, |lock| lock.release_token))
        .bind(of_locks(holds, |lock| lock.fencing_token))
        .bind(column(holds, |hold| hold.last_seq))
}

/// How a lock is held; null where nothing is said.
fn bind_places<'q>(bound: Bound<'q>, holds: &[Hold]) -> Result<Bound<'q>, sqlx::Error> {
    let names = |names: &[ResourceName]| (!names.is_empty()).then(|| joined(names));
    let is = |flag: bool| flag.then_some(true);
    Ok(bound
        .bind(column(holds, |hold| hold.lock().and_then(|lock| is(lock.mode == Mode::Shared))))
        .bind(integers(holds, |hold| hold.lock()?.slot)?)
        .bind(integers(holds, |hold| hold.lock()?.ttl_seconds)?)
        .bind(column(holds, |hold| hold.lock().and_then(|lock| is(lock.is_blocker))))
        .bind(column(holds, |hold| hold.lock().and_then(|lock| names(&lock.blockers))))
        .bind(column(holds, |hold| hold.lock().and_then(|lock| names(&lock.path))))
        .bind(integers(holds, |hold| Some(hold.lock()?.delay_seconds).filter(|seconds| *seconds > 0))?))
}

/// What a reservation's course through pauses and announcements needs.
fn bind_course<'q>(bound: Bound<'q>, holds: &[Hold]) -> Result<Bound<'q>, sqlx::Error> {
    Ok(bound
        .bind(of_reservations(holds, |reservation| reservation.paused_at))
        .bind(integers(holds, |hold| hold.reservation().map(|reservation| reservation.ending_soon_seconds))?)
        .bind(of_reservations(holds, |reservation| reservation.warned_end)))
}

pub fn bind_journal<'q>(statement: SqlStr, events: &[Event], payloads: &[Vec<u8>]) -> Result<Bound<'q>, sqlx::Error> {
    let versions = events.iter().map(|event| integer(event.hold.version)).collect::<Result<Vec<i32>, _>>()?;
    Ok(sqlx::query(statement)
        .bind(lane_numbers(events.iter().map(|event| event.lane)))
        .bind(column(events, |event| event.seq))
        .bind(column(events, |event| event.hold.id.uuid()))
        .bind(versions)
        .bind(column(events, |event| event.hold.tenant.as_str()))
        .bind(column(events, |event| event.hold.kind().name()))
        .bind(column(events, |event| event.hold.subject_label()))
        .bind(column(events, |event| event.event_type.name()))
        .bind(column(events, |event| event.at))
        .bind(column(events, usage_array))
        .bind(column(events, Event::lapses_at))
        .bind(payloads)
        .bind(column(events, |event| event.previous_seq))
        .bind(column(events, |event| event.hold.reservation()?.zone.as_ref().map(ZoneName::as_str))))
}

/// Sorted by id, so that two batches meet at each id in the same order and neither waits for the other in a circle.
pub fn bind_receipts<'q>(statement: SqlStr, receipts: &[Receipt]) -> Result<Bound<'q>, sqlx::Error> {
    let mut sorted: Vec<&Receipt> = receipts.iter().collect();
    sorted.sort_by_key(|receipt| receipt.id);
    let number = |receipt: &&Receipt| receipt.error.as_ref().map(|(number, _)| i16::try_from(*number)).transpose();
    let numbers = sorted.iter().map(number).collect::<Result<Vec<Option<i16>>, _>>().map_err(too_large)?;
    Ok(sqlx::query(statement)
        .bind(column(&sorted, |receipt| receipt.id.uuid()))
        .bind(column(&sorted, |receipt| receipt.tenant.as_ref().map(|tenant| tenant.as_str())))
        .bind(column(&sorted, |receipt| receipt.verb.as_str()))
        .bind(column(&sorted, |receipt| receipt.request.as_slice()))
        .bind(column(&sorted, |receipt| receipt.body.as_slice()))
        .bind(numbers)
        .bind(column(&sorted, |receipt| receipt.error.as_ref().map(|(_, code)| code.as_str()))))
}

pub fn column<'a, R, T>(rows: &'a [R], of: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

fn of_reservations<'a, T>(holds: &'a [Hold], of: impl Fn(&'a Reservation) -> Option<T>) -> Vec<Option<T>> {
    holds.iter().map(|hold| hold.reservation().and_then(&of)).collect()
}

fn of_locks<'a, T>(holds: &'a [Hold], of: impl Fn(&'a Lock) -> T) -> Vec<Option<T>> {
    holds.iter().map(|hold| hold.lock().map(&of)).collect()
}

fn integers(holds: &[Hold], of: impl Fn(&Hold) -> Option<u32>) -> Result<Vec<Option<i32>>, sqlx::Error> {
    holds.iter().map(|hold| of(hold).map(integer).transpose()).collect()
}

fn integer(number: u32) -> Result<i32, sqlx::Error> {
    i32::try_from(number).map_err(too_large)
}

fn too_large(error: std::num::TryFromIntError) -> sqlx::Error {
    sqlx::Error::Encode(Box::new(error))
}

fn interval_array(reservation: &Reservation) -> String {
    let interval = |interval: &crate::domain::window::Interval| {
        [micros(interval.start), micros(interval.end), i64::from(interval.quantity)]
    };
    array(reservation.intervals.iter().flat_map(interval))
}

fn unit_array(reservation: &Reservation) -> String {
    array(reservation.units.ranges().iter().flat_map(|(from, to)| [*from, *to]))
}

fn usage_array(event: &Event) -> Option<String> {
    let changes = event.usage.iter().flat_map(|delta| [micros(delta.start), micros(delta.end), delta.units]);
    (!event.usage.is_empty()).then(|| array(changes))
}

fn micros(at: Instant) -> i64 {
    at.timestamp_micros()
}

/// Postgres's text form of an array: `{1,2,3}`.
pub fn array(items: impl Iterator<Item = impl std::fmt::Display>) -> String {
    let mut text = String::from("{");
    for (position, item) in items.enumerate() {
        let comma = if position == 0 { "" } else { "," };
        // Writing into a string does not fail.
        let _ = write!(text, "{comma}{item}");
    }
    text.push('}');
    text
}
