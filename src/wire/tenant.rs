//! `tenant_put`, `tenant_get`, `quota`: what is built from the request, and what is answered.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value as Schema, json};

use super::record::Record;
use super::reply::Encoded;
use super::shape::{Path, Value};
use super::view;
use crate::domain::command::TenantPut;
use crate::domain::id::{ResourceName, Tenant};
use crate::domain::outcome::{FieldReason, Refusal};
use crate::domain::quota::{Limits, TenantConfig, TenantUse};
use crate::domain::window::Instant;

pub fn put(record: &Record<'_, '_>) -> Result<TenantPut, Refusal> {
    Ok(TenantPut {
        tenant: record.required_name("tenant", Tenant::parse)?,
        limits: limits(record),
        registered_prefixes: prefixes(record)?,
    })
}

fn limits(record: &Record<'_, '_>) -> Limits {
    let path = Path::Name(&record.path, "quotas");
    let Some(quotas) = record.object("quotas", path) else { return Limits::default() };
    let limit = |name| quotas.integer(name).and_then(|limit| u64::try_from(limit).ok());
    Limits { units: limit("units"), unit_hours: limit("unit_hours"), locks: limit("locks") }
}

/// In order, whatever the order in which they were sent.
fn prefixes(record: &Record<'_, '_>) -> Result<Vec<ResourceName>, Refusal> {
    let path = Path::Name(&record.path, "registered_prefixes");
    let mut prefixes = BTreeSet::new();
    for (index, item) in record.list("registered_prefixes").unwrap_or(&[]).iter().enumerate() {
        let Value::Text(text) = item else { continue };
        if ResourceName::parse(text).is_some_and(|prefix| !prefixes.insert(prefix)) {
            return Err(Path::Index(&path, index).fault(FieldReason::DuplicateField, "given once"));
        }
    }
    Ok(prefixes.into_iter().collect())
}

/// Each `null` where there is none.
#[derive(Serialize)]
struct LimitsView {
    units: Option<u64>,
    unit_hours: Option<u64>,
    locks: Option<u64>,
}

fn limits_view(limits: &Limits) -> LimitsView {
    LimitsView { units: limits.units, unit_hours: limits.unit_hours, locks: limits.locks }
}

/// What the operator says of a tenant: but for its version, a `tenant_put` that would change nothing.
#[derive(Serialize)]
pub struct TenantView<'a> {
    tenant: &'a str,
    quotas: LimitsView,
    registered_prefixes: Vec<&'a str>,
    version: u32,
}

pub fn view(config: &TenantConfig) -> TenantView<'_> {
    TenantView {
        tenant: config.tenant.as_str(),
        quotas: limits_view(&config.limits),
        registered_prefixes: config.registered_prefixes.iter().map(ResourceName::as_str).collect(),
        version: config.version,
    }
}

pub fn encode(config: &TenantConfig) -> Encoded {
    Encoded { body: view::bytes(&view(config)), error: None }
}

#[derive(Serialize)]
struct UsedView {
    units: u64,
    unit_hours: u64,
    locks: u64,
}

#[derive(Serialize)]
struct QuotaView {
    limits: LimitsView,
    used: UsedView,
}

/// `quota`: the limits, and what counts against them from `now` on.
pub fn quota(limits: &Limits, used: &TenantUse, now: Instant) -> Encoded {
    let used = UsedView { units: used.units(now), unit_hours: used.unit_hours(now), locks: used.locks(now) };
    Encoded { body: view::bytes(&QuotaView { limits: limits_view(limits), used }), error: None }
}

/// The schema of the reply of `tenant_put` and `tenant_get`.
pub fn tenant_schema() -> Schema {
    json!({
        "description": "What the operator says of a tenant: but for its version, a tenant_put that would change nothing.",
        "type": "object",
        "properties": {
            "tenant": {"type": "string"},
            "quotas": limits_schema(),
            "registered_prefixes": {"type": "array", "items": {"type": "string"}},
            "version": {"type": "integer", "minimum": 1, "description": "One more with each change."}
        },
        "required": ["tenant", "quotas", "registered_prefixes", "version"],
        "additionalProperties": false
    })
}

/// The schema of the reply of `quota`.
pub fn quota_schema() -> Schema {
    let count = |about| json!({"type": "integer", "minimum": 0, "description": about});
    json!({
        "type": "object",
        "properties": {
            "limits": limits_schema(),
            "used": {
                "type": "object",
                "properties": {
                    "units": count("The most units at any instant from now on, over all pools."),
                    "unit_hours": count("Quantity × hours from now on, over all pools; begun ones as whole ones."),
                    "locks": count("Claims on locks, held or waiting.")
                },
                "required": ["units", "unit_hours", "locks"],
                "additionalProperties": false
            }
        },
        "required": ["limits", "used"],
        "additionalProperties": false
    })
}

fn limits_schema() -> Schema {
    let limit = json!({"type": ["integer", "null"], "minimum": 0, "description": "null: unlimited."});
    json!({
        "type": "object",
        "properties": {"units": limit, "unit_hours": limit, "locks": limit},
        "required": ["units", "unit_hours", "locks"],
        "additionalProperties": false
    })
}

/// The schema of what `quota_exceeded` tells.
pub fn exceeded_schema() -> Schema {
    let names = crate::domain::quota::Quota::ALL.map(crate::domain::quota::Quota::name);
    let count = json!({"type": "integer", "minimum": 0});
    json!({
        "type": "object",
        "properties": {
            "quota": {"type": "string", "enum": names, "description": "Which of the limits."},
            "limit": count,
            "used": count,
            "requested": count
        },
        "required": ["quota", "limit", "used", "requested"],
        "additionalProperties": false
    })
}
