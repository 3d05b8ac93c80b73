//! Good requests: what they are decoded to, and their canonical form.

use berth::domain::command::{Command, Part, Query, SortBy};
use berth::domain::hold::Status;
use berth::domain::resource::{Capacity, Policy};
use berth::wire::request::{Call, Canonical, Headers, decode};
use berth::wire::verb::Verb;

use crate::samples::{ID, REQUESTS, at, canonical, command, hold_id, query, tenant};

#[test]
fn every_sample_is_accepted_and_every_verb_has_one() {
    for (verb, body) in REQUESTS {
        assert!(crate::samples::call(*verb, body).is_ok(), "{} {body}", verb.name());
    }
    for verb in Verb::ALL {
        assert!(REQUESTS.iter().any(|(sampled, _)| *sampled == verb), "{}", verb.name());
    }
}

#[test]
fn a_reservation_of_several_intervals_is_sorted_and_remembers_where_each_stood() {
    let (Command::Reserve(reserve), canonical) = command(Verb::Reserve, REQUESTS[1].1) else { panic!() };
    let starts: Vec<_> = reserve.intervals.iter().map(|interval| (interval.start, interval.quantity)).collect();
    assert_eq!(starts, [(at(0), 8), (at(900), 16)]);
    assert_eq!(reserve.positions, Some(vec![1, 0]));
    assert_eq!(reserve.pool, None);
    let kind = reserve.wanted_kind.unwrap();
    assert_eq!((kind.instance_type.as_str(), kind.region.as_str()), ("a100", "us-central1-a"));
    assert_eq!(reserve.name.unwrap().as_str(), "nightly");
    assert_eq!(reserve.hold_seconds, Some(60));
    assert_eq!(reserve.price.offer_key.unwrap().as_str(), "spot");
    assert_eq!(reserve.price.unit_price_max_cents, Some(250));
    assert_eq!(reserve.tags.unwrap().as_str(), r#"{"run":"","team":"a"}"#);
    let launch = r##"{"volumes":[],"ssh_keys":["key-1"],"startup_script":"#!/bin/sh\n\techo \"hi\"\n","kubernetes_cluster":"k","image_version":"1","memory_gb":64}"##;
    assert_eq!(reserve.launch_specification.unwrap().as_str(), launch);
    let expected = format!(
        r#"{{"instance_type":"a100","region":"us-central1-a","name":"nightly","intervals":[{{"start_time":"2026-04-29T02:00:00Z","end_time":"2026-04-29T02:15:00Z","quantity":8}},{{"start_time":"2026-04-29T02:15:00Z","end_time":"2026-04-29T02:30:00Z","quantity":16}}],"tags":{{"run":"","team":"a"}},"launch_specification":{launch},"price_specification":{{"offer_key":"spot","max_unit_price":250}},"hold_seconds":60}}"#
    );
    assert_eq!(String::from_utf8_lossy(canonical.as_bytes()), expected);
}

#[test]
fn a_reservation_of_one_window_has_no_positions() {
    let (Command::Reserve(reserve), _) = command(Verb::Reserve, REQUESTS[0].1) else { panic!() };
    assert_eq!(reserve.pool.unwrap().as_str(), "gpu");
    assert!(reserve.wanted_kind.is_none() && reserve.positions.is_none() && reserve.tags.is_none());
    assert_eq!((reserve.intervals[0].start, reserve.intervals[0].end), (at(0), at(900)));
    assert_eq!(reserve.price, Default::default());
}

#[test]
fn the_other_commands_carry_what_was_sent() {
    let id = hold_id();
    let of = |verb| {
        let (_, body) = REQUESTS.iter().find(|(sampled, _)| *sampled == verb).unwrap();
        command(verb, body).0
    };
    let Command::Confirm(confirm) = of(Verb::Confirm) else { panic!() };
    assert_eq!((confirm.id, confirm.quantity), (id, Some(2)));
    let Command::Extend(extend) = of(Verb::Extend) else { panic!() };
    assert_eq!((extend.id, extend.end_time.to_rfc3339()), (id, "2026-04-30T00:00:00.250+00:00".into()));
    // An extension has no default offer, so that `standard` is not the reservation's own.
    assert_eq!(extend.price.offer_key.unwrap().as_str(), "standard");
    let Command::Cancel(cancel) = of(Verb::Cancel) else { panic!() };
    assert_eq!(cancel.id, id);
    let Command::Lock(lock) = of(Verb::Lock) else { panic!() };
    assert_eq!((lock.requester.as_str(), lock.resource.as_str()), ("worker-1", "job 42/é"));
    assert_eq!((lock.resource_type.unwrap().as_str(), lock.ttl_seconds), ("Job", Some(60)));
    let Command::Unlock(unlock) = of(Verb::Unlock) else { panic!() };
    assert_eq!(unlock.release_token.to_string(), "a3f8c2d1-4b5e-4d2d-b1cb-19d0d0a14562");
    let Command::Several(renewals) = of(Verb::Renew) else { panic!() };
    assert!(matches!(&renewals[..], [Command::Renew(renew)] if renew.ttl_seconds == 31_536_000));
    let part = |rest: &str| {
        let body = format!(r#"{{"reservation_id":"{ID}"{rest}}}"#);
        let (Command::Terminate(terminate), _) = command(Verb::Terminate, &body) else { panic!() };
        terminate.part
    };
    assert!(matches!(part(""), Part::All));
    assert!(matches!(part(r#","quantity":3,"reduce_capacity":true"#), Part::Quantity(3)));
    let units = part(&format!(r#","reduce_capacity":true,"units":["{ID}.10","{ID}.0"]"#));
    assert!(matches!(units, Part::Units(units) if units.iter().map(|unit| unit.number).eq([10, 0])));
}

#[test]
fn a_pool_takes_its_defaults() {
    let (Command::PoolPut(put), _) = command(Verb::PoolPut, r#"{"pool":"gpu","capacity":8}"#) else { panic!() };
    assert_eq!((put.capacity, put.policy), (Capacity::Constant(8), Policy::default()));
    assert!(put.offers.is_empty() && put.instance_spec.is_none() && put.tags.is_none());
}

#[test]
fn a_pool_takes_every_setting() {
    let (_, body) = REQUESTS.iter().rfind(|(verb, _)| *verb == Verb::PoolPut).unwrap();
    let (Command::PoolPut(put), _) = command(Verb::PoolPut, body) else { panic!() };
    let expected = Policy {
        grain_seconds: 3_600,
        quantity_step: 4,
        quantity_min: Some(4),
        quantity_max: Some(64),
        duration_min_seconds: Some(3_600),
        duration_max_seconds: Some(86_400),
        lead_time_seconds: 60,
        horizon_seconds: 86_400,
        intervals_max: 2,
        ending_soon_seconds: 600,
        cancellable: false,
        extendable: false,
        pausable: false,
        reducible: false,
        enabled: false,
    };
    assert_eq!(put.policy, expected);
    assert!(matches!(&put.capacity, Capacity::Schedule(steps) if steps.iter().map(|step| step.quantity).eq([8, 0])));
    assert_eq!(put.instance_spec.unwrap().as_str(), r#"{"name":"A100","num_gpus":8}"#);
    let offer = &put.offers[0];
    assert_eq!((offer.key.as_str(), offer.display_name.as_str()), ("spot", "Spot"));
    assert_eq!((offer.unit_price_cents, offer.return_buyback_price_cents), (100, 50));
    assert_eq!((offer.pause_buyback_price_cents, offer.option_premium_cents), (25, 5));
}

#[test]
fn queries_take_their_defaults_and_what_was_sent() {
    let Query::List(list) = query(Verb::List, "") else { panic!() };
    assert_eq!((list.sort_by, list.is_descending, list.limit), (SortBy::CreatedAt, true, 50));
    assert!(list.after.is_none() && list.status.is_none());
    let Query::List(list) = query(Verb::List, r#"{"status":"Held","sort_by":"status","sort_dir":"asc","limit":1}"#)
    else {
        panic!()
    };
    assert_eq!((list.status, list.sort_by, list.is_descending), (Some(Status::Held), SortBy::Status, false));
    let Query::PoolList(page) = query(Verb::PoolList, r#"{"next_cursor":"cGdwdQ"}"#) else { panic!() };
    assert_eq!((page.limit, page.after.unwrap().as_str()), (50, "gpu"));
    let Query::Verify { fencing_token, .. } = query(Verb::Verify, r#"{"resource":"x","fencing_token":7}"#) else {
        panic!()
    };
    assert_eq!(fencing_token, 7);
}

#[test]
fn headers_are_taken_as_they_are() {
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = Headers {
        idempotency_key: Some("order-1"),
        actor: Some("ann"),
        not_after: Some("2026-04-29T02:00:00Z"),
        traceparent: Some(traceparent),
        tracestate: Some("a=1"),
        are_unreadable: false,
    };
    let body = br#"{"requester":"a","resource":"b"}"#;
    let decoded = decode(Verb::Lock, Some(&tenant()), &headers, body).unwrap();
    assert_eq!(decoded.key.unwrap().as_str(), "order-1");
    assert_eq!(decoded.actor.unwrap().as_str(), "ann");
    assert_eq!(decoded.not_after, Some(at(0)));
    let trace = decoded.trace.unwrap();
    assert_eq!((trace.traceparent.as_str(), trace.tracestate.as_deref()), (traceparent, Some("a=1")));
    assert!(matches!(decoded.call, Call::Command(..)));
}

#[test]
fn an_invalid_traceparent_is_as_if_absent() {
    let trace = |traceparent: &str| {
        let headers = Headers { traceparent: Some(traceparent), tracestate: Some("a=1"), ..Headers::default() };
        decode(Verb::List, Some(&tenant()), &headers, b"").unwrap().trace.is_some()
    };
    assert!(trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"));
    assert!(trace("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-more"));
    for bad in [
        "",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-more",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00more",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-00",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-00",
        "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-000",
    ] {
        assert!(!trace(bad), "{bad}");
    }
}

#[test]
fn what_a_client_need_not_say_is_not_in_the_canonical_form() {
    let bare = canonical(Verb::PoolPut, r#"{"pool":"gpu","capacity":8}"#);
    let written = r#" { "offers": [], "enabled": true, "grain_seconds": 900, "horizon_seconds": 31622400,
        "intervals_max": 672, "quantity_step": 1, "tags": null, "instance_spec": {"name": null},
        "capacity": 8, "pool": "gpu" } "#;
    assert_eq!(canonical(Verb::PoolPut, written), bare);
    assert_eq!(bare, r#"{"pool":"gpu","capacity":8}"#);
}

#[test]
fn the_first_field_that_differs_is_named_in_the_order_of_the_table() {
    let differ = |verb: Verb, one: &str, other: &str| {
        let (one, other) = (command(verb, one).1, command(verb, other).1);
        assert_eq!(one.first_difference(&other), other.first_difference(&one));
        one.first_difference(&other)
    };
    let window = |quantity: u32, rest: &str| {
        format!(
            r#"{{"pool":"gpu","start_time":"2026-04-29T02:00:00Z","end_time":"2026-04-29T02:15:00Z","quantity":{quantity}{rest}}}"#
        )
    };
    assert_eq!(differ(Verb::Reserve, &window(1, ""), &window(1, r#","hold_seconds":null"#)), None);
    assert_eq!(differ(Verb::Reserve, &window(1, r#","name":"a""#), &window(2, r#","tags":{}"#)), Some("name".into()));
    assert_eq!(differ(Verb::Reserve, &window(1, ""), &window(2, r#","hold_seconds":5"#)), Some("quantity".into()));
    let tags = |value: &str| window(1, &format!(r#","tags":{{"client text":"{value}"}}"#));
    assert_eq!(differ(Verb::Reserve, &tags("1"), &tags("2")), Some("tags".into()));
    let price = |cents: u32| window(1, &format!(r#","price_specification":{{"max_unit_price":{cents}}}"#));
    assert_eq!(differ(Verb::Reserve, &price(1), &price(2)), Some("price_specification.max_unit_price".into()));
    let several = |items: &[u32]| {
        let item = |(hour, quantity): (usize, &u32)| {
            format!(
                r#"{{"start_time":"2026-04-29T{hour:02}:00:00Z","end_time":"2026-04-29T{hour:02}:30:00Z","quantity":{quantity}}}"#
            )
        };
        let items: Vec<String> = items.iter().enumerate().map(item).collect();
        format!(r#"{{"pool":"gpu","intervals":[{}]}}"#, items.join(","))
    };
    assert_eq!(differ(Verb::Reserve, &several(&[1, 2]), &several(&[1, 3])), Some("intervals[1].quantity".into()));
    assert_eq!(differ(Verb::Reserve, &several(&[1]), &several(&[1, 3])), Some("intervals[1]".into()));
    let lock = |name: &str| format!(r#"{{"requester":"a","resource":"{name}"}}"#);
    let locks = |name: &str| format!("[{},{}]", lock("x"), lock(name));
    assert_eq!(differ(Verb::Lock, &locks("y"), &locks("z")), Some("[1].resource".into()));
    assert_eq!(differ(Verb::Lock, &lock("x"), &locks("z")), Some("[]".into()));
    let stored = Canonical::from_bytes(b"not json".to_vec());
    assert_eq!(command(Verb::Lock, &lock("x")).1.first_difference(&stored), Some("?".into()));
}
