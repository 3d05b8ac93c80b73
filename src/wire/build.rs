//! Checked values to commands and queries, with the rules that concern more than one field. They are checked after
//! all that a table can say.

mod lock;
mod look;

use super::record::Record;
use super::shape::{Kind, Path, Value};
use super::tenant;
use super::verb::Verb;
use super::{build_operator, capacity, cursor, launch};
use crate::domain::booked::VictimOrder;
use crate::domain::command::{
    Cancel, Command, Confirm, Extend, InstanceKind, List, Page, Part, PoolPut, PriceLimit, Query, Reserve, ScheduleOf,
    SortBy, Terminate, UnitId,
};
use crate::domain::hold::Status;
use crate::domain::id::{HoldId, IdempotencyKey, Label, PoolName, Tenant, ZoneName};
use crate::domain::look::Look;
use crate::domain::outcome::{FieldReason, Refusal};
use crate::domain::resource::{Capacity, CapacityStep, Offer, Policy};
use crate::domain::window::{Instant, Interval};

/// The command of a verb that is decided, the query of one that is read.
pub enum Built {
    Command(Command),
    Query(Query),
}

pub fn build(verb: Verb, record: &Record<'_, '_>) -> Result<Built, Refusal> {
    Ok(match verb {
        Verb::Reserve => Built::Command(Command::Reserve(reserve(record)?)),
        Verb::Confirm => Built::Command(Command::Confirm(confirm(record)?)),
        Verb::Extend => Built::Command(Command::Extend(extend(record)?)),
        Verb::Terminate => Built::Command(Command::Terminate(terminate(record)?)),
        Verb::Cancel => Built::Command(Command::Cancel(Cancel { id: record.hold_id("reservation_id")? })),
        Verb::Update => Built::Command(Command::Update(launch::update(record)?)),
        Verb::Lock => Built::Command(Command::Lock(lock::lock(record)?)),
        Verb::Unlock => Built::Command(Command::Unlock(lock::unlock(record)?)),
        Verb::Renew => Built::Command(Command::Renew(lock::renew(record)?)),
        Verb::Transact => Built::Command(Command::Transact(lock::transact(record)?)),
        Verb::Register => Built::Command(Command::Register(lock::register(record)?)),
        Verb::Resources => Built::Query(Query::Resources(lock::resources(record)?)),
        Verb::Locks => Built::Query(Query::Locks(lock::locks(record)?)),
        Verb::PoolPut => Built::Command(Command::PoolPut(pool_put(record)?)),
        Verb::ReservationTerminate => Built::Command(build_operator::reservation_terminate(record)?),
        Verb::LockRelease => Built::Command(build_operator::lock_release(record)?),
        Verb::Get => Built::Query(get(record)?),
        Verb::History => Built::Query(Query::History(record.hold_id("reservation_id")?, record.instant("as_of"))),
        Verb::Usage => Built::Query(Query::Usage(record.hold_id("reservation_id")?, record.instant("as_of"))),
        Verb::Schedule => Built::Query(Query::Schedule(schedule(record)?)),
        Verb::List => Built::Query(list_as_of(record)?),
        Verb::Availability => Built::Command(Command::Look(look::availability(record)?)),
        Verb::Find => Built::Command(Command::Look(look::find(record)?)),
        Verb::ExtensionAvailability => {
            Built::Command(Command::Look(Look::Extension(record.hold_id("reservation_id")?)))
        }
        Verb::Quote => Built::Command(Command::Look(look::quote(record)?)),
        Verb::Pools => Built::Query(Query::Pools(page(record)?)),
        Verb::Check => Built::Command(Command::Look(Look::Locks(lock::check(record)?))),
        Verb::Verify => Built::Query(lock::verify(record)?),
        Verb::Receipt => Built::Query(Query::Receipt(record.required_name("idempotency_key", IdempotencyKey::parse)?)),
        Verb::PoolGet => Built::Query(Query::PoolGet(record.required_name("pool", PoolName::parse)?)),
        Verb::PoolList => Built::Query(Query::PoolList(page(record)?)),
        Verb::TenantPut => Built::Command(Command::TenantPut(tenant::put(record)?)),
        Verb::TenantGet => Built::Query(Query::TenantGet(record.required_name("tenant", Tenant::parse)?)),
        Verb::Quota => Built::Query(Query::Quota),
    })
}

fn reserve(record: &Record<'_, '_>) -> Result<Reserve, Refusal> {
    let (pool, wanted_kind) = pool_or_kind(record)?;
    let (intervals, positions) = match record.list("intervals") {
        Some(items) => several_windows(record, items).map(|(intervals, positions)| (intervals, Some(positions)))?,
        None => (vec![one_window(record)?], None),
    };
    Ok(Reserve {
        pool,
        wanted_kind,
        name: record.name("name", Label::parse)?,
        intervals,
        positions,
        tags: record.opaque("tags"),
        launch_specification: record.opaque("launch_specification"),
        price: price(record)?,
        hold_seconds: record.count("hold_seconds"),
        zone: record.name("zone", ZoneName::parse)?,
    })
}

/// A pool by its name, or the kind by which it has to be found.
fn pool_or_kind(record: &Record<'_, '_>) -> Result<(Option<PoolName>, Option<InstanceKind>), Refusal> {
    let Some(pool) = record.name("pool", PoolName::parse)? else { return Ok((None, Some(wanted_kind(record)?))) };
    record.exclude("instance_type", "pool")?;
    record.exclude("region", "pool")?;
    Ok((Some(pool), None))
}

/// Neither given: it is the pool that is missing.
fn wanted_kind(record: &Record<'_, '_>) -> Result<InstanceKind, Refusal> {
    match (record.name("instance_type", Label::parse)?, record.name("region", Label::parse)?) {
        (Some(instance_type), Some(region)) => Ok(InstanceKind { instance_type, region }),
        (None, None) => record.need("pool", None),
        (None, Some(_)) => record.need("instance_type", None),
        (Some(_), None) => record.need("region", None),
    }
}

fn one_window(record: &Record<'_, '_>) -> Result<Interval, Refusal> {
    let start = record.need("start_time", record.instant("start_time"))?;
    let end = record.need("end_time", record.instant("end_time"))?;
    let quantity = record.need("quantity", record.count("quantity"))?;
    let fault = || record.fault("end_time", FieldReason::InvalidInterval, "later than start_time");
    (start < end).then_some(Interval { start, end, quantity }).ok_or_else(fault)
}

/// The windows sorted, and for each where it stood.
fn several_windows(record: &Record<'_, '_>, items: &[Value<'_>]) -> Result<(Vec<Interval>, Vec<usize>), Refusal> {
    for name in ["start_time", "end_time", "quantity"] {
        record.exclude(name, "intervals")?;
    }
    let path = Path::Name(&record.path, "intervals");
    let mut placed = Vec::with_capacity(items.len());
    for (position, item) in records(record, "intervals", items, &path).enumerate() {
        placed.push((one_window(&item)?, position));
    }
    placed.sort();
    if let Some(pair) = placed.windows(2).find(|pair| pair[1].0.start < pair[0].0.end) {
        let expected = "a window that overlaps none of the others";
        return Err(Path::Index(&path, pair[1].1).fault(FieldReason::InvalidInterval, expected));
    }
    Ok(placed.into_iter().unzip())
}

/// The items of a list of objects.
fn records<'p, 'a>(
    record: &Record<'p, 'a>,
    name: &str,
    items: &'p [Value<'a>],
    path: &'p Path<'p>,
) -> impl Iterator<Item = Record<'p, 'a>> {
    let field = record.fields.iter().find(|field| field.name == name);
    let fields = match field.map(|field| &field.kind) {
        Some(Kind::List(super::shape::List { item: Kind::Object(fields), .. })) => *fields,
        _ => &[][..],
    };
    items.iter().enumerate().filter_map(move |(index, item)| match item {
        Value::Object(values) => Some(Record { fields, values, path: Path::Index(path, index) }),
        _ => None,
    })
}

fn price(record: &Record<'_, '_>) -> Result<PriceLimit, Refusal> {
    let path = Path::Name(&record.path, "price_specification");
    let Some(price) = record.object("price_specification", path) else { return Ok(PriceLimit::default()) };
    // `standard` is the default for a new reservation, and told by its absence.
    let offer_key = if price.has("offer_key") { price.name("offer_key", Label::parse)? } else { None };
    Ok(PriceLimit { offer_key, unit_price_max_cents: price.integer("max_unit_price") })
}

fn confirm(record: &Record<'_, '_>) -> Result<Confirm, Refusal> {
    Ok(Confirm { id: record.hold_id("reservation_id")?, quantity: record.count("quantity") })
}

fn extend(record: &Record<'_, '_>) -> Result<Extend, Refusal> {
    Ok(Extend {
        id: record.hold_id("reservation_id")?,
        end_time: record.need("end_time", record.instant("end_time"))?,
        price: price(record)?,
    })
}

fn terminate(record: &Record<'_, '_>) -> Result<Terminate, Refusal> {
    if record.has("units") {
        record.exclude("quantity", "units")?;
    }
    let part = match (record.list("units"), record.count("quantity")) {
        (Some(items), _) => Part::Units(units(record, items)?),
        (None, Some(quantity)) => Part::Quantity(quantity),
        (None, None) => Part::All,
    };
    let is_part = !matches!(part, Part::All);
    match (is_part, record.boolean("reduce_capacity")) {
        (true, Some(true)) | (false, None) => Ok(Terminate { id: record.hold_id("reservation_id")?, part }),
        (true, None) => record.need("reduce_capacity", None),
        (true, Some(false)) => Err(record.fault("reduce_capacity", FieldReason::OutOfRange, "true")),
        (false, Some(_)) => {
            let expected = "left out where neither units nor quantity is given";
            Err(record.fault("reduce_capacity", FieldReason::OutOfRange, expected))
        }
    }
}

fn units(record: &Record<'_, '_>, items: &[Value<'_>]) -> Result<Vec<UnitId>, Refusal> {
    let path = Path::Name(&record.path, "units");
    let mut seen = std::collections::BTreeSet::new();
    let mut units = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let Value::Unit(id, number) = item else { continue };
        let unit = UnitId { hold: HoldId::from_uuid(*id), number: *number };
        if !seen.insert(unit) {
            return Err(Path::Index(&path, index).fault(FieldReason::DuplicateField, "named once"));
        }
        units.push(unit);
    }
    Ok(units)
}

fn pool_put(record: &Record<'_, '_>) -> Result<PoolPut, Refusal> {
    let capacity = match record.list("capacity_schedule") {
        Some(steps) => {
            record.exclude("capacity", "capacity_schedule")?;
            let path = Path::Name(&record.path, "capacity_schedule");
            Capacity::Schedule(capacity_steps(records(record, "capacity_schedule", steps, &path))?)
        }
        None => Capacity::Constant(record.need("capacity", record.count("capacity"))?),
    };
    let (instance_type, region) = (record.name("instance_type", Label::parse)?, record.name("region", Label::parse)?);
    if instance_type.is_some() != region.is_some() {
        record.need("instance_type", instance_type.as_ref())?;
        record.need("region", region.as_ref())?;
    }
    Ok(PoolPut {
        pool: record.required_name("pool", PoolName::parse)?,
        capacity,
        instance_type,
        region,
        policy: policy(record)?,
        offers: offers(record)?,
        instance_spec: record.opaque("instance_spec"),
        tags: record.opaque("tags"),
        zones: build_operator::zones(record)?,
        force: record.name("force", VictimOrder::parse)?,
    })
}

pub(super) fn capacity_steps<'p, 'a: 'p>(
    items: impl Iterator<Item = Record<'p, 'a>>,
) -> Result<Vec<CapacityStep>, Refusal> {
    let mut steps: Vec<CapacityStep> = Vec::new();
    for item in items {
        let effective_at: Instant = item.need("effective_at", item.instant("effective_at"))?;
        if steps.last().is_some_and(|last| last.effective_at >= effective_at) {
            return Err(item.fault("effective_at", FieldReason::OutOfRange, "later than that of the step before"));
        }
        steps.push(CapacityStep { effective_at, quantity: item.need("quantity", item.count("quantity"))? });
    }
    Ok(steps)
}

fn policy(record: &Record<'_, '_>) -> Result<Policy, Refusal> {
    for (min, max) in [("quantity_min", "quantity_max"), ("duration_min_seconds", "duration_max_seconds")] {
        if record.integer(min).zip(record.integer(max)).is_some_and(|(min, max)| min > max) {
            return Err(record.fault(max, FieldReason::OutOfRange, &format!("at least {min}")));
        }
    }
    let count = |name| record.need(name, record.count(name));
    let is = |name| record.need(name, record.boolean(name));
    Ok(Policy {
        grain_seconds: count("grain_seconds")?,
        quantity_step: count("quantity_step")?,
        quantity_min: record.count("quantity_min"),
        quantity_max: record.count("quantity_max"),
        duration_min_seconds: record.count("duration_min_seconds"),
        duration_max_seconds: record.count("duration_max_seconds"),
        lead_time_seconds: count("lead_time_seconds")?,
        horizon_seconds: count("horizon_seconds")?,
        intervals_max: count("intervals_max")?,
        ending_soon_seconds: count("ending_soon_seconds")?,
        cancellable: is("cancellable")?,
        extendable: is("extendable")?,
        pausable: is("pausable")?,
        reducible: is("reducible")?,
        enabled: is("enabled")?,
    })
}

fn offers(record: &Record<'_, '_>) -> Result<Vec<Offer>, Refusal> {
    let path = Path::Name(&record.path, "offers");
    let mut offers: Vec<Offer> = Vec::new();
    for item in records(record, "offers", record.list("offers").unwrap_or(&[]), &path) {
        let key = item.required_name("key", Label::parse)?;
        if offers.iter().any(|offer| offer.key == key) {
            return Err(item.fault("key", FieldReason::DuplicateField, "another one in each offer"));
        }
        let cents = |name| item.need(name, item.integer(name));
        offers.push(Offer {
            key,
            display_name: item.required_name("display_name", Label::parse)?,
            unit_price_cents: cents("unit_price_cents")?,
            return_buyback_price_cents: cents("return_buyback_price_cents")?,
            pause_buyback_price_cents: cents("pause_buyback_price_cents")?,
            option_premium_cents: cents("option_premium_cents")?,
        });
    }
    Ok(offers)
}

fn get(record: &Record<'_, '_>) -> Result<Query, Refusal> {
    let id = record.hold_id("reservation_id")?;
    Ok(record.instant("as_of").map_or(Query::Get(id), |as_of| Query::GetPast(id, as_of)))
}

/// Neither given: it is the pool that is missing. The tenant of a path is looked at where the subject's is known.
fn schedule(record: &Record<'_, '_>) -> Result<ScheduleOf, Refusal> {
    let pool = match record.name("id", capacity::parse)? {
        Some(id) => {
            record.exclude("pool", "id")?;
            id.pool
        }
        None => record.required_name("pool", PoolName::parse)?,
    };
    let history_minutes = record.need("schedule_history_minutes", record.count("schedule_history_minutes"))?;
    Ok(ScheduleOf { pool, history_minutes, as_of: record.instant("as_of") })
}

/// By status it is sorted as it is now: how it was sorted then no index tells.
fn list_as_of(record: &Record<'_, '_>) -> Result<Query, Refusal> {
    let list = list(record)?;
    match record.instant("as_of") {
        Some(_) if list.sort_by == SortBy::Status => {
            Err(record.fault("sort_by", FieldReason::OutOfRange, "created_at where as_of is given"))
        }
        Some(as_of) => Ok(Query::ListPast(list, as_of)),
        None => Ok(Query::List(list)),
    }
}

fn list(record: &Record<'_, '_>) -> Result<List, Refusal> {
    let sort_by = if record.text("sort_by") == Some("status") { SortBy::Status } else { SortBy::CreatedAt };
    let after = record.name("next_cursor", cursor::decode_list)?;
    if after.is_some_and(|after| after.status.is_some() != (sort_by == SortBy::Status)) {
        let expected = "the next_cursor of a page with the same sort_by";
        return Err(record.fault("next_cursor", FieldReason::InvalidString, expected));
    }
    Ok(List {
        pool: record.name("pool", PoolName::parse)?,
        instance_type: record.name("instance_type", Label::parse)?,
        region: record.name("region", Label::parse)?,
        status: record.name("status", Status::parse)?,
        sort_by,
        is_descending: record.text("sort_dir") != Some("asc"),
        limit: record.need("limit", record.count("limit"))?,
        after,
    })
}

fn page(record: &Record<'_, '_>) -> Result<Page, Refusal> {
    Ok(Page {
        limit: record.need("limit", record.count("limit"))?,
        after: record.name("next_cursor", cursor::decode_pool)?,
    })
}
