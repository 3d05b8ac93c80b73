//! Schemas of the replies to what is asked before something is reserved.

use serde_json::{Value, json};

use super::{array, closed, instant, integer, interval, nullable, page, says, tags, text};

fn available() -> Value {
    json!({"type": "boolean"})
}

/// One form for each mode.
pub fn availability() -> Value {
    let latest = says(nullable(instant()), "The latest end that fits from that start on; null where nothing fits.");
    let slot = says(interval(), "The most that one reservation could have, the same over the whole slot.");
    json!({
        "description": "latest_end_time: until when it could be had. check: whether. slots: what is free, over time.",
        "oneOf": [
            closed(vec![("available", available()), ("latest_end_time", latest)], vec![]),
            closed(vec![("available", available())], vec![]),
            array(slot)
        ]
    })
}

pub fn find() -> Value {
    let window = closed(
        vec![("start_time", instant()), ("end_time", instant()), ("quantity", integer(1))],
        vec![("pool", says(text(), "Where several pools were asked for."))],
    );
    says(array(window), "The first windows that fit, by start, then in the order of the pools asked for.")
}

pub fn extension_availability() -> Value {
    let latest = says(instant(), "The latest end that extend would accept; the present one where there is no later.");
    closed(vec![("available", available()), ("latest_extension_time", latest)], vec![])
}

pub fn quote() -> Value {
    let cents = |about| says(integer(0), about);
    let offer = closed(
        vec![
            ("key", says(text(), "Name it as price_specification.offer_key.")),
            ("display_name", text()),
            ("unit_price", cents("Cents per unit-hour.")),
            ("return_buyback_price", cents("Cents credited per unit-hour given back.")),
            ("pause_buyback_price", cents("Cents credited per unit-hour paused.")),
            ("total_price", cents("Cents for the whole window.")),
            ("total_etbp_value", cents("Cents that giving all of it back would credit.")),
            ("total_fubp_value", cents("Cents that pausing all of it would credit.")),
            ("option_premium", cents("The part of the unit price that pays for the options, cents per unit-hour.")),
        ],
        vec![],
    );
    closed(vec![("offers", array(offer))], vec![])
}

/// Pools as tenants see them, by name.
pub fn pools(offer: Value) -> Value {
    let count = || integer(0);
    let mut always = vec![
        ("pool", text()),
        ("instance_type", nullable(text())),
        ("region", nullable(text())),
        ("instance_spec", json!({"type": ["object", "null"]})),
        ("offers", array(offer)),
        ("tags", tags()),
    ];
    let counts = ["grain_seconds", "quantity_step", "lead_time_seconds", "horizon_seconds", "intervals_max"];
    always.extend(counts.into_iter().chain(["ending_soon_seconds"]).map(|name| (name, count())));
    let limits = ["quantity_min", "quantity_max", "duration_min_seconds", "duration_max_seconds"];
    always.extend(limits.map(|name| (name, nullable(count()))));
    let rights = ["cancellable", "extendable", "pausable", "reducible"];
    always.extend(rights.map(|name| (name, json!({"type": "boolean"}))));
    page(says(closed(always, vec![]), "A pool that takes reservations, and what it lets its tenants do."))
}
