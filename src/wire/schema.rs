//! JSON Schemas (2020-12) of requests, from the tables that decode them. What goes between fields and a schema can
//! tell stands beside each verb here; what it can't (overlaps, sums, order) is told in its description.

use serde_json::{Map, Value, json};

use super::instant;
use super::shape::{ByName, Constant, Field, Kind, List, Presence, Tags, Text};
use super::shapes::{self, ITEMS_MAX};
use super::verb::Verb;
use super::{schema_asyncapi, schema_reply};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Every generated document: its file name, and its content.
pub fn documents() -> Vec<(String, Value)> {
    let requests = Verb::ALL.into_iter().map(|verb| (format!("{}.request.json", verb.name()), request(verb)));
    let replies = Verb::ALL.into_iter().map(|verb| (format!("{}.reply.json", verb.name()), schema_reply::reply(verb)));
    let mut documents: Vec<(String, Value)> = requests
        .chain(replies)
        .chain(schema_reply::shared().map(|(name, schema)| (name.to_owned(), schema)))
        .map(|(name, schema)| (name.clone(), headed(&name, schema)))
        .collect();
    documents.push(("asyncapi.json".into(), schema_asyncapi::document()));
    documents
}

/// With the dialect, and an id that relative references are resolved against.
fn headed(name: &str, mut schema: Value) -> Value {
    if let Value::Object(members) = &mut schema {
        members.insert("$schema".into(), json!(DIALECT));
        members.insert("$id".into(), json!(format!("berth:/v1/{name}")));
    }
    schema
}

fn request(verb: Verb) -> Value {
    let mut schema = object(shapes::fields(verb));
    extend(&mut schema, rules(verb));
    if !shapes::takes_array(verb) {
        extend(&mut schema, json!({"title": format!("Request: {}", verb.name())}));
        return schema;
    }
    json!({
        "title": format!("Request: {}", verb.name()),
        "description": "An object, or an array of them: each decided on its own, in order, under one key.",
        "$defs": {"item": schema},
        "oneOf": [
            {"$ref": "#/$defs/item"},
            {"type": "array", "minItems": 1, "maxItems": ITEMS_MAX, "items": {
                "allOf": [{"$ref": "#/$defs/item"}, {"properties": {"dry_run": {"enum": [false, null]}}}]
            }}
        ]
    })
}

fn extend(schema: &mut Value, with: Value) {
    if let (Value::Object(members), Value::Object(with)) = (schema, with) {
        members.extend(with);
    }
}

/// A schema that holds where the field is given: `null` counts as absent.
fn given(name: &str) -> Value {
    json!({"required": [name], "properties": {name: {"not": {"type": "null"}}}})
}

fn all(names: &[&str]) -> Value {
    json!({"allOf": names.iter().map(|name| given(name)).collect::<Vec<_>>()})
}

fn absent(names: &[&str]) -> Value {
    json!({"not": {"anyOf": names.iter().map(|name| given(name)).collect::<Vec<_>>()}})
}

/// Exactly one of two ways of saying it: the fields of the one, and none of the other's.
fn either(one: &[&str], other: &[&str]) -> Value {
    json!({"oneOf": [{"allOf": [all(one), absent(other)]}, {"allOf": [all(other), absent(one)]}]})
}

fn rules(verb: Verb) -> Value {
    match verb {
        Verb::Reserve => json!({"allOf": [
            either(&["pool"], &["instance_type", "region"]),
            either(&["intervals"], &["start_time", "end_time", "quantity"])
        ]}),
        Verb::Terminate => {
            let part = json!({"properties": {"reduce_capacity": {"const": true}}, "required": ["reduce_capacity"]});
            json!({"oneOf": [
                {"allOf": [given("units"), absent(&["quantity"]), part]},
                {"allOf": [given("quantity"), absent(&["units"]), part]},
                absent(&["units", "quantity", "reduce_capacity"])
            ]})
        }
        Verb::Availability => json!({"allOf": [
            either(&["pool"], &["instance_type", "region"]),
            {"oneOf": [mode("slots"), mode("check"), mode("latest_end_time")]}
        ]}),
        Verb::Find => json!({"oneOf": [
            {"allOf": [given("pool"), absent(&["pools", "instance_type", "region"])]},
            {"allOf": [given("pools"), absent(&["pool", "instance_type", "region"])]},
            {"allOf": [all(&["instance_type", "region"]), absent(&["pool", "pools"])]}
        ]}),
        Verb::Quote => either(&["pool"], &["instance_type", "region"]),
        Verb::Schedule => either(&["pool"], &["id"]),
        Verb::Check => either(&["resource"], &["resources"]),
        Verb::PoolPut => json!({"allOf": [
            either(&["capacity"], &["capacity_schedule"]),
            {"oneOf": [all(&["instance_type", "region"]), absent(&["instance_type", "region"])]}
        ]}),
        Verb::Transact => json!({"oneOf": [
            items_of("RESERVE", &[("lock", Verb::Lock), ("reserve", Verb::Reserve)]),
            items_of("UNRESERVE", &[("unlock", Verb::Unlock), ("cancel", Verb::Cancel), ("terminate", Verb::Terminate)])
        ]}),
        _ => json!({}),
    }
}

/// A transaction of this type: each item is exactly one of these requests.
fn items_of(request_type: &str, verbs: &[(&str, Verb)]) -> Value {
    let others = |name: &str| -> Vec<&str> {
        ["lock", "reserve", "unlock", "cancel", "terminate"].into_iter().filter(|other| *other != name).collect()
    };
    let nothing = json!({"type": "null"});
    let left_out = json!({"wait_seconds": nothing, "tenant": nothing, "dry_run": {"enum": [false, null]}});
    let only = |(name, verb): &(&str, Verb)| {
        let mut request = rules(*verb);
        extend(&mut request, json!({"properties": left_out}));
        json!({"allOf": [given(name), absent(&others(name)), {"properties": {(*name): request}}]})
    };
    let items: Vec<Value> = verbs.iter().map(only).collect();
    json!({"properties": {"request_type": {"const": request_type}, "requests": {"items": {"oneOf": items}}}})
}

/// A mode of `availability` with its own fields, and none of the others'.
fn mode(name: &str) -> Value {
    let (needed, others): (&[&str], &[&str]) = match name {
        "slots" => (&["earliest_start_time", "latest_end_time"], &["start_time", "end_time", "quantity"]),
        "check" => (&["start_time", "end_time", "quantity"], &["earliest_start_time", "latest_end_time"]),
        _ => (&["start_time", "quantity"], &["end_time", "earliest_start_time", "latest_end_time"]),
    };
    // Absent, or null, it is the default.
    let is_asked = match name {
        "slots" | "check" => json!({"required": ["mode"], "properties": {"mode": {"const": name}}}),
        _ => json!({"properties": {"mode": {"enum": [name, null]}}}),
    };
    json!({"allOf": [is_asked, all(needed), absent(others)]})
}

fn object(fields: &[Field]) -> Value {
    let properties: Map<String, Value> = fields.iter().map(|field| (field.name.to_owned(), property(field))).collect();
    let required: Vec<&str> = fields.iter().filter(|field| field.is_required()).map(|field| field.name).collect();
    let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
    if !required.is_empty() {
        extend(&mut schema, json!({"required": required}));
    }
    schema
}

fn property(field: &Field) -> Value {
    let mut schema = kind(&field.kind);
    if !field.is_required() {
        or_null(&mut schema);
    }
    extend(&mut schema, json!({"description": field.about}));
    if let Presence::Default(constant) = field.presence {
        extend(&mut schema, json!({"default": default(constant)}));
    }
    schema
}

/// Lets `null` stand for an absent value.
fn or_null(schema: &mut Value) {
    let Value::Object(members) = schema else { return };
    if let Some(kind) = members.get_mut("type") {
        *kind = json!([kind, "null"]);
    }
    if let Some(Value::Array(names)) = members.get_mut("enum") {
        names.push(Value::Null);
    }
}

fn default(constant: Constant) -> Value {
    match constant {
        Constant::Boolean(value) => json!(value),
        Constant::Integer(value) => json!(value),
        Constant::Text(value) => json!(value),
        Constant::EmptyList => json!([]),
    }
}

fn kind(kind_: &Kind) -> Value {
    match kind_ {
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::Integer { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
        Kind::Text(Text { length_min, length_max, pattern, .. }) => {
            json!({"type": "string", "minLength": length_min, "maxLength": length_max, "pattern": pattern})
        }
        Kind::Choice(names) => json!({"type": "string", "enum": names}),
        Kind::Instant => json!({"type": "string", "format": "date-time", "pattern": instant::PATTERN}),
        Kind::Id => json!({"type": "string", "format": "uuid", "pattern": ID}),
        Kind::Unit => json!({"type": "string", "pattern": UNIT}),
        Kind::List(list) => list_schema(list),
        Kind::Object(fields) => object(fields),
        Kind::Tags(tags) => tags_schema(tags),
        Kind::ByName(ByName { name: Text { length_min, length_max, pattern, .. }, value, items_max }) => json!({
            "type": "object",
            "maxProperties": items_max,
            "propertyNames": {"minLength": length_min, "maxLength": length_max, "pattern": pattern},
            "additionalProperties": {"anyOf": [kind(value), {"type": "null"}]}
        }),
        Kind::OneOrList(one, list) => json!({"oneOf": [kind(one), list_schema(list)]}),
    }
}

fn list_schema(list: &List) -> Value {
    let List { item, items_min, items_max, is_set } = list;
    let items = kind(item);
    let mut schema = json!({"type": "array", "minItems": items_min, "maxItems": items_max, "items": items});
    if *is_set {
        extend(&mut schema, json!({"uniqueItems": true}));
    }
    schema
}

fn tags_schema(tags: &Tags) -> Value {
    let plain = r"^[^\u0000-\u001f\u007f-\u009f]*$";
    json!({
        "type": "object",
        "maxProperties": tags.items_max,
        "propertyNames": {"minLength": 1, "maxLength": tags.name_length_max, "pattern": plain},
        "additionalProperties": {"type": "string", "maxLength": tags.value_length_max, "pattern": plain}
    })
}

/// A UUID as requests may spell it.
const ID: &str = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$";
/// A unit's id as requests may spell it.
const UNIT: &str = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\\.(0|[1-9][0-9]*)$";
