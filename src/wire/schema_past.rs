//! JSON Schemas of what `history`, `usage` and `schedule` answer: beside the structs that `history` and `capacity`
//! write.

use serde_json::{Value, json};

use super::history::title;
use super::schema_reply::{array, closed, id, instant, integer, nullable, one_of, says, tags, text, unit};
use crate::domain::event::EventType;

pub(super) fn history() -> Value {
    let own = ["Terms Set", "Terms Changed", "Units Running", "Units Stopped"].map(str::to_owned);
    let types: Vec<String> = EventType::ALL.map(|it| title(it.name())).into_iter().chain(own).collect();
    let credit = |of| says(integer(0), of);
    let entry = closed(
        vec![
            ("timestamp", says(instant(), "The instant from which it counts.")),
            ("event_type", json!({"type": "string", "enum": types})),
        ],
        vec![
            ("user_id", says(text(), "As told by Berth-Actor; not trusted.")),
            ("unit_price_cents", says(integer(0), "Cents per unit-hour; of Terms Set and Terms Changed.")),
            ("pause_credit_cents", credit("Credited for time paused.")),
            ("return_credit_cents", credit("Credited for units given back.")),
            ("count", says(integer(1), "Units, within 60 seconds; of Units Running and Units Stopped.")),
        ],
    );
    let continues = "There is more before: ask again with this as as_of.";
    closed(
        vec![("reservation_id", id()), ("events", says(array(entry), "In the order of time."))],
        vec![("continues_as_of", says(instant(), continues))],
    )
}

fn cents(about: &str) -> Value {
    says(integer(0), about)
}

fn hours(about: &str) -> Value {
    let pattern = "^PT(0S|([0-9]+H)?([0-9]+M)?([0-9]+(\\.[0-9]{1,6})?S)?)$";
    says(json!({"type": "string", "format": "duration", "pattern": pattern}), about)
}

pub(super) fn usage() -> Value {
    closed(
        vec![
            ("reservation", reservation()),
            ("summary", summary()),
            ("grants", says(array(grant()), "In the order in which they were made, the latest 1,000.")),
            ("pricing_events", says(array(unit_change()), "What became of each unit, the latest 1,000.")),
            ("reservation_events", says(array(milestone()), "The latest 1,000.")),
        ],
        vec![],
    )
}

fn reservation() -> Value {
    closed(
        vec![
            ("reservation_id", id()),
            ("order_name", nullable(text())),
            ("start_date", instant()),
            ("end_date", instant()),
            ("status", one_of(["Open", "Allocated", "Paused", "Terminated"].into_iter())),
            ("committed_cost_cents", cents("What was agreed: the sum of the grants.")),
        ],
        vec![],
    )
}

fn summary() -> Value {
    closed(
        vec![
            ("committed_cost_cents", cents("What was agreed: the sum of the grants.")),
            ("flex_use_credits_cents", cents("Credited for time paused.")),
            ("early_termination_credits_cents", cents("Credited for units given back.")),
            ("net_cost_cents", says(json!({"type": "integer"}), "The cost less the credits.")),
            (
                "reserved_instance_hours",
                hours("Unit-hours of the intervals as they stand; none where it was given up."),
            ),
            ("active_instance_hours", hours("Unit-hours so far while Active.")),
            ("idle_instance_hours", hours("Unit-hours so far while Paused.")),
            ("as_of", instant()),
        ],
        vec![],
    )
}

fn grant() -> Value {
    closed(
        vec![
            ("grant_id", says(text(), "<reservation_id>/<n>, n from 0.")),
            ("starts_at", instant()),
            ("ends_at", instant()),
            ("quantity", integer(1)),
            ("unit_price_cents", cents("Cents per unit-hour.")),
            ("price_credit_cents", cents("Credited for time paused, while this was the latest grant.")),
            ("return_credit_cents", cents("Credited for units given back, while this was the latest grant.")),
        ],
        vec![],
    )
}

fn unit_change() -> Value {
    let statuses = ["STATUS_RUNNING", "STATUS_PAUSED", "STATUS_TERMINATED"].into_iter();
    closed(
        vec![
            ("id", says(id(), "The same however often it is asked for.")),
            ("occurred_at", instant()),
            ("instance_id", says(unit(), "The unit.")),
            ("instance_status", one_of(statuses)),
        ],
        vec![],
    )
}

fn milestone() -> Value {
    closed(
        vec![
            ("occurred_at", instant()),
            ("event_type", one_of(["Started", "Paused", "Extended"].into_iter())),
            ("reservation_name", nullable(text())),
        ],
        vec![],
    )
}

pub(super) fn capacity() -> Value {
    let step = closed(vec![("effective_at", instant()), ("node_allocation", integer(0))], vec![]);
    let total = "The first step at now less the history, no two neighbours equal, the last of 0 units.";
    let schedule = closed(
        vec![
            ("total", says(array(step.clone()), total)),
            ("by_zone", json!({"type": "object", "additionalProperties": array(step)})),
        ],
        vec![],
    );
    let none = || json!({"type": "array", "maxItems": 0});
    closed(
        vec![
            ("id", says(text(), "The pool's name.")),
            ("resource_path", says(text(), "berth:capacity:<tenant>:default:<pool>")),
            ("owner", says(text(), "The tenant.")),
            ("workspace", json!({"const": "default"})),
            ("name", text()),
            ("kind", json!({"const": "market"})),
            ("object", json!({"const": "capacity"})),
            ("zones", array(text())),
            ("allocation_schedule", says(schedule, "What the tenant holds of the pool over time, Held to Paused.")),
            ("created_at", says(instant(), "When the pool was configured first.")),
            ("procurements", none()),
            ("deployments", none()),
            ("tags", says(tags(), "Those of the pool.")),
        ],
        vec![],
    )
}
