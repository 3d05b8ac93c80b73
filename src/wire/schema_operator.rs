//! JSON Schemas of what the operator alone is answered with: beside the structs of `reply_operator` and `refusal`.

use serde_json::{Value, json};

use super::schema_dry_run;
use super::schema_reply::{array, closed, id, instant, integer, nullable, one_of, says, text};

/// `pool_put`, or its dry run: the pool, or, where reservations had to go, the pool and who went. `reference` leads to
/// the schema of a pool.
pub fn pool_put(reference: Value, pool: Value) -> Value {
    let lowered = lowered(pool.clone());
    json!({"anyOf": [reference, lowered, schema_dry_run::marked(pool), schema_dry_run::marked(lowered)]})
}

/// `pool_put`, where reservations had to go: the pool, and who went.
fn lowered(mut pool: Value) -> Value {
    let withdrawn = closed(
        vec![
            ("reservation_id", id()),
            ("tenant", text()),
            ("status", one_of(["Canceled", "Ended"].into_iter())),
            ("quantity", says(integer(0), "The most units that it held.")),
            ("credit_cents", integer(0)),
        ],
        vec![],
    );
    let withdrawn = says(array(withdrawn), "Ended with `capacity_withdrawn`, in this order: the first 1,000.");
    let count = says(integer(1), "How many there were.");
    if let Some(properties) = pool.get_mut("properties").and_then(Value::as_object_mut) {
        properties.extend([("withdrawn".to_owned(), withdrawn), ("withdrawn_count".to_owned(), count)]);
    }
    if let Some(required) = pool.get_mut("required").and_then(Value::as_array_mut) {
        required.extend([json!("withdrawn"), json!("withdrawn_count")]);
    }
    pool
}

pub fn lock_released() -> Value {
    closed(
        vec![
            ("tenant", text()),
            ("resource", text()),
            ("status", one_of(["RELINQUISHED", "NOT_RESERVED"].into_iter())),
            ("requester", says(nullable(text()), "Who held it until now.")),
            ("released", array(text())),
        ],
        vec![],
    )
}

/// What a refused `extend` or `pool_put` has beside what does not fit.
pub fn beside_shortfalls() -> Vec<(&'static str, Value)> {
    let booked = closed(
        vec![
            ("reservation_id", id()),
            ("tenant", text()),
            ("quantity", says(integer(1), "The most units that it holds there.")),
        ],
        vec![],
    );
    vec![
        ("latest_end_time", says(instant(), "Of an extension: the latest end that it would be granted.")),
        ("reservations", says(array(booked), "Of `pool_put`: what is booked there, the oldest 100.")),
        ("reservation_count", says(integer(0), "Of `pool_put`: how many are booked there.")),
    ]
}
