//! Dry runs, from the request to the reply.

use berth::domain::hold::Hold;
use berth::domain::outcome::{Answer, LockAnswer, LockStatus};
use berth::wire::reply;
use berth::wire::request::{Decoded, Headers, decode};
use berth::wire::verb::Verb;
use serde_json::{Value, json};

use crate::lock_replies::lock_answer;
use crate::replies::{parse, terminated};
use crate::samples::{ID, REQUESTS, canonical, lock, reservation, tenant};

const KEYED: Headers<'_> = Headers {
    idempotency_key: Some("order-1"),
    actor: None,
    not_after: None,
    traceparent: None,
    tracestate: None,
    are_unreadable: false,
};

fn decoded(verb: Verb, body: &str, headers: &Headers<'_>) -> Decoded {
    decode(verb, Some(&tenant()), headers, body.as_bytes()).unwrap()
}

/// The sample with a member more.
fn with(body: &str, member: &str) -> String {
    format!("{},{member}}}", body.trim_end().strip_suffix('}').unwrap())
}

#[test]
fn every_command_upon_reservations_locks_pools_and_tenants_has_a_dry_run_that_ignores_its_key() {
    let of_reservations = [Verb::Reserve, Verb::Confirm, Verb::Extend, Verb::Terminate, Verb::Cancel, Verb::Update];
    let of_locks = [Verb::Lock, Verb::Unlock, Verb::Renew, Verb::Register];
    let of_the_operator = [Verb::PoolPut, Verb::TenantPut, Verb::ReservationTerminate, Verb::LockRelease];
    let is_sampled = |(verb, body): &&(Verb, &str)| {
        let has_one = of_reservations.contains(verb) || of_locks.contains(verb) || of_the_operator.contains(verb);
        has_one && !body.contains("dry_run") && !body.starts_with('[')
    };
    for (verb, body) in REQUESTS.iter().filter(is_sampled) {
        let dry = decoded(*verb, &with(body, r#""dry_run":true"#), &KEYED);
        assert!(dry.is_dry_run && dry.key.is_none(), "{}", verb.name());
        let wrong = Headers { idempotency_key: Some("no such key"), ..KEYED };
        assert!(decoded(*verb, &with(body, r#""dry_run":true"#), &wrong).key.is_none(), "not even looked at");
        let real = decoded(*verb, &with(body, r#""dry_run":false"#), &KEYED);
        assert!(!real.is_dry_run && real.key.is_some(), "{}", verb.name());
        assert_eq!(canonical(*verb, &with(body, r#""dry_run":false"#)), canonical(*verb, body), "the default");
    }
}

#[test]
fn its_answer_is_that_of_the_command_with_a_mark() {
    let marked = |answer: Answer| parse(&reply::outcome(&Ok(Answer::DryRun(Box::new(answer)))).body);
    let plain = |answer: Answer| parse(&reply::outcome(&Ok(answer)).body);
    let with_mark = |mut body: Value| {
        body["dry_run"] = json!(true);
        body
    };
    let changed = || Answer::Reservation(Box::new(reservation()));
    assert_eq!(marked(changed()), with_mark(plain(changed())));
    assert_eq!(marked(terminated()), with_mark(plain(terminated())));
    let mut unborn = reservation();
    unborn.version = 0;
    let body = marked(Answer::Reservation(Box::new(unborn)));
    assert_eq!((&body["reservation_id"], &body["version"]), (&Value::Null, &json!(0)));
}

#[test]
fn a_lock_that_nobody_has_shows_no_id_no_token_and_no_fence() {
    let shown = |claim: Hold, status| {
        let Answer::Lock(answer) = lock_answer(status) else { panic!() };
        let answer = Answer::Lock(LockAnswer { claim: Some(claim), ..answer });
        let body = parse(&reply::outcome(&Ok(Answer::DryRun(Box::new(answer)))).body);
        crate::schemas::Schemas::new().assert_valid("lock.reply.json", &body);
        body
    };
    let mut unborn = lock();
    unborn.version = 0;
    unborn.lock_mut().unwrap().fencing_token = 0;
    let told = shown(unborn, LockStatus::Acquired);
    assert_eq!((&told["dry_run"], &told["expires_at"]), (&json!(true), &json!("2026-04-29T02:01:00Z")));
    for field in ["lock_id", "release_token", "fencing_token"] {
        assert_eq!(told[field], Value::Null, "{field}");
    }
    let told = shown(lock(), LockStatus::AlreadyHad);
    assert_eq!((&told["lock_id"], &told["fencing_token"]), (&json!(ID), &json!(7)), "what there is");
}
