//! Checked values to what is the operator's alone: a pool's zones, and the verbs on what belongs to a tenant.

use super::build::capacity_steps;
use super::record::Record;
use super::shape::{Kind, Path, Value};
use crate::domain::command::{Command, LockRelease, ReservationTerminate};
use crate::domain::id::{ResourceName, Tenant, ZoneName};
use crate::domain::outcome::{FieldReason, Refusal};
use crate::domain::resource::{Capacity, Zones};

pub fn reservation_terminate(record: &Record<'_, '_>) -> Result<Command, Refusal> {
    let tenant = record.required_name("tenant", Tenant::parse)?;
    Ok(Command::ReservationTerminate(ReservationTerminate { tenant, id: record.hold_id("reservation_id")? }))
}

pub fn lock_release(record: &Record<'_, '_>) -> Result<Command, Refusal> {
    let tenant = record.required_name("tenant", Tenant::parse)?;
    let resource = record.required_name("resource", ResourceName::parse)?;
    Ok(Command::LockRelease(LockRelease { tenant, resource }))
}

/// The zones of a pool, each with its capacity where one is given: for a zone of the list only.
pub fn zones(record: &Record<'_, '_>) -> Result<Zones, Refusal> {
    let mut zones = Zones::new();
    let path = Path::Name(&record.path, "zones");
    for (index, item) in record.list("zones").unwrap_or_default().iter().enumerate() {
        let Value::Text(text) = item else { continue };
        let zone = ZoneName::parse(text).map(|zone| zones.insert(zone, None));
        if zone.is_some_and(|before| before.is_some()) {
            return Err(Path::Index(&path, index).fault(FieldReason::DuplicateField, "named once"));
        }
    }
    let (kind, by_zone) = record.by_name("capacity_by_zone");
    let path = Path::Name(&record.path, "capacity_by_zone");
    for (name, value) in by_zone {
        let path = Path::Name(&path, name);
        let zone = ZoneName::parse(name).and_then(|zone| zones.get_mut(&zone));
        let zone = zone.ok_or_else(|| path.fault(FieldReason::OutOfRange, "under the name of one of the zones"))?;
        *zone = Some(capacity(kind, value, &path)?);
    }
    Ok(zones)
}

fn capacity(kind: Option<&'static Kind>, value: &Value<'_>, path: &Path<'_>) -> Result<Capacity, Refusal> {
    let fields = match kind {
        Some(Kind::OneOrList(_, list)) => match list.item {
            Kind::Object(fields) => *fields,
            _ => &[][..],
        },
        _ => &[][..],
    };
    match value {
        Value::List(items) => {
            let steps = items.iter().enumerate().filter_map(|(index, item)| match item {
                Value::Object(values) => Some(Record { fields, values, path: Path::Index(path, index) }),
                _ => None,
            });
            Ok(Capacity::Schedule(capacity_steps(steps)?))
        }
        Value::Integer(units) => Ok(Capacity::Constant(u32::try_from(*units).unwrap_or(u32::MAX))),
        _ => Err(path.fault(FieldReason::WrongType, "an integer or an array of steps")),
    }
}
