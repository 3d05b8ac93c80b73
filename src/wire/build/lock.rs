//! The commands and queries about locks.

use super::super::cursor;
use super::super::record::Record;
use super::super::shape::{Path, Value};
use super::super::verb::Verb;
use super::{Built, build, records};
use crate::domain::command::{
    Check, Command, LockList, Method, Query, Register, Renew, ResourceList, TakeLock, Transact, Unlock,
};
use crate::domain::id::{Requester, ResourceName, ResourceType};
use crate::domain::lock::{Mode, PATH_SEPARATOR};
use crate::domain::outcome::{FieldReason, Refusal};

pub fn lock(record: &Record<'_, '_>) -> Result<TakeLock, Refusal> {
    // The default is told by its absence: a registered resource may have another one.
    let has_type = record.has("resource_type");
    Ok(TakeLock {
        requester: record.required_name("requester", Requester::parse)?,
        resource: record.required_name("resource", ResourceName::parse)?,
        resource_type: if has_type { record.name("resource_type", ResourceType::parse)? } else { None },
        ttl_seconds: record.count("ttl_seconds"),
        mode: record.required_name("mode", Mode::parse)?,
        wait_seconds: record.count("wait_seconds"),
    })
}

pub fn unlock(record: &Record<'_, '_>) -> Result<Unlock, Refusal> {
    Ok(Unlock {
        requester: record.required_name("requester", Requester::parse)?,
        resource: record.required_name("resource", ResourceName::parse)?,
        release_token: record.need("release_token", record.uuid("release_token"))?,
    })
}

pub fn renew(record: &Record<'_, '_>) -> Result<Renew, Refusal> {
    Ok(Renew {
        resource: record.required_name("resource", ResourceName::parse)?,
        release_token: record.need("release_token", record.uuid("release_token"))?,
        ttl_seconds: record.need("ttl_seconds", record.count("ttl_seconds"))?,
    })
}

pub fn check(record: &Record<'_, '_>) -> Result<Check, Refusal> {
    let Some(items) = record.list("resources") else {
        let resource = record.required_name("resource", ResourceName::parse)?;
        return Ok(Check { resources: vec![resource], is_many: false });
    };
    record.exclude("resource", "resources")?;
    Ok(Check { resources: names(items), is_many: true })
}

fn names(items: &[Value<'_>]) -> Vec<ResourceName> {
    let parse = |item: &Value<'_>| match item {
        Value::Text(text) => ResourceName::parse(text),
        _ => None,
    };
    items.iter().filter_map(parse).collect()
}

pub fn verify(record: &Record<'_, '_>) -> Result<Query, Refusal> {
    Ok(Query::Verify {
        resource: record.required_name("resource", ResourceName::parse)?,
        fencing_token: record.need("fencing_token", record.integer("fencing_token"))?,
    })
}

pub fn register(record: &Record<'_, '_>) -> Result<Register, Refusal> {
    let name = record.required_name("name", ResourceName::parse)?;
    let mut blocks = names(record.list("blocks").unwrap_or(&[]));
    blocks.sort();
    if blocks.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(record.fault("blocks", FieldReason::DuplicateField, "names that are given once each"));
    }
    if blocks.contains(&name) {
        return Err(record.fault("blocks", FieldReason::OutOfRange, "other resources than the one that is registered"));
    }
    Ok(Register {
        capacity: record.need("capacity", record.count("capacity"))?,
        blocks,
        ancestors: ancestors(record, &name)?,
        resource_type: record.name("resource_type", ResourceType::parse)?,
        lock_delay_seconds: record.need("lock_delay_seconds", record.count("lock_delay_seconds"))?,
        name,
    })
}

/// The path without the name itself, which it may end with.
fn ancestors(record: &Record<'_, '_>, name: &ResourceName) -> Result<Vec<ResourceName>, Refusal> {
    let names = record.text("tree_path").unwrap_or_default().split(PATH_SEPARATOR);
    let mut path: Vec<ResourceName> = names.filter_map(ResourceName::parse).collect();
    if path.last() == Some(name) {
        path.pop();
    }
    let is_twice = |index: usize| path[index] == *name || path[..index].contains(&path[index]);
    match (0..path.len()).any(is_twice) {
        true => Err(record.fault("tree_path", FieldReason::OutOfRange, "one in which no name stands twice")),
        false => Ok(path),
    }
}

pub fn resources(record: &Record<'_, '_>) -> Result<ResourceList, Refusal> {
    Ok(ResourceList {
        prefix: record.text("prefix").map(str::to_owned),
        limit: record.need("limit", record.count("limit"))?,
        after: record.name("next_cursor", cursor::decode_resource)?,
    })
}

pub fn locks(record: &Record<'_, '_>) -> Result<LockList, Refusal> {
    Ok(LockList {
        requester: record.name("requester", Requester::parse)?,
        resource: record.name("resource", ResourceName::parse)?,
        limit: record.need("limit", record.count("limit"))?,
        after: record.name("next_cursor", cursor::decode_lock)?,
    })
}

pub fn transact(record: &Record<'_, '_>) -> Result<Transact, Refusal> {
    let takes = record.text("request_type") == Some("RESERVE");
    let path = Path::Name(&record.path, "requests");
    let items = records(record, "requests", record.list("requests").unwrap_or(&[]), &path);
    let commands = items.map(|item| transact_item(&item, takes)).collect::<Result<_, _>>()?;
    Ok(Transact { method: record.required_name("method", Method::parse)?, commands })
}

/// An item names one verb, of those that its transaction is for.
fn transact_item(item: &Record<'_, '_>, takes: bool) -> Result<Command, Refusal> {
    let (ours, others) = match takes {
        true => (&TAKING[..], &GIVING_BACK[..]),
        false => (&GIVING_BACK[..], &TAKING[..]),
    };
    if let Some((name, _)) = others.iter().find(|(name, _)| item.has(name)) {
        return Err(item.fault(name, FieldReason::OutOfRange, "a request of the transaction's request_type"));
    }
    let given: Vec<&(&'static str, Verb)> = ours.iter().filter(|(name, _)| item.has(name)).collect();
    let [(name, verb)] = given[..] else {
        let first = given.get(1).map_or(ours[0].0, |(name, _)| name);
        let reason = if given.is_empty() { FieldReason::MissingField } else { FieldReason::OutOfRange };
        return Err(item.fault(first, reason, "the only request of its item"));
    };
    let inner = item.need(name, item.object(name, Path::Name(&item.path, name)))?;
    for name in ["wait_seconds", "dry_run", "tenant"] {
        if inner.fields.iter().any(|field| field.name == name) && inner.has(name) {
            return Err(inner.fault(name, FieldReason::OutOfRange, "left out within a transaction"));
        }
    }
    match build(*verb, &inner)? {
        Built::Command(command) => Ok(command),
        Built::Query(_) => Err(item.fault(name, FieldReason::UnknownField, "left out")),
    }
}

const TAKING: [(&str, Verb); 2] = [("lock", Verb::Lock), ("reserve", Verb::Reserve)];
const GIVING_BACK: [(&str, Verb); 3] =
    [("unlock", Verb::Unlock), ("cancel", Verb::Cancel), ("terminate", Verb::Terminate)];
