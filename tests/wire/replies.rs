//! Replies and events, byte for byte.

use berth::domain::command::ListCursor;
use berth::domain::command::{Command, Query};
use berth::domain::hold::Status;
use berth::domain::id::{Requester, ResourceName};
use berth::domain::outcome::{
    Answer, LockAnswer, LockStatus, Outcome, Refusal, ReleaseStatus, RenewAnswer, RenewStatus, Terminated, UnlockAnswer,
};
use berth::domain::resource::Pool;
use berth::wire::event;
use berth::wire::reply::{self, Encoded};
use berth::wire::verb::Verb;
use serde_json::{Value, json};

use crate::samples::{
    ID, at, bare_reservation, command, events, hold_id, lock, pools, query, refusals, reservation, units,
};

pub fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn text(encoded: Encoded) -> String {
    assert_eq!(encoded.error, None);
    String::from_utf8(encoded.body).unwrap()
}

fn name(text: &str) -> ResourceName {
    ResourceName::parse(text).unwrap()
}

pub fn lock_answer(status: LockStatus) -> Answer {
    let requester = Requester::parse("worker-1").unwrap();
    Answer::Lock(LockAnswer { requester, resource: name("job \"42\""), status, claim: Some(lock()) })
}

pub fn unlock_answer(status: ReleaseStatus) -> Answer {
    Answer::Unlock(UnlockAnswer { requester: Requester::parse("a").unwrap(), resource: name("x"), status })
}

pub fn renew_answer(status: RenewStatus) -> Answer {
    let claim = (status == RenewStatus::Renewed).then(lock);
    Answer::Renew(RenewAnswer { resource: name("x"), status, claim })
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
fn a_lock_shows_its_claim_to_its_holder_only() {
    let acquired = text(reply::outcome(&Ok(lock_answer(LockStatus::Acquired))));
    let expected = r#"{"resource":"job \"42\"","requester":"worker-1","status":"ACQUIRED","explanation":"The lock is now held by the requester.","release_token":"a3f8c2d1-4b5e-4d2d-b1cb-19d0d0a14562","fencing_token":7,"expires_at":"2026-04-29T02:01:00Z","acquired_slots":null,"acquired_blockers":null,"reserved_at_path":null,"lock_id":"9f67b8f7-7b91-4d2d-b1cb-19d0d0a14562"}"#;
    assert_eq!(acquired, expected);
    let held = parse(&reply::outcome(&Ok(lock_answer(LockStatus::AlreadyHeld))).body);
    for field in ["release_token", "fencing_token", "expires_at", "lock_id"] {
        assert_eq!(held.get(field), Some(&Value::Null), "{field}");
    }
}

#[test]
fn an_unlock_tells_what_it_released() {
    let told = |status| text(reply::outcome(&Ok(unlock_answer(status))));
    assert_eq!(
        told(ReleaseStatus::Relinquished),
        r#"{"requester":"a","resource":"x","status":"RELINQUISHED","released":["x"]}"#
    );
    for status in [ReleaseStatus::NotReserved, ReleaseStatus::DoesntOwnReservation] {
        assert!(told(status).ends_with(r#""released":[]}"#));
    }
}

#[test]
fn a_renewal_tells_the_expiry_and_the_fence() {
    let told = |status| text(reply::outcome(&Ok(renew_answer(status))));
    assert_eq!(
        told(RenewStatus::Renewed),
        r#"{"resource":"x","status":"RENEWED","expires_at":"2026-04-29T02:01:00Z","fencing_token":7}"#
    );
    assert_eq!(
        told(RenewStatus::NotReserved),
        r#"{"resource":"x","status":"NOT_RESERVED","expires_at":null,"fencing_token":null}"#
    );
}

#[test]
fn a_refused_item_stands_in_its_place_without_headers() {
    let encoded = reply::outcome(&several());
    assert_eq!(encoded.error, None);
    let body = parse(&encoded.body);
    assert_eq!((&body[0]["status"], &body[1]["error"]["code"]), (&json!("ACQUIRED"), &json!("deadline_exceeded")));
}

#[test]
fn check_answers_an_object_or_an_array() {
    let held = (name("job \"42\""), Some(lock()));
    let one = text(reply::check(std::slice::from_ref(&held), false));
    let expected = r#"{"resource":"job \"42\"","is_reserved":true,"holder":"worker-1","expires_at":"2026-04-29T02:01:00Z","fencing_token":7}"#;
    assert_eq!(one, expected);
    let free = r#"{"resource":"x","is_reserved":false,"holder":null,"expires_at":null,"fencing_token":null}"#;
    assert_eq!(text(reply::check(&[(name("x"), None)], true)), format!("[{free}]"));
    assert_eq!(text(reply::check(&[held, (name("x"), None)], true)), format!("[{expected},{free}]"));
}

#[test]
fn verify_repeats_the_token_that_was_asked_about() {
    assert_eq!(text(reply::verify(7, Some(7))), r#"{"current":true,"fencing_token":7}"#);
    assert_eq!(text(reply::verify(7, Some(8))), r#"{"current":false,"fencing_token":7}"#);
    assert_eq!(text(reply::verify(7, None)), r#"{"current":false,"fencing_token":7}"#);
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
