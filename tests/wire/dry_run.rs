//! Dry runs, from the request to the reply.

use berth::domain::outcome::Answer;
use berth::wire::reply;
use berth::wire::request::{Decoded, Headers, decode};
use berth::wire::verb::Verb;
use serde_json::{Value, json};

use crate::replies::{parse, terminated};
use crate::samples::{REQUESTS, canonical, reservation, tenant};

const KEYED: Headers<'_> =
    Headers { idempotency_key: Some("order-1"), actor: None, not_after: None, traceparent: None, tracestate: None };

fn decoded(verb: Verb, body: &str, headers: &Headers<'_>) -> Decoded {
    decode(verb, Some(&tenant()), headers, body.as_bytes()).unwrap()
}

/// The sample with a member more.
fn with(body: &str, member: &str) -> String {
    format!("{},{member}}}", body.trim_end().strip_suffix('}').unwrap())
}

#[test]
fn every_command_upon_a_reservation_a_pool_or_a_tenant_has_a_dry_run_that_ignores_its_key() {
    let of_tenants = [Verb::Reserve, Verb::Confirm, Verb::Extend, Verb::Terminate, Verb::Cancel, Verb::Update];
    let verbs = of_tenants.into_iter().chain([Verb::PoolPut, Verb::TenantPut, Verb::ReservationTerminate]);
    let verbs: Vec<Verb> = verbs.collect();
    for (verb, body) in REQUESTS.iter().filter(|(verb, body)| verbs.contains(verb) && !body.contains("dry_run")) {
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
