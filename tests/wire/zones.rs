//! Zones and the operator's verbs: what is decoded, and what is answered.

use berth::domain::booked::VictimOrder;
use berth::domain::command::Command;
use berth::domain::outcome::{Answer, Refusal};
use berth::domain::resource::{Capacity, CapacityStep};
use berth::wire::reply;
use berth::wire::verb::Verb;
use serde_json::json;

use crate::replies::parse;
use crate::samples::{
    ID, ZONES, call, canonical, command, hold_id, lock, lock_released, lowered, still_booked, zoned_reservation,
};

#[test]
fn zones_are_a_set_and_each_may_have_a_capacity() {
    let (Command::PoolPut(put), _) = command(Verb::PoolPut, ZONES) else { panic!() };
    let zones: Vec<_> = put.zones.iter().map(|(zone, capacity)| (zone.as_str(), capacity.clone())).collect();
    let step = CapacityStep { effective_at: "2026-01-01T00:00:00Z".parse().unwrap(), quantity: 8 };
    let expected = [("C_1", None), ("a", Some(Capacity::Constant(4))), ("b", Some(Capacity::Schedule(vec![step])))];
    assert_eq!(zones, expected);
    assert_eq!(put.force, Some(VictimOrder::NewestFirst));
    for order in VictimOrder::ALL {
        let body = json!({"pool": "gpu", "capacity": 1, "force": order.name()}).to_string();
        let (Command::PoolPut(put), _) = command(Verb::PoolPut, &body) else { panic!() };
        assert_eq!(put.force, Some(order));
    }
}

#[test]
fn the_order_of_zones_and_what_is_left_out_make_no_difference() {
    let expected = r#"{"pool":"gpu","capacity":8,"zones":["C_1","a","b"],"capacity_by_zone":{"a":4,"b":[{"effective_at":"2026-01-01T00:00:00Z","quantity":8}]},"force":"newest_first"}"#;
    assert_eq!(canonical(Verb::PoolPut, ZONES), expected);
    let bare = r#"{"pool":"gpu","capacity":8}"#;
    let written = r#"{"pool":"gpu","capacity":8,"zones":[],"capacity_by_zone":{},"force":null}"#;
    assert_eq!(canonical(Verb::PoolPut, written), bare);
    let (_, four) = command(Verb::PoolPut, r#"{"pool":"gpu","capacity":8,"zones":["a"],"capacity_by_zone":{"a":4}}"#);
    let (_, five) = command(Verb::PoolPut, r#"{"pool":"gpu","capacity":8,"zones":["a"],"capacity_by_zone":{"a":5}}"#);
    assert_eq!(four.first_difference(&five).as_deref(), Some("capacity_by_zone"));
}

#[test]
fn what_is_wrong_with_zones_is_named() {
    let put = |rest: &str| format!(r#"{{"pool":"gpu","capacity":8,{rest}}}"#);
    let cases = [
        (r#""zones":"a""#, "zones wrong_type"),
        (r#""zones":["a",""]"#, "zones[1] invalid_string"),
        (r#""zones":["a","b","a"]"#, "zones[2] duplicate_field"),
        (r#""capacity_by_zone":{"a":1}"#, "capacity_by_zone.a out_of_range"),
        (r#""zones":["a"],"capacity_by_zone":[]"#, "capacity_by_zone wrong_type"),
        (r#""zones":["a"],"capacity_by_zone":{"a":"1"}"#, "capacity_by_zone.a wrong_type"),
        (r#""zones":["a"],"capacity_by_zone":{"a":-1}"#, "capacity_by_zone.a out_of_range"),
        (r#""zones":["a"],"capacity_by_zone":{"a":[]}"#, "capacity_by_zone.a out_of_range"),
        (r#""zones":["a"],"capacity_by_zone":{"a":1,"a":1}"#, "capacity_by_zone duplicate_field"),
        (r#""zones":["a"],"capacity_by_zone":{"a\"":1}"#, "capacity_by_zone invalid_string"),
        (
            r#""zones":["a"],"capacity_by_zone":{"a":[{"effective_at":"2026-01-01T00:00:00Z"}]}"#,
            "capacity_by_zone.a[0].quantity missing_field",
        ),
        (
            r#""zones":["a"],"capacity_by_zone":{"a":[{"effective_at":"2026-01-01T00:00:00Z","quantity":1},
                                                     {"effective_at":"2026-01-01T00:00:00Z","quantity":2}]}"#,
            "capacity_by_zone.a[1].effective_at out_of_range",
        ),
        (r#""force":"oldest""#, "force invalid_string"),
    ];
    for (rest, expected) in cases {
        let found = match call(Verb::PoolPut, &put(rest)) {
            Err(Refusal::InvalidRequest { field, reason, .. }) => format!("{field} {}", reason.name()),
            other => panic!("{rest}: {other:?}"),
        };
        assert_eq!(found, expected, "{rest}");
    }
}

#[test]
fn the_operators_verbs_name_the_tenant() {
    let body = format!(r#"{{"tenant":"globex","reservation_id":"{ID}"}}"#);
    let (Command::ReservationTerminate(terminate), _) = command(Verb::ReservationTerminate, &body) else { panic!() };
    assert_eq!((terminate.tenant.as_str(), terminate.id), ("globex", hold_id()));
    assert_eq!(
        canonical(Verb::ReservationTerminate, &body),
        format!(r#"{{"reservation_id":"{ID}","tenant":"globex"}}"#)
    );
    let (Command::LockRelease(release), _) = command(Verb::LockRelease, r#"{"tenant":"globex","resource":"r"}"#) else {
        panic!()
    };
    assert_eq!((release.tenant.as_str(), release.resource.as_str()), ("globex", "r"));
    for body in [r#"{"resource":"r"}"#, r#"{"tenant":"Globex","resource":"r"}"#] {
        let refusal = call(Verb::LockRelease, body).unwrap_err();
        assert!(matches!(refusal, Refusal::InvalidRequest { field, .. } if field == "tenant"), "{body}");
    }
}

#[test]
fn the_zone_is_shown_where_there_is_one() {
    let shown = parse(&reply::outcome(&Ok(Answer::Reservation(Box::new(zoned_reservation())))).body);
    assert_eq!(shown["zone"], "eu-1a");
}

#[test]
fn a_refused_pool_put_names_stretches_and_reservations() {
    let encoded = reply::refusal(&still_booked());
    assert_eq!(encoded.error, Some((409, "insufficient_capacity".to_owned())));
    let details = parse(&encoded.body)["error"]["details"].clone();
    let window = |zone: Option<&str>| {
        let mut window = json!({"start_time": "2026-04-29T02:00:00Z", "end_time": "2026-04-29T02:15:00Z",
                                "requested": 4, "available": 1});
        if let Some(zone) = zone {
            window["zone"] = json!(zone);
        }
        window
    };
    let expected = json!({
        "intervals": [window(None), window(Some("a"))],
        "offers": [],
        "reservations": [{"reservation_id": ID, "tenant": "acme", "quantity": 3}],
        "reservation_count": 7
    });
    assert_eq!(details, expected);
}

#[test]
fn a_lowered_pool_names_the_first_thousand_that_had_to_go() {
    let body = parse(&reply::outcome(&Ok(lowered())).body);
    assert_eq!((body["pool"].clone(), body["withdrawn_count"].clone()), (json!("gpu"), json!(1001)));
    assert_eq!(body["withdrawn"].as_array().unwrap().len(), 1000);
    let expected =
        json!({"reservation_id": ID, "tenant": "acme", "status": "Canceled", "quantity": 3, "credit_cents": 125});
    assert_eq!(body["withdrawn"][0], expected);
}

#[test]
fn a_released_lock_names_who_held_it() {
    let body = |claim| parse(&reply::outcome(&Ok(lock_released(claim))).body);
    let resource = "job \"42\"";
    let expected = json!({"tenant": "acme", "resource": resource, "status": "RELINQUISHED", "requester": "worker-1",
                          "released": [resource]});
    assert_eq!(body(vec![lock()]), expected);
    let expected = json!({"tenant": "acme", "resource": resource, "status": "NOT_RESERVED", "requester": null,
                          "released": []});
    assert_eq!(body(Vec::new()), expected);
}
