//! What is asked before something is reserved.

use super::super::record::Record;
use super::super::shape::{Path, Value};
use super::{one_window, pool_or_kind};
use crate::domain::id::PoolName;
use crate::domain::look::{Availability, Find, Look, Mode, Quote, Target};
use crate::domain::outcome::{FieldReason, Refusal};
use crate::domain::window::Instant;

pub fn availability(record: &Record<'_, '_>) -> Result<Look, Refusal> {
    let target = target(record)?;
    let mode = match record.text("mode") {
        Some("slots") => {
            leave_out(record, "slots", &["start_time", "end_time", "quantity"])?;
            let (earliest_start, latest_end) = range(record)?;
            Mode::Slots { earliest_start, latest_end }
        }
        Some("check") => {
            leave_out(record, "check", &["earliest_start_time", "latest_end_time"])?;
            Mode::Check(one_window(record)?)
        }
        _ => {
            leave_out(record, "latest_end_time", &["end_time", "earliest_start_time", "latest_end_time"])?;
            Mode::LatestEnd {
                start: record.need("start_time", record.instant("start_time"))?,
                quantity: record.need("quantity", record.count("quantity"))?,
            }
        }
    };
    Ok(Look::Availability(Availability { target, mode }))
}

/// Refuses fields of other modes.
fn leave_out(record: &Record<'_, '_>, mode: &str, names: &[&'static str]) -> Result<(), Refusal> {
    match names.iter().find(|name| record.has(name)) {
        Some(name) => Err(record.fault(name, FieldReason::OutOfRange, &format!("left out in the mode {mode}"))),
        None => Ok(()),
    }
}

fn target(record: &Record<'_, '_>) -> Result<Target, Refusal> {
    pool_or_kind(record).map(|(pool, wanted_kind)| Target { pool, wanted_kind })
}

fn range(record: &Record<'_, '_>) -> Result<(Instant, Instant), Refusal> {
    let earliest = record.need("earliest_start_time", record.instant("earliest_start_time"))?;
    let latest = record.need("latest_end_time", record.instant("latest_end_time"))?;
    match earliest < latest {
        true => Ok((earliest, latest)),
        false => Err(record.fault("latest_end_time", FieldReason::InvalidInterval, "later than earliest_start_time")),
    }
}

pub fn find(record: &Record<'_, '_>) -> Result<Look, Refusal> {
    let (targets, is_many) = match record.list("pools") {
        Some(items) => {
            for name in ["pool", "instance_type", "region"] {
                record.exclude(name, "pools")?;
            }
            (pools(record, items)?, true)
        }
        None => (vec![target(record)?], false),
    };
    let (earliest_start, latest_end) = range(record)?;
    Ok(Look::Find(Find {
        targets,
        is_many,
        quantity: record.need("quantity", record.count("quantity"))?,
        duration_seconds: record.need("duration_seconds", record.count("duration_seconds"))?,
        earliest_start,
        latest_end,
        limit: record.need("limit", record.count("limit"))?,
    }))
}

fn pools(record: &Record<'_, '_>, items: &[Value<'_>]) -> Result<Vec<Target>, Refusal> {
    let path = Path::Name(&record.path, "pools");
    let mut targets: Vec<Target> = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let Value::Text(text) = item else { continue };
        let pool = PoolName::parse(text);
        if targets.iter().any(|target| target.pool == pool) {
            return Err(Path::Index(&path, index).fault(FieldReason::DuplicateField, "named once"));
        }
        targets.push(Target { pool, wanted_kind: None });
    }
    Ok(targets)
}

pub fn quote(record: &Record<'_, '_>) -> Result<Look, Refusal> {
    Ok(Look::Quote(Quote { target: target(record)?, window: one_window(record)? }))
}
