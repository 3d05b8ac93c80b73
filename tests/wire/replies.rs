//! Replies and events, byte for byte.

use berth::domain::command::ListCursor;
use berth::domain::command::{Command, Query};
use berth::domain::hold::Status;
use berth::domain::id::ResourceName;
use berth::domain::outcome::{Answer, LockStatus, Outcome, Refusal, Terminated};
use berth::domain::resource::Pool;
use berth::wire::event;
use berth::wire::reply::{self, Encoded};
use berth::wire::verb::Verb;
use serde_json::{Value, json};

use crate::lock_replies::lock_answer;
use crate::samples::{
    ID, at, bare_reservation, command, events, hold_id, lock, pools, query, refusals, reservation, units,
};

pub fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

pub fn text(encoded: Encoded) -> String {
    assert_eq!(encoded.error, None);
    String::from_utf8(encoded.body).unwrap()
}

pub fn name(text: &str) -> ResourceName {
    ResourceName::parse(text).unwrap()
}

pub fn terminated() -> Answer {
    let (terminated_units, already_terminated) = (units(&[0, 1]), units(&[7]));
    Answer::Terminated(Box::new(Terminated {
        hold: reservation(),
        terminated_units,
        already_terminated,
        credit_cents: 5,
    }))
}

pub fn several() -> Outcome {
    Ok(Answer::Several(vec![Ok(lock_answer(LockStatus::Acquired)), Err(Refusal::DeadlineExceeded)]))
}

const RESERVATION: &str = r#"{"reservation_id":"9f67b8f7-7b91-4d2d-b1cb-19d0d0a14562","tenant":"acme","kind":"reservation","name":"nightly","pool":"gpu","instance_type":null,"region":null,"status":"Active","intervals":[{"start_time":"2026-04-29T02:00:00Z","end_time":"2026-04-29T02:15:00Z","quantity":2},{"start_time":"2026-04-29T02:15:00Z","end_time":"2026-04-29T02:30:00Z","quantity":3}],"start_time":"2026-04-29T02:00:00Z","end_time":"2026-04-29T02:30:00Z","quantity":3,"units":["9f67b8f7-7b91-4d2d-b1cb-19d0d0a14562.0","9f67b8f7-7b91-4d2d-b1cb-19d0d0a14562.1"],"launch_specification":{"volumes":["v"],"ssh_keys":[],"startup_script":"echo \"secret\"","memory_gb":4},"tags":{"team":"a"},"offer_key":"standard","unit_price_cents":100,"total_price_cents":125,"ending_soon_at":null,"created_at":"2026-04-29T02:00:00.123456Z","created_by":"ann","version":2}"#;

#[test]
fn a_reservation_is_answered_in_the_documented_order() {
    assert_eq!(text(reply::reservation(&reservation())), RESERVATION);
    assert_eq!(text(reply::outcome(&Ok(Answer::Reservation(Box::new(reservation()))))), RESERVATION);
}

#[test]
fn what_a_reservation_does_not_say_is_null_or_left_out() {
    let bare = parse(&reply::reservation(&bare_reservation()).body);
    for field in ["name", "launch_specification", "tags", "instance_type"] {
        assert_eq!(bare.get(field), Some(&Value::Null), "{field}");
    }
    assert_eq!(bare.get("created_by"), None);
    assert_eq!(bare["end_reason"], "terminated");
    assert_eq!(
        (&bare["deactivated_at"], &bare["hold_expires_at"]),
        (&json!("2026-04-29T02:01:00Z"), &json!("2026-04-29T02:00:30Z"))
    );
}

#[test]
fn a_claim_of_a_lock_is_no_reservation() {
    assert_eq!(reply::reservation(&lock()).error, Some((404, "not_found".into())));
}

#[test]
fn a_termination_tells_its_units_and_credit() {
    let expected = format!(
        r#"{{"reservation":{RESERVATION},"terminated_units":["{ID}.0","{ID}.1"],"already_terminated":["{ID}.7"],"credit_cents":5}}"#
    );
    assert_eq!(text(reply::outcome(&Ok(terminated()))), expected);
}

#[test]
fn a_refused_item_stands_in_its_place_without_headers() {
    let encoded = reply::outcome(&several());
    assert_eq!(encoded.error, None);
    let body = parse(&encoded.body);
    assert_eq!((&body[0]["status"], &body[1]["error"]["code"]), (&json!("ACQUIRED"), &json!("deadline_exceeded")));
}

#[test]
fn the_next_cursor_of_a_page_points_behind_its_last() {
    let holds = [bare_reservation(), reservation()];
    let cursor = |has_more, is_by_status| {
        parse(&reply::reservations(&holds, has_more, is_by_status).body)["next_cursor"].clone()
    };
    assert_eq!(cursor(false, false), Value::Null);
    for (is_by_status, sort_by, status) in [(false, "created_at", None), (true, "status", Some(Status::Active))] {
        let body = json!({"next_cursor": cursor(true, is_by_status), "sort_by": sort_by}).to_string();
        let Query::List(list) = query(Verb::List, &body) else { panic!() };
        assert_eq!(list.after, Some(ListCursor { status, id: hold_id() }));
        let other = json!({"next_cursor": cursor(true, !is_by_status), "sort_by": sort_by}).to_string();
        assert!(crate::samples::call(Verb::List, &other).is_err());
    }
    let page = parse(&reply::pools(&pools(), true).body);
    let Query::PoolList(next) = query(Verb::PoolList, &json!({"next_cursor": page["next_cursor"]}).to_string()) else {
        panic!()
    };
    assert_eq!(next.after.unwrap().as_str(), "gpu");
}

#[test]
fn a_pool_is_answered_as_a_request_that_changes_nothing() {
    for pool in pools() {
        let mut body = parse(&reply::pool(&pool).body);
        let version = body.as_object_mut().unwrap().remove("version");
        assert_eq!(version, Some(json!(pool.version)));
        let (Command::PoolPut(put), _) = command(Verb::PoolPut, &body.to_string()) else { panic!() };
        let again = Pool {
            name: put.pool,
            version: pool.version,
            capacity: put.capacity,
            instance_type: put.instance_type,
            region: put.region,
            policy: put.policy,
            offers: put.offers,
            instance_spec: put.instance_spec,
            tags: put.tags,
            zones: put.zones,
        };
        assert_eq!(again, pool);
    }
}

#[test]
fn every_refusal_is_encoded_with_its_number_and_code() {
    for refusal in refusals() {
        let encoded = reply::refusal(&refusal);
        assert_eq!(encoded.error, Some((refusal.number(), refusal.code().to_owned())));
        let error = &parse(&encoded.body)["error"];
        assert_eq!((&error["code"], &error["retryable"]), (&json!(refusal.code()), &json!(refusal.is_retryable())));
        assert_eq!(error["message"], refusal.to_string());
    }
    let shortfall = parse(&reply::refusal(&refusals()[20]).body);
    let interval = json!({"start_time": "2026-04-29T02:00:00Z", "end_time": "2026-04-29T02:15:00Z", "requested": 4, "available": 1});
    assert_eq!(shortfall["error"]["details"]["intervals"], json!([interval, interval]));
    let field = String::from_utf8(reply::refusal(&refusals()[1]).body).unwrap();
    assert_eq!(
        field,
        r#"{"error":{"code":"invalid_request","message":"The field intervals[1].quantity must be an integer from 1 to 10000.","retryable":false,"details":{"field":"intervals[1].quantity","reason":"out_of_range"}}}"#
    );
}

#[test]
fn an_event_is_a_cloudevent_around_the_hold() {
    let expected = format!(
        r#"{{"specversion":"1.0","id":"{}","source":"/berth/acme","type":"berth.reservation.active.v1","subject":"{ID}","time":"2026-04-29T02:00:01Z","datacontenttype":"application/json","data":{},"effective_at":"2026-04-29T02:00:00Z","previous_status":"Pending","actor":"ann","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}}}"#,
        hold_id().event_id(2),
        RESERVATION.replace(r#""startup_script":"echo \"secret\"","#, "").strip_suffix('}').unwrap(),
    );
    assert_eq!(String::from_utf8(event::encode(&events()[0])).unwrap(), expected);
}

#[test]
fn an_event_is_the_same_whether_or_not_a_reply_has_shown_its_hold_already() {
    for event in events() {
        let reply = reply::outcome(&Ok(Answer::Reservation(Box::new(event.hold.clone()))));
        assert_eq!(event::encode_with(&event, Some(&reply.body)), event::encode(&event));
    }
}

#[test]
fn an_event_never_shows_a_release_token_or_a_startup_script() {
    for event in events() {
        let body = String::from_utf8(event::encode(&event)).unwrap();
        for secret in ["release_token", "a3f8c2d1", "startup_script", "secret"] {
            assert!(!body.contains(secret), "{secret} in {body}");
        }
    }
    let lock = parse(&event::encode(&events()[2]));
    assert_eq!((&lock["type"], &lock["data"]["kind"]), (&json!("berth.lock.active.v1"), &json!("lock")));
    assert_eq!((&lock["data"]["fencing_token"], &lock["data"]["previous_status"]), (&json!(7), &Value::Null));
    assert_eq!(lock["time"], json!(berth_time(at(1))));
}

fn berth_time(at: berth::domain::window::Instant) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}
