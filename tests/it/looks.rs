//! What is asked before something is reserved, seen from outside.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Berth, hours_from_now};

/// A pool of eight units with five of them booked from the second hour to the third.
async fn furnished() -> Berth {
    let berth = Berth::start().await;
    let pool = json!({
        "pool": "gpu", "capacity": 8, "instance_type": "h100", "region": "eu", "horizon_seconds": 86_400,
        "instance_spec": {"num_gpus": 8},
        "offers": [{"key": "standard", "display_name": "Standard", "unit_price_cents": 199,
                    "return_buyback_price_cents": 150, "pause_buyback_price_cents": 100, "option_premium_cents": 9}]
    });
    berth.admin("pool_put", pool).await.ok();
    let (two, three) = (hours_from_now(2), hours_from_now(3));
    berth.ask("reserve", json!({"pool": "gpu", "start_time": two, "end_time": three, "quantity": 5})).await.ok();
    berth
}

#[tokio::test(flavor = "multi_thread")]
async fn availability_answers_in_three_modes_by_name_or_by_kind() {
    let berth = furnished().await;
    let (one, two, three, four) = (hours_from_now(1), hours_from_now(2), hours_from_now(3), hours_from_now(4));
    let named = json!({"pool": "gpu", "start_time": one, "quantity": 4});
    let latest = json!({"available": true, "latest_end_time": two});
    assert_eq!(berth.ask("availability", named).await.ok(), latest);
    let by_kind = json!({"instance_type": "h100", "region": "eu", "start_time": one, "quantity": 4});
    assert_eq!(berth.ask("availability", by_kind.clone()).await.ok(), latest);
    let none = json!({"pool": "gpu", "start_time": two, "quantity": 4});
    let nothing = json!({"available": false, "latest_end_time": null});
    assert_eq!(berth.ask("availability", none).await.ok(), nothing);
    let range = json!({"pool": "gpu", "mode": "slots", "earliest_start_time": one, "latest_end_time": four});
    let slot =
        |start: &str, end: &str, quantity: u32| json!({"start_time": start, "end_time": end, "quantity": quantity});
    let slots = json!([slot(&one, &two, 8), slot(&two, &three, 3), slot(&three, &four, 8)]);
    assert_eq!(berth.ask("availability", range).await.ok(), slots);
    for (quantity, available) in [(3, true), (4, false)] {
        let check = json!({"pool": "gpu", "mode": "check", "start_time": two, "end_time": four, "quantity": quantity});
        assert_eq!(berth.ask("availability", check).await.ok(), json!({"available": available}));
    }
    let mut elsewhere = by_kind;
    elsewhere["region"] = json!("us");
    berth.ask("availability", elsewhere).await.refused("unknown_pool");
}

#[tokio::test(flavor = "multi_thread")]
async fn find_gives_the_next_windows_over_several_pools() {
    let berth = furnished().await;
    berth.admin("pool_put", json!({"pool": "more", "capacity": 4, "grain_seconds": 3600})).await.ok();
    let (two, three, four) = (hours_from_now(2), hours_from_now(3), hours_from_now(4));
    let find = |quantity: u32, pools: Value| {
        let mut body = json!({
            "quantity": quantity, "duration_seconds": 3600, "limit": 2,
            "earliest_start_time": two, "latest_end_time": hours_from_now(12)
        });
        body.as_object_mut().unwrap().extend(pools.as_object().unwrap().clone());
        body
    };
    let quarter = |hour: &str| hour.replace(":00:00Z", ":15:00Z");
    let one = berth.ask("find", find(6, json!({"pool": "gpu"}))).await.ok();
    let expected = json!([
        {"start_time": three, "end_time": four, "quantity": 6},
        {"start_time": quarter(&three), "end_time": quarter(&four), "quantity": 6}
    ]);
    assert_eq!(one, expected);
    let several = berth.ask("find", find(4, json!({"pools": ["gpu", "more"]}))).await.ok();
    let expected = json!([
        {"pool": "more", "start_time": two, "end_time": three, "quantity": 4},
        {"pool": "gpu", "start_time": three, "end_time": four, "quantity": 4}
    ]);
    assert_eq!(several, expected);
    assert_eq!(berth.ask("find", find(9, json!({"pool": "gpu"}))).await.ok(), json!([]));
    berth.ask("find", find(1, json!({"pools": ["gpu", "none"]}))).await.refused("unknown_pool");
    // What was found can be had.
    let mut body = several[0].clone();
    body["name"] = json!("found");
    berth.ask("reserve", body).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_is_granted_as_far_as_it_is_available_and_no_further() {
    let berth = furnished().await;
    let (one, two, three) = (hours_from_now(1), hours_from_now(2), hours_from_now(3));
    let body = json!({"pool": "gpu", "start_time": one, "end_time": two, "quantity": 4});
    let id = berth.ask("reserve", body).await.ok()["reservation_id"].clone();
    let ask = || berth.ask("extension_availability", json!({"reservation_id": id}));
    assert_eq!(ask().await.ok(), json!({"available": false, "latest_extension_time": two}));
    let extend = |end: String| berth.ask("extend", json!({"reservation_id": id, "end_time": end}));
    extend(two.replace(":00:00Z", ":15:00Z")).await.refused("insufficient_capacity");
    let body = json!({"pool": "gpu", "start_time": one, "end_time": two, "quantity": 3});
    let other = berth.ask("reserve", body).await.ok()["reservation_id"].clone();
    berth.ask("cancel", json!({"reservation_id": id})).await.ok();
    assert_eq!(ask().await.ok(), json!({"available": false, "latest_extension_time": two}), "it is over");
    let available = berth.ask("extension_availability", json!({"reservation_id": other})).await.ok();
    assert_eq!(available["available"], true);
    let latest = available["latest_extension_time"].as_str().unwrap();
    assert!(latest > three.as_str(), "{latest}");
    let extended = berth.ask("extend", json!({"reservation_id": other, "end_time": latest})).await.ok();
    assert_eq!(extended["end_time"], latest);
    let body = json!({"reservation_id": other}).to_string();
    berth.ask_as("other", "extension_availability", &[], &body).await.refused("not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_is_what_the_reservation_then_costs() {
    let berth = furnished().await;
    let window = json!({
        "instance_type": "h100", "region": "eu", "start_time": hours_from_now(4), "end_time": hours_from_now(6),
        "quantity": 4
    });
    let quote = berth.ask("quote", window.clone()).await.ok();
    let offer = json!({
        "key": "standard", "display_name": "Standard", "unit_price": 199, "return_buyback_price": 150,
        "pause_buyback_price": 100, "total_price": 1592, "total_etbp_value": 1200, "total_fubp_value": 800,
        "option_premium": 9
    });
    assert_eq!(quote, json!({"offers": [offer]}));
    assert_eq!(berth.ask("reserve", window).await.ok()["total_price_cents"], 1592);
}

#[tokio::test(flavor = "multi_thread")]
async fn pools_shows_those_that_take_reservations_by_page() {
    let berth = furnished().await;
    berth.admin("pool_put", json!({"pool": "shut", "capacity": 8, "enabled": false})).await.ok();
    berth.admin("pool_put", json!({"pool": "small", "capacity": 1, "quantity_max": 1})).await.ok();
    let all = berth.ask("pools", json!({})).await.ok();
    let names: Vec<&str> = all["data"].as_array().unwrap().iter().map(|pool| pool["pool"].as_str().unwrap()).collect();
    assert_eq!((names, &all["next_cursor"]), (vec!["gpu", "small"], &Value::Null));
    let first = &all["data"][0];
    assert_eq!((&first["instance_spec"], &first["grain_seconds"]), (&json!({"num_gpus": 8}), &json!(900)));
    assert_eq!(first.get("capacity"), None, "how much there is, is the operator's");
    let page = berth.ask("pools", json!({"limit": 1})).await.ok();
    let next = berth.ask("pools", json!({"limit": 1, "next_cursor": page["next_cursor"]})).await.ok();
    assert_eq!((&next["data"][0]["pool"], &next["next_cursor"]), (&json!("small"), &Value::Null));
}

/// A read ignores keys: nothing is stored under one, and nobody's key is used up.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_leaves_no_receipt_and_no_event() {
    let berth = furnished().await;
    let check = |start: &str, end: &str| json!({"pool": "gpu", "mode": "check", "start_time": start, "end_time": end, "quantity": 6});
    let (two, three, four) = (hours_from_now(2), hours_from_now(3), hours_from_now(4));
    for (start, end, available) in [(&two, &three, false), (&three, &four, true)] {
        let reply = berth.ask_with_key("availability", "same", check(start, end)).await;
        assert!(!reply.is_replay());
        assert_eq!(reply.ok(), json!({"available": available}));
    }
    berth.ask("receipt", json!({"idempotency_key": "same"})).await.refused("not_found");
    let body = json!({"pool": "gpu", "start_time": three, "end_time": four, "quantity": 6});
    let id = berth.ask_with_key("reserve", "same", body).await.ok()["reservation_id"].clone();
    let mut events = berth.events().await;
    let seen = events.take(2).await;
    assert_eq!(seen.iter().map(|event| event.kind()).collect::<Vec<_>>(), ["placed", "placed"]);
    assert_eq!(seen[1].hold(), id);
}

/// What a quiet pool says it has is there; and while a hundred clients reserve over two workers, who looks again never
/// sees more than before, never more than there is, and in the end exactly what is left.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_seen_beside_reservations_is_never_more_or_less_than_what_there_is() {
    let berth = Berth::with_workers(2).await;
    berth.admin("pool_put", json!({"pool": "seats", "capacity": 40})).await.ok();
    let (start, end) = (hours_from_now(1), hours_from_now(2));
    let window = |quantity: i64| json!({"pool": "seats", "start_time": start, "end_time": end, "quantity": quantity});
    let mut check = window(40);
    check["mode"] = json!("check");
    assert_eq!(berth.ask("availability", check.clone()).await.ok(), json!({"available": true}));
    let whole = berth.ask("reserve", window(40)).await.ok();
    assert_eq!(berth.ask("availability", check.clone()).await.ok(), json!({"available": false}));
    berth.ask("cancel", json!({"reservation_id": whole["reservation_id"]})).await.ok();

    let slots = json!({"pool": "seats", "mode": "slots", "earliest_start_time": start, "latest_end_time": end});
    let reserve = async |quantity: i64| berth.ask("reserve", window(quantity)).await.code() == "ok";
    let free = async || {
        let slots = berth.ask("availability", slots.clone()).await.ok();
        let slots = slots.as_array().unwrap();
        assert!(slots.len() <= 1, "{slots:?}");
        slots.first().map_or(0, |slot| slot["quantity"].as_i64().unwrap())
    };
    let watch = async |_: usize| {
        let mut seen = vec![40];
        for _ in 0..50 {
            seen.push(free().await);
        }
        seen
    };
    let (granted, seen) =
        tokio::join!(join_all((0..100).map(|number| reserve(1 + number % 3))), join_all((0..8).map(watch)));
    assert!(seen.iter().all(|free| free.is_sorted_by(|before, after| before >= after)), "{seen:?}");
    let taken: i64 = (0..100).zip(&granted).filter(|(_, granted)| **granted).map(|(number, _)| 1 + number % 3).sum();
    assert_eq!(free().await, 40 - taken);
    assert_eq!(taken, 40, "units of one were among them, so nothing is left over");
}
