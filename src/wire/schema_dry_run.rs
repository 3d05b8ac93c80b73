//! JSON Schemas (2020-12) of what a dry run is answered with.

use serde_json::{Value, json};

/// The member by which the answer to a dry run is known.
pub fn mark() -> (&'static str, Value) {
    ("dry_run", json!({"const": true, "description": "Nothing was changed."}))
}

/// The reply to a command, or to its dry run.
pub fn or_dry_run(reservation: Value) -> Value {
    json!({"oneOf": [reservation, {"$ref": "reservation_dry_run.json"}]})
}

/// A reservation as it would be.
pub fn reservation(mut schema: Value) -> Value {
    let (name, marked) = mark();
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.insert(name.into(), marked);
        if let Some(id) = properties.get_mut("reservation_id") {
            id["type"] = json!(["string", "null"]);
            id["description"] = json!("null for a reservation that would be new.");
        }
        let about = "The version that it would have; 0 for a reservation that would be new.";
        properties.insert("version".into(), json!({"type": "integer", "minimum": 0, "description": about}));
    }
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.push(name.into());
    }
    schema["title"] = json!("Reservation of a dry run");
    schema
}

/// What a dry run is answered with where the answer is otherwise that of the command.
pub fn marked(mut schema: Value) -> Value {
    let (name, mark) = mark();
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.insert(name.into(), mark);
    }
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.push(name.into());
    }
    schema
}

/// The reply to a command, or to its dry run.
pub fn or_marked(schema: Value) -> Value {
    json!({"anyOf": [schema, marked(schema.clone())]})
}
