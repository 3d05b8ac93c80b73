//! JSON Schemas (2020-12) of replies and events: beside the structs that `view`, `refusal`, `reply` and `event` write,
//! which tests validate against them.

mod lock;
mod look;

use serde_json::{Map, Value, json};

use super::offer;
use super::schema_dry_run;
use super::schema_operator;
use super::schema_past::{capacity, history, usage};
use super::tenant;
use super::verb::Verb;
use crate::domain::event::EventType;
use crate::domain::hold::{EndReason, Status};
use crate::domain::outcome::FieldReason;

/// Schemas that others refer to, by file name.
pub fn shared() -> impl Iterator<Item = (&'static str, Value)> {
    [
        ("error.json", error()),
        ("reservation.json", reservation(false)),
        ("reservation_dry_run.json", schema_dry_run::reservation(reservation(false))),
        ("lock.json", lock()),
        ("pool.json", pool()),
        ("event.json", event()),
    ]
    .into_iter()
}

/// What a verb is answered with when it is not refused; refusals are of `error.json`.
pub fn reply(verb: Verb) -> Value {
    let reservation = || json!({"$ref": "reservation.json"});
    let pool = || json!({"$ref": "pool.json"});
    let schema = match verb {
        Verb::Reserve | Verb::Confirm | Verb::Extend | Verb::Cancel | Verb::Update => {
            schema_dry_run::or_dry_run(reservation())
        }
        Verb::Get => reservation(),
        Verb::Terminate => terminated(vec![schema_dry_run::mark()]),
        Verb::List => page(reservation()),
        Verb::Availability => look::availability(),
        Verb::Find => look::find(),
        Verb::ExtensionAvailability => look::extension_availability(),
        Verb::Quote => look::quote(),
        Verb::Pools => look::pools(offer()),
        Verb::History => history(),
        Verb::Usage => usage(),
        Verb::Schedule => capacity(),
        Verb::Lock => one_or_many(lock::lock_reply()),
        Verb::Unlock => one_or_many(lock::unlock_reply()),
        Verb::Renew => one_or_many(lock::renew_reply()),
        Verb::Transact => one_or_many(lock::transact_reply()),
        Verb::Register => lock::registered(),
        Verb::Resources => page(lock::held()),
        Verb::Locks => page(json!({"$ref": "lock.json"})),
        Verb::Check => json!({
            "description": "An object for `resource`, an array in the order of `resources`.",
            "$defs": {"item": lock::check_reply()},
            "oneOf": [{"$ref": "#/$defs/item"}, {"type": "array", "items": {"$ref": "#/$defs/item"}}]
        }),
        Verb::Verify => closed(
            vec![
                ("current", says(json!({"type": "boolean"}), "Is it the token of the lock's present holder?")),
                ("fencing_token", says(integer(0), "The token that was asked about, never another's.")),
            ],
            vec![],
        ),
        Verb::Receipt => json!({
            "description": "The stored reply, byte for byte: the reply of the verb that was sent under the key, or the \
                            refusal that answered it."
        }),
        Verb::PoolPut => schema_operator::pool_put(pool(), self::pool()),
        Verb::PoolGet => pool(),
        Verb::ReservationTerminate => terminated(vec![schema_dry_run::mark()]),
        Verb::LockRelease => schema_operator::lock_released(),
        Verb::PoolList => page(pool()),
        Verb::TenantPut => schema_dry_run::or_marked(tenant::tenant_schema()),
        Verb::TenantGet => tenant::tenant_schema(),
        Verb::Quota => tenant::quota_schema(),
    };
    with(schema, "title", json!(format!("Reply: {}", verb.name())))
}

fn terminated(sometimes: Vec<(&str, Value)>) -> Value {
    closed(
        vec![
            ("reservation", json!({"$ref": "reservation.json"})),
            ("terminated_units", array(unit())),
            ("already_terminated", array(unit())),
            ("credit_cents", integer(0)),
        ],
        sometimes,
    )
}

fn with(mut schema: Value, name: &str, value: Value) -> Value {
    if let Value::Object(members) = &mut schema {
        members.insert(name.into(), value);
    }
    schema
}

pub(super) fn says(schema: Value, description: &str) -> Value {
    with(schema, "description", json!(description))
}

/// An object with these fields and no others; `always` are always there, `sometimes` may be left out.
pub(super) fn closed(always: Vec<(&str, Value)>, sometimes: Vec<(&str, Value)>) -> Value {
    let required: Vec<&str> = always.iter().map(|(name, _)| *name).collect();
    let properties: Map<String, Value> =
        always.iter().chain(&sometimes).map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn page(item: Value) -> Value {
    let next = says(nullable(text()), "Send it as next_cursor for the next page; null on the last.");
    closed(vec![("data", array(item)), ("next_cursor", next)], vec![])
}

fn one_or_many(item: Value) -> Value {
    json!({
        "description": "An object for an object; for an array an array, with a refusal in the place of a refused item.",
        "$defs": {"item": item},
        "oneOf": [
            {"$ref": "#/$defs/item"},
            {"type": "array", "items": {"oneOf": [{"$ref": "#/$defs/item"}, {"$ref": "error.json"}]}}
        ]
    })
}

pub(super) fn text() -> Value {
    json!({"type": "string"})
}

pub(super) fn integer(minimum: i64) -> Value {
    json!({"type": "integer", "minimum": minimum})
}

pub(super) fn array(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

pub(super) fn nullable(schema: Value) -> Value {
    let kind = schema.get("type").cloned().unwrap_or_default();
    with(schema, "type", json!([kind, "null"]))
}

pub(super) fn instant() -> Value {
    let pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{6})?Z$";
    json!({"type": "string", "format": "date-time", "pattern": pattern})
}

const HEX: &str = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";

pub(super) fn id() -> Value {
    json!({"type": "string", "format": "uuid", "pattern": format!("^{HEX}$")})
}

pub(super) fn unit() -> Value {
    json!({"type": "string", "pattern": format!("^{HEX}\\.(0|[1-9][0-9]*)$")})
}

pub(super) fn one_of(names: impl Iterator<Item = &'static str>) -> Value {
    json!({"type": "string", "enum": names.collect::<Vec<_>>()})
}

fn status() -> Value {
    one_of(Status::ALL.into_iter().map(Status::name))
}

fn end_reason() -> Value {
    one_of(EndReason::ALL.into_iter().map(EndReason::name))
}

fn interval() -> Value {
    closed(vec![("start_time", instant()), ("end_time", instant()), ("quantity", integer(1))], vec![])
}

pub(super) fn tags() -> Value {
    json!({"type": ["object", "null"], "additionalProperties": {"type": "string"}})
}

fn launch_specification(is_redacted: bool) -> Value {
    let mut sometimes = vec![("kubernetes_cluster", text()), ("image_version", text()), ("memory_gb", integer(0))];
    if !is_redacted {
        sometimes.push(("startup_script", text()));
    }
    nullable(closed(vec![("volumes", array(text())), ("ssh_keys", array(text()))], sometimes))
}

/// `is_redacted`: as events show it.
fn reservation(is_redacted: bool) -> Value {
    let schema = closed(
        vec![
            ("reservation_id", id()),
            ("tenant", text()),
            ("kind", json!({"const": "reservation"})),
            ("name", nullable(text())),
            ("pool", text()),
            ("instance_type", nullable(text())),
            ("region", nullable(text())),
            ("status", status()),
            ("intervals", says(array(interval()), "Sorted by start, not overlapping, not merged.")),
            ("start_time", says(instant(), "The first start.")),
            ("end_time", says(instant(), "The last end.")),
            ("quantity", says(integer(0), "The largest quantity of the intervals.")),
            ("units", says(array(unit()), "Bound when it becomes active.")),
            ("launch_specification", launch_specification(is_redacted)),
            ("tags", tags()),
            ("offer_key", text()),
            ("unit_price_cents", says(integer(0), "Cents per unit-hour.")),
            ("total_price_cents", json!({"type": "integer"})),
            ("ending_soon_at", says(nullable(instant()), "When its end will be announced; null where it will not be.")),
            ("created_at", instant()),
            ("version", says(integer(1), "1, 2, 3 … without gaps: one for each event.")),
        ],
        vec![
            ("end_reason", says(end_reason(), "Why it is over.")),
            ("created_by", text()),
            ("deactivated_at", says(instant(), "When it became terminal.")),
            ("zone", says(text(), "The part of the pool that its units are of.")),
            ("hold_expires_at", says(instant(), "Until when a hold can be confirmed.")),
            ("paused_at", says(instant(), "Since when it is paused, or was last credited for that.")),
        ],
    );
    with(schema, "title", json!("Reservation"))
}

fn lock() -> Value {
    let schema = closed(
        vec![
            ("lock_id", says(id(), "One claim's, from the queue to its end.")),
            ("tenant", text()),
            ("kind", json!({"const": "lock"})),
            ("resource", text()),
            ("resource_type", text()),
            ("requester", text()),
            ("status", status()),
            ("mode", json!({"type": "string", "enum": ["exclusive", "shared"]})),
            ("slot", says(nullable(text()), "Which of several places it has; null where there is one.")),
            ("blockers", says(array(text()), "What is held with it, for it.")),
            (
                "is_blocker",
                says(json!({"type": "boolean"}), "Taken with another lock of its requester, and given back with it."),
            ),
            ("reserved_at_path", says(nullable(text()), "Where it stands in a tree: names with > between them.")),
            (
                "fencing_token",
                says(nullable(integer(1)), "Strictly rising per resource, for ever; null while it waits."),
            ),
            (
                "expires_at",
                says(nullable(instant()), "null: until released. Of one that waits: when its wait runs out."),
            ),
            ("created_at", instant()),
            ("version", integer(1)),
        ],
        vec![
            ("end_reason", end_reason()),
            ("created_by", text()),
            ("deactivated_at", says(instant(), "When it became terminal.")),
        ],
    );
    with(says(schema, "A lock's claim as events show it: never its release token."), "title", json!("Lock"))
}

fn offer() -> Value {
    let cents = || integer(0);
    closed(
        vec![
            ("key", text()),
            ("display_name", text()),
            ("unit_price_cents", cents()),
            ("return_buyback_price_cents", cents()),
            ("pause_buyback_price_cents", cents()),
            ("option_premium_cents", cents()),
        ],
        vec![],
    )
}

fn pool() -> Value {
    let step = closed(vec![("effective_at", instant()), ("quantity", integer(0))], vec![]);
    let count = || integer(0);
    let mut always = vec![
        ("pool", text()),
        ("instance_type", nullable(text())),
        ("region", nullable(text())),
        ("instance_spec", json!({"type": ["object", "null"]})),
        ("offers", array(offer())),
        ("tags", tags()),
        ("version", says(integer(1), "One more with each change.")),
    ];
    let counts = ["grain_seconds", "quantity_step", "lead_time_seconds", "horizon_seconds", "intervals_max"];
    always.extend(counts.into_iter().chain(["ending_soon_seconds"]).map(|name| (name, count())));
    let limits = ["quantity_min", "quantity_max", "duration_min_seconds", "duration_max_seconds"];
    always.extend(limits.map(|name| (name, nullable(count()))));
    let rights = ["cancellable", "extendable", "pausable", "reducible", "enabled"];
    always.extend(rights.map(|name| (name, json!({"type": "boolean"}))));
    let by_zone = json!({"type": "object", "additionalProperties": {"oneOf": [count(), array(step.clone())]}});
    let zones = says(array(text()), "The parts of the pool that a reservation can be bound to.");
    let sometimes = vec![
        ("capacity", count()),
        ("capacity_schedule", array(step)),
        ("zones", zones),
        ("capacity_by_zone", says(by_zone, "Of a zone that is not named only the pool's capacity binds.")),
    ];
    let schema = closed(always, sometimes);
    let about = "The whole configuration: but for its version, a pool_put that would change nothing.";
    let either = json!([{"required": ["capacity"]}, {"required": ["capacity_schedule"]}]);
    with(with(says(schema, about), "oneOf", either), "title", json!("Pool"))
}

const CODES: [&str; 25] = [
    "invalid_json",
    "invalid_request",
    "payload_too_large",
    "invalid_idempotency_key",
    "tenant_mismatch",
    "idempotency_key_conflict",
    "deadline_exceeded",
    "not_found",
    "unknown_pool",
    "unknown_verb",
    "duration_out_of_policy",
    "not_cancellable",
    "not_extendable",
    "not_pausable",
    "not_reducible",
    "pool_disabled",
    "invalid_state",
    "hold_expired",
    "lead_time_violation",
    "quota_exceeded",
    "insufficient_capacity",
    "price_above_max",
    "overloaded",
    "unavailable",
    "unknown_outcome",
];

const REASONS: [FieldReason; 11] = [
    FieldReason::MissingField,
    FieldReason::UnknownField,
    FieldReason::DuplicateField,
    FieldReason::WrongType,
    FieldReason::OutOfRange,
    FieldReason::InvalidTimestamp,
    FieldReason::InvalidInterval,
    FieldReason::Misaligned,
    FieldReason::InvalidString,
    FieldReason::InvalidId,
    FieldReason::TooManyItems,
];

/// The details that a code brings with it; an empty object for every other code.
fn details() -> Vec<(&'static str, Value)> {
    let shortfall = closed(
        vec![
            ("start_time", instant()),
            ("end_time", instant()),
            ("requested", integer(0)),
            ("available", says(integer(0), "The fewest units free at any instant of it.")),
        ],
        vec![("zone", says(text(), "The zone in which they are missing; absent: in the pool."))],
    );
    let field = || says(text(), "Its path, such as intervals[1].quantity.");
    let seconds = || nullable(integer(0));
    let reasons = one_of(REASONS.into_iter().map(FieldReason::name));
    vec![
        ("invalid_request", closed(vec![("field", field()), ("reason", reasons)], vec![])),
        ("payload_too_large", closed(vec![("bytes_max", integer(1))], vec![])),
        ("idempotency_key_conflict", closed(vec![("field", field())], vec![])),
        (
            "duration_out_of_policy",
            closed(vec![("duration_min_seconds", seconds()), ("duration_max_seconds", seconds())], vec![]),
        ),
        (
            "invalid_state",
            json!({"oneOf": [
                closed(vec![("status", status()), ("allowed", array(status()))], vec![]),
                closed(vec![("resources", says(array(text()), "Of `register`: what is held that would conflict."))], vec![])
            ]}),
        ),
        ("lead_time_violation", closed(vec![("earliest_start_time", instant())], vec![])),
        ("quota_exceeded", tenant::exceeded_schema()),
        (
            "insufficient_capacity",
            closed(
                vec![("intervals", array(shortfall)), ("offers", offer::schema())],
                schema_operator::beside_shortfalls(),
            ),
        ),
        ("price_above_max", closed(vec![("unit_price_cents", integer(0))], vec![])),
        ("overloaded", closed(vec![("retry_after_ms", integer(0))], vec![])),
    ]
}

fn error() -> Value {
    let code = |code: &str| json!({"properties": {"code": {"const": code}}});
    let detailed = details();
    let bare: Vec<&str> =
        CODES.into_iter().filter(|code| detailed.iter().all(|(detailed, _)| detailed != code)).collect();
    let empty = json!({"type": "object", "maxProperties": 0});
    let mut rules: Vec<Value> = detailed
        .into_iter()
        .map(|(name, details)| json!({"if": code(name), "then": {"properties": {"details": details}}}))
        .collect();
    rules.push(json!({
        "if": {"properties": {"code": {"enum": bare}}},
        "then": {"properties": {"details": empty}}
    }));
    let inner = closed(
        vec![
            ("code", json!({"type": "string", "enum": CODES})),
            ("message", says(text(), "One sentence for a person; never repeats what was sent.")),
            ("retryable", says(json!({"type": "boolean"}), "May the same request, sent again, come out otherwise?")),
            ("details", json!({"type": "object"})),
        ],
        vec![],
    );
    let schema = closed(vec![("error", with(inner, "allOf", json!(rules)))], vec![]);
    with(says(schema, "A refusal."), "title", json!("Error"))
}

/// A lock or a reservation after the change, and what changed beside it.
fn event() -> Value {
    let kinds = || ["reservation", "lock"].into_iter();
    let types = EventType::ALL.map(EventType::name);
    let names: Vec<String> = kinds().flat_map(|kind| types.map(|name| format!("berth.{kind}.{name}.v1"))).collect();
    let schema = closed(
        vec![
            ("specversion", json!({"const": "1.0"})),
            ("id", says(id(), "The same however often the event is delivered.")),
            ("source", json!({"type": "string", "pattern": "^/berth/[a-z0-9][a-z0-9-]{0,62}$"})),
            ("type", json!({"type": "string", "enum": names})),
            ("subject", says(id(), "The reservation_id or lock_id.")),
            ("time", says(instant(), "When it was decided.")),
            ("datacontenttype", json!({"const": "application/json"})),
            ("data", json!({"oneOf": [credited(changed(reservation(true))), changed(lock())]})),
        ],
        vec![],
    );
    with(says(schema, "A lifecycle event, CloudEvents 1.0: one for each version."), "title", json!("Event"))
}

/// The fields of an event's data: those of the hold, and these.
fn changed(mut hold: Value) -> Value {
    let fields = [
        ("effective_at", says(instant(), "The instant from which it counts.")),
        ("previous_status", says(nullable_status(), "null on the first event.")),
        ("actor", says(text(), "As told by Berth-Actor; not trusted.")),
        ("traceparent", text()),
    ];
    if let Some(Value::Object(properties)) = hold.get_mut("properties") {
        properties.extend(fields.map(|(name, schema)| (name.to_owned(), schema)));
    }
    if let Some(Value::Array(required)) = hold.get_mut("required") {
        required.extend([json!("effective_at"), json!("previous_status")]);
    }
    hold
}

/// What a reservation's event gives back.
fn credited(mut reservation: Value) -> Value {
    let fields = [
        ("return_credit_cents", says(integer(0), "Credited for what this gives back: ended, reduced, canceled.")),
        ("pause_credit_cents", says(integer(0), "Credited for what was paused until this, since the credit before.")),
    ];
    if let Some(Value::Object(properties)) = reservation.get_mut("properties") {
        properties.extend(fields.map(|(name, schema)| (name.to_owned(), schema)));
    }
    reservation
}

fn nullable_status() -> Value {
    let names: Vec<Value> = Status::ALL.into_iter().map(|status| json!(status.name())).chain([Value::Null]).collect();
    json!({"enum": names})
}
