//! `update`, and the credits in events.

use berth::domain::command::Command;
use berth::domain::event::{Credits, Event};
use berth::domain::hold::Opaque;
use berth::wire::event;
use berth::wire::launch::with_volumes;
use berth::wire::verb::Verb;
use serde_json::{Value, json};

use crate::replies::parse;
use crate::samples::{ID, call, canonical, command, events, hold_id};

fn body(members: &str) -> String {
    format!(r#"{{"reservation_id":"{ID}"{members}}}"#)
}

#[test]
fn an_update_carries_what_was_sent_and_null_counts_as_absent() {
    let all = body(r#","tags":{"b":"2","a":""},"name":"n","volumes":["v-2","v-1","v-2"],"paused":false"#);
    let (Command::Update(update), canonical_form) = command(Verb::Update, &all) else { panic!() };
    assert_eq!((update.id, update.paused), (hold_id(), Some(false)));
    assert_eq!(update.name.unwrap().as_str(), "n");
    assert_eq!(update.tags.unwrap().as_str(), r#"{"a":"","b":"2"}"#);
    // In the order sent: it may mean something to whoever mounts them.
    assert_eq!(update.volumes.unwrap().volumes.as_str(), r#"["v-2","v-1","v-2"]"#);
    let expected = body(r#","paused":false,"volumes":["v-2","v-1","v-2"],"name":"n","tags":{"a":"","b":"2"}"#);
    assert_eq!(String::from_utf8_lossy(canonical_form.as_bytes()), expected);

    let nulls = body(r#","paused":null,"volumes":null,"name":null,"tags":null,"tenant":"acme""#);
    let (Command::Update(update), _) = command(Verb::Update, &nulls) else { panic!() };
    assert!(update.paused.is_none() && update.volumes.is_none() && update.name.is_none() && update.tags.is_none());
    assert_eq!(canonical(Verb::Update, &nulls), body(""));
    // What is empty replaces, so it is not the same as absent.
    let empty = body(r#","volumes":[],"tags":{}"#);
    let (Command::Update(update), _) = command(Verb::Update, &empty) else { panic!() };
    assert!(update.volumes.is_some() && update.tags.is_some());
    assert_eq!(canonical(Verb::Update, &empty), empty);
}

#[test]
fn another_update_under_the_same_key_is_told_by_its_first_difference() {
    let difference = |one: &str, other: &str| {
        let [one, other] = [one, other].map(|members| command(Verb::Update, &body(members)).1);
        one.first_difference(&other)
    };
    assert_eq!(difference("", ""), None);
    assert_eq!(difference(r#","paused":true"#, r#","paused":false,"name":"n""#), Some("paused".into()));
    assert_eq!(difference(r#","volumes":["a","b"]"#, r#","volumes":["a","c"]"#), Some("volumes[1]".into()));
    assert_eq!(difference(r#","tags":{}"#, ""), Some("tags".into()));
}

#[test]
fn an_update_is_refused_by_its_first_fault() {
    let reason = |members: &str| {
        let refusal = call(Verb::Update, &body(members)).unwrap_err();
        let details = parse(&berth::wire::reply::refusal(&refusal).body)["error"]["details"].clone();
        (details["field"].clone(), details["reason"].clone())
    };
    for (members, field, expected) in [
        (r#","paused":"yes""#, "paused", "wrong_type"),
        (r#","volumes":"v""#, "volumes", "wrong_type"),
        (r#","volumes":["a",1]"#, "volumes[1]", "wrong_type"),
        (r#","volumes":["a\nb"]"#, "volumes[0]", "invalid_string"),
        (r#","name":"""#, "name", "invalid_string"),
        (r#","tags":{"a":1}"#, "tags", "wrong_type"),
        (r#","end_time":"2026-04-29T02:00:00Z""#, "end_time", "unknown_field"),
        (r#","paused":true,"paused":true"#, "paused", "duplicate_field"),
    ] {
        assert_eq!(reason(members), (json!(field), json!(expected)), "{members}");
    }
}

#[test]
fn volumes_replace_those_of_the_launch_specification_and_nothing_else() {
    let put = |before: Option<&str>, volumes: &str| {
        let after = with_volumes(before.map(Opaque::new).as_ref(), &Opaque::new(volumes));
        after.map(|after| after.as_str().to_owned())
    };
    let before = r#"{"volumes":["a","]}\""],"ssh_keys":["volumes"],"startup_script":"{\"volumes\":[]}","memory_gb":4}"#;
    let after = r#"{"volumes":["b"],"ssh_keys":["volumes"],"startup_script":"{\"volumes\":[]}","memory_gb":4}"#;
    assert_eq!(put(Some(before), r#"["b"]"#).as_deref(), Some(after));
    assert_eq!(put(Some(before), r#"["a","]}\""]"#).as_deref(), Some(before), "the same");
    assert_eq!(put(None, r#"["b"]"#).as_deref(), Some(r#"{"volumes":["b"],"ssh_keys":[]}"#));
    assert_eq!(put(None, "[]"), None);
}

#[test]
fn an_event_tells_its_credits_where_it_gives_any() {
    let [active, _, _, mut reduced] = <[_; 4]>::try_from(events()).unwrap();
    let data = |event: &Event| parse(&event::encode(event))["data"].clone();
    for name in ["return_credit_cents", "pause_credit_cents"] {
        assert_eq!(data(&active).get(name), None);
    }
    assert_eq!((&data(&reduced)["return_credit_cents"], &data(&reduced)["pause_credit_cents"]), (&json!(5), &json!(0)));
    reduced.credits = Credits { return_cents: None, pause_cents: Some(i64::MAX) };
    assert_eq!(data(&reduced).get("return_credit_cents"), None);
    assert_eq!(data(&reduced)["pause_credit_cents"], Value::from(i64::MAX));
}
