//! Schemas of the replies about locks.

use serde_json::{Value, json};

use super::{array, closed, id, instant, integer, nullable, says, text};

pub fn lock_reply() -> Value {
    let own = "The caller's own claim only: null for ALREADY_HELD.";
    closed(
        vec![
            ("resource", text()),
            ("requester", text()),
            ("status", json!({"type": "string", "enum": ["ACQUIRED", "ALREADY_HAD", "ALREADY_HELD"]})),
            ("explanation", says(text(), "One sentence for a person.")),
            ("release_token", says(nullable(id()), own)),
            ("fencing_token", says(nullable(integer(0)), own)),
            ("expires_at", says(nullable(instant()), own)),
            ("acquired_slots", json!({"type": "null"})),
            ("acquired_blockers", json!({"type": "null"})),
            ("reserved_at_path", json!({"type": "null"})),
            ("lock_id", says(nullable(id()), own)),
        ],
        vec![],
    )
}

pub fn unlock_reply() -> Value {
    let statuses = json!({"type": "string", "enum": ["RELINQUISHED", "NOT_RESERVED", "DOESNT_OWN_RESERVATION"]});
    closed(vec![("requester", text()), ("resource", text()), ("status", statuses), ("released", array(text()))], vec![])
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
        vec![],
    )
}

pub fn check_reply() -> Value {
    closed(
        vec![
            ("resource", text()),
            ("is_reserved", json!({"type": "boolean"})),
            ("holder", says(nullable(text()), "The requester that holds it.")),
            ("expires_at", nullable(instant())),
            ("fencing_token", nullable(integer(0))),
        ],
        vec![],
    )
}
