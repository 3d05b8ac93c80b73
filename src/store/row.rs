//! Rows to domain types. A row that can't be read is an error that names the column, never a panic.

use sqlx::postgres::PgRow;
use sqlx::{Decode, Postgres, Row, Type};
use uuid::Uuid;

use super::batch::Receipt;
use crate::domain::event::EventType;
use crate::domain::hold::{Claim, EndReason, Hold, Kind, Opaque, Reservation, Status, Units};
use crate::domain::id::{
    Actor, HoldId, Label, Lane, PoolName, ReceiptId, Requester, ResourceName, ResourceType, Tenant, ZoneName,
};
use crate::domain::lock::{Lock, Mode, PATH_SEPARATOR};
use crate::domain::window::{Delta, Instant, Interval, from_micros};

/// A column whose value is not what it can be.
#[derive(Debug, thiserror::Error)]
#[error("the value is not one that berth writes")]
struct Unreadable;

fn unreadable(column: &str) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(Unreadable) }
}

pub fn get<'r, T: Decode<'r, Postgres> + Type<Postgres>>(row: &'r PgRow, column: &str) -> Result<T, sqlx::Error> {
    row.try_get(column)
}

/// A text column as the type that `parse` makes of it.
pub fn parsed<T>(row: &PgRow, column: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, sqlx::Error> {
    parse(get(row, column)?).ok_or_else(|| unreadable(column))
}

pub fn maybe_parsed<T>(row: &PgRow, column: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, sqlx::Error> {
    let text: Option<&str> = get(row, column)?;
    text.map(|text| parse(text).ok_or_else(|| unreadable(column))).transpose()
}

/// A number that is stored in a wider or signed type.
pub fn number<S, T>(row: &PgRow, column: &str) -> Result<T, sqlx::Error>
where
    S: for<'r> Decode<'r, Postgres> + Type<Postgres>,
    T: TryFrom<S>,
{
    T::try_from(get::<S>(row, column)?).map_err(|_| unreadable(column))
}

pub fn maybe_number<S, T>(row: &PgRow, column: &str) -> Result<Option<T>, sqlx::Error>
where
    S: for<'r> Decode<'r, Postgres> + Type<Postgres>,
    T: TryFrom<S>,
{
    let number: Option<S> = get(row, column)?;
    number.map(|number| T::try_from(number).map_err(|_| unreadable(column))).transpose()
}

pub fn lane(row: &PgRow) -> Result<Lane, sqlx::Error> {
    Lane::new(number::<i16, u8>(row, "lane")?).ok_or_else(|| unreadable("lane"))
}

pub fn opaque(row: &PgRow, column: &str) -> Result<Option<Opaque>, sqlx::Error> {
    Ok(get::<Option<&str>>(row, column)?.map(Opaque::new))
}

pub fn kind(row: &PgRow) -> Result<Kind, sqlx::Error> {
    parsed(row, "kind", Kind::parse)
}

pub fn event_type(row: &PgRow) -> Result<EventType, sqlx::Error> {
    parsed(row, "event_type", EventType::parse)
}

pub fn tenant(row: &PgRow) -> Result<Tenant, sqlx::Error> {
    parsed(row, "tenant", Tenant::parse)
}

pub fn hold(row: &PgRow) -> Result<Hold, sqlx::Error> {
    let claim = match kind(row)? {
        Kind::Reservation => Claim::Reservation(reservation(row)?.into()),
        Kind::Lock => Claim::Lock(lock(row)?.into()),
    };
    Ok(Hold {
        id: HoldId::from_uuid(get(row, "id")?),
        tenant: tenant(row)?,
        status: parsed(row, "status", Status::parse)?,
        end_reason: maybe_parsed(row, "end_reason", EndReason::parse)?,
        version: number::<i32, _>(row, "version")?,
        created_at: get(row, "created_at")?,
        created_by: maybe_parsed(row, "created_by", Actor::parse)?,
        deactivated_at: get(row, "deactivated_at")?,
        expires_at: get(row, "expires_at")?,
        last_seq: get(row, "last_seq")?,
        claim,
    })
}

/// The hold of a row that may have none, as an outer join gives it.
pub fn maybe_hold(row: &PgRow) -> Result<Option<Hold>, sqlx::Error> {
    match get::<Option<Uuid>>(row, "id")? {
        Some(_) => hold(row).map(Some),
        None => Ok(None),
    }
}

/// The holds of rows that all carry the time at which they were read.
pub fn holds_read_at(rows: &[PgRow]) -> Result<(Vec<Hold>, Instant), sqlx::Error> {
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let holds = rows.iter().filter_map(|row| maybe_hold(row).transpose()).collect::<Result<_, _>>()?;
    Ok((holds, get(first, "read_at")?))
}

fn reservation(row: &PgRow) -> Result<Reservation, sqlx::Error> {
    Ok(Reservation {
        pool: parsed(row, "pool", PoolName::parse)?,
        zone: maybe_parsed(row, "zone", ZoneName::parse)?,
        name: maybe_parsed(row, "name", Label::parse)?,
        instance_type: maybe_parsed(row, "instance_type", Label::parse)?,
        region: maybe_parsed(row, "region", Label::parse)?,
        intervals: intervals(row)?,
        units: units(row)?,
        units_bound: number::<i32, _>(row, "units_bound")?,
        launch_specification: opaque(row, "launch_specification")?,
        tags: opaque(row, "tags")?,
        offer_key: parsed(row, "offer_key", Label::parse)?,
        unit_price_cents: get(row, "unit_price_cents")?,
        return_buyback_price_cents: get(row, "return_buyback_price_cents")?,
        pause_buyback_price_cents: get(row, "pause_buyback_price_cents")?,
        total_price_cents: get(row, "total_price_cents")?,
        start_time: get(row, "start_time")?,
        end_time: get(row, "end_time")?,
        quantity: number::<i32, _>(row, "quantity")?,
        paused_at: get(row, "paused_at")?,
        ending_soon_seconds: maybe_number::<i32, _>(row, "ending_soon_seconds")?.unwrap_or(0),
        warned_end: get(row, "warned_end")?,
    })
}

fn lock(row: &PgRow) -> Result<Lock, sqlx::Error> {
    Ok(Lock {
        requester: parsed(row, "requester", Requester::parse)?,
        resource: parsed(row, "resource", ResourceName::parse)?,
        resource_type: parsed(row, "resource_type", ResourceType::parse)?,
        release_token: get(row, "release_token")?,
        fencing_token: get(row, "fencing_token")?,
        mode: if get::<Option<bool>>(row, "is_shared")?.unwrap_or(false) { Mode::Shared } else { Mode::Exclusive },
        slot: maybe_number::<i32, _>(row, "slot")?,
        ttl_seconds: maybe_number::<i32, _>(row, "ttl_seconds")?,
        is_blocker: get::<Option<bool>>(row, "is_blocker")?.unwrap_or(false),
        blockers: parted(row, "blockers")?,
        path: parted(row, "tree_path")?,
        delay_seconds: maybe_number::<i32, _>(row, "delay_seconds")?.unwrap_or(0),
    })
}

/// Names with a character between them that none of them has; null for none.
fn parted(row: &PgRow, column: &str) -> Result<Vec<ResourceName>, sqlx::Error> {
    let text: Option<&str> = get(row, column)?;
    let parts = text.into_iter().flat_map(|text| text.split(PATH_SEPARATOR));
    parts.map(|part| ResourceName::parse(part).ok_or_else(|| unreadable(column))).collect()
}

/// The same for writing.
pub fn joined(names: &[ResourceName]) -> String {
    let names: Vec<&str> = names.iter().map(ResourceName::as_str).collect();
    names.join(&PATH_SEPARATOR.to_string())
}

pub fn names(names: Vec<String>, column: &str) -> Result<Vec<ResourceName>, sqlx::Error> {
    names.iter().map(|name| ResourceName::parse(name).ok_or_else(|| unreadable(column))).collect()
}

pub fn intervals(row: &PgRow) -> Result<Vec<Interval>, sqlx::Error> {
    let numbers: Vec<i64> = get(row, "intervals")?;
    let (parts, []) = numbers.as_chunks::<3>() else { return Err(unreadable("intervals")) };
    let interval = |[start, end, units]: &[i64; 3]| {
        let quantity = u32::try_from(*units).map_err(|_| unreadable("intervals"))?;
        Ok(Interval { start: from_micros(*start), end: from_micros(*end), quantity })
    };
    parts.iter().map(interval).collect()
}

fn units(row: &PgRow) -> Result<Units, sqlx::Error> {
    let numbers: Vec<i32> = get(row, "units")?;
    let (parts, []) = numbers.as_chunks::<2>() else { return Err(unreadable("units")) };
    let range = |[from, to]: &[i32; 2]| match (u32::try_from(*from), u32::try_from(*to)) {
        (Ok(from), Ok(to)) => Ok((from, to)),
        _ => Err(unreadable("units")),
    };
    Ok(Units::from_ranges(parts.iter().map(range).collect::<Result<_, _>>()?))
}

/// What an event changed in the use of its pool; nothing where the column is null.
pub fn usage(row: &PgRow) -> Result<Vec<Delta>, sqlx::Error> {
    let numbers: Vec<i64> = get::<Option<Vec<i64>>>(row, "usage")?.unwrap_or_default();
    let (parts, []) = numbers.as_chunks::<3>() else { return Err(unreadable("usage")) };
    let delta =
        |[start, end, units]: &[i64; 3]| Delta { start: from_micros(*start), end: from_micros(*end), units: *units };
    Ok(parts.iter().map(delta).collect())
}

pub fn receipt(row: &PgRow) -> Result<Receipt, sqlx::Error> {
    let number = maybe_number::<i16, u16>(row, "error_number")?;
    let code: Option<String> = get(row, "error_code")?;
    Ok(Receipt {
        id: ReceiptId::from_uuid(get(row, "id")?),
        tenant: maybe_parsed(row, "tenant", Tenant::parse)?,
        verb: get(row, "verb")?,
        request: get(row, "request")?,
        body: get(row, "body")?,
        error: number.zip(code),
        told: None,
    })
}
