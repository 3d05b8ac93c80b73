//! Schemas of the replies about locks.

use serde_json::{Value, json};

use super::super::schema_dry_run::mark;
use super::{array, closed, id, instant, integer, nullable, says, terminated, text};

pub fn lock_reply() -> Value {
    let statuses = ["ACQUIRED", "ALREADY_HAD", "ALREADY_HELD", "NOT_AVAILABLE", "NOT_VALID", "QUEUED"];
    let slots = json!({"type": "object", "additionalProperties": text()});
    let own = "The caller's own claim only: null where it has none, and where a dry run would make one.";
    closed(
        vec![
            ("resource", text()),
            ("requester", text()),
            ("status", json!({"type": "string", "enum": statuses})),
            ("explanation", says(text(), "One sentence for a person.")),
            ("release_token", says(nullable(id()), own)),
            ("fencing_token", says(nullable(integer(0)), own)),
            ("expires_at", says(nullable(instant()), "Of its own claim; of QUEUED when its wait runs out.")),
            ("acquired_slots", says(nullable(slots), "By resource the name of the slot, of those that have several.")),
            ("acquired_blockers", says(nullable(array(text())), "What was taken with it.")),
            ("reserved_at_path", says(nullable(text()), "Where it stands in a tree: names with > between them.")),
            ("lock_id", says(nullable(id()), own)),
        ],
        vec![
            ("position", says(integer(1), "QUEUED only: its place in the queue.")),
            (
                "estimated_wait_seconds",
                says(
                    nullable(integer(0)),
                    "QUEUED only: if all before it hold as long as they said; null: without end.",
                ),
            ),
            mark(),
        ],
    )
}

pub fn unlock_reply() -> Value {
    let statuses = json!({"type": "string", "enum": ["RELINQUISHED", "NOT_RESERVED", "DOESNT_OWN_RESERVATION"]});
    let released = says(array(text()), "Every slot, or name of a resource that has none, that came free.");
    closed(
        vec![("requester", text()), ("resource", text()), ("status", statuses), ("released", released)],
        vec![mark()],
    )
}

pub fn renew_reply() -> Value {
    let statuses = json!({"type": "string", "enum": ["RENEWED", "NOT_RESERVED", "DOESNT_OWN_RESERVATION"]});
    closed(
        vec![
            ("resource", text()),
            ("status", statuses),
            ("expires_at", nullable(instant())),
            ("fencing_token", nullable(integer(0))),
        ],
        vec![mark()],
    )
}

pub fn check_reply() -> Value {
    closed(
        vec![
            ("resource", text()),
            ("is_reserved", says(json!({"type": "boolean"}), "Nobody else could lock it now in exclusive mode.")),
            ("holder", says(nullable(text()), "The requester that holds it, or what stands in its way in its tree.")),
            ("expires_at", nullable(instant())),
            ("fencing_token", nullable(integer(0))),
            ("waiting", says(integer(0), "How many wait for it.")),
        ],
        vec![("holders", says(array(holder()), "Where there are several: each."))],
    )
}

fn holder() -> Value {
    closed(
        vec![
            ("holder", says(text(), "The requester.")),
            ("lock_id", id()),
            ("mode", json!({"type": "string", "enum": ["exclusive", "shared"]})),
            ("slot", nullable(text())),
            ("expires_at", nullable(instant())),
            ("fencing_token", integer(1)),
        ],
        vec![],
    )
}

pub fn transact_reply() -> Value {
    let about = "One for each request: the reply that it would get alone, {\"error\"} where it is refused, ROLLED_BACK \
                 where it was undone with the others, SKIPPED behind FIRST's winner.";
    let untouched = closed(vec![("status", json!({"type": "string", "enum": ["ROLLED_BACK", "SKIPPED"]}))], vec![]);
    let reservation = json!({"$ref": "reservation.json"});
    let error = json!({"$ref": "error.json"});
    let result = json!({"anyOf": [lock_reply(), unlock_reply(), reservation, terminated(vec![]), error, untouched]});
    closed(
        vec![
            ("status", json!({"type": "string", "enum": ["SUCCESS", "PARTIAL", "FAILED"]})),
            ("results", says(array(result), about)),
        ],
        vec![],
    )
}

/// `register`.
pub fn registered() -> Value {
    resource(vec![], vec![mark()])
}

/// As `resources` shows it.
pub fn held() -> Value {
    resource(vec![("holders", says(array(holder()), "The claims that hold it."))], vec![])
}

fn resource(more: Vec<(&'static str, Value)>, sometimes: Vec<(&'static str, Value)>) -> Value {
    let mut always = vec![
        ("name", text()),
        ("version", integer(1)),
        ("capacity", says(integer(1), "How many may hold it at once.")),
        ("slots", says(nullable(array(text())), "Their names, where there are several.")),
        ("blocks", array(text())),
        ("tree_path", says(nullable(text()), "Names with > between them, from the root to its own.")),
        ("resource_type", nullable(text())),
        ("lock_delay_seconds", integer(0)),
    ];
    always.extend(more);
    closed(always, sometimes)
}
