//! Counter-offers, sent as they are.

use berth::domain::id::{Lane, PoolName};
use serde_json::{Value, json};

use crate::harness::{Berth, hours_from_now};

fn reasons(offers: &Value) -> Vec<&str> {
    offers.as_array().unwrap().iter().map(|offer| offer["reason"].as_str().unwrap()).collect()
}

/// Every column of every hold.
async fn rows(sql: &sqlx::PgPool) -> Vec<String> {
    sqlx::query_scalar("select hold::text from hold order by id").fetch_all(sql).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_offer_of_a_refusal_is_granted_when_it_is_sent() {
    let berth = Berth::start().await;
    let pool = json!({"pool": "gpu", "capacity": 8, "instance_type": "h100", "region": "eu",
                      "offers": [{"key": "standard", "display_name": "S", "unit_price_cents": 100}]});
    berth.admin("pool_put", pool).await.ok();
    let hours: Vec<String> = (1..6).map(hours_from_now).collect();
    let booked = json!({"pool": "gpu", "start_time": hours[1], "end_time": hours[2], "quantity": 6});
    berth.ask_as("other", "reserve", &[], &booked.to_string()).await.ok();
    let wanted = json!({
        "instance_type": "h100", "region": "eu", "name": "n", "tags": {"a": "b"}, "hold_seconds": 60,
        "start_time": hours[0], "end_time": hours[2], "quantity": 4,
        "launch_specification": {"volumes": [], "ssh_keys": ["k"], "startup_script": "echo"},
        "price_specification": {"max_unit_price": 100}
    });
    let sql = berth.sql().await;
    let before = rows(&sql).await;
    let first = berth.ask_with_key("reserve", "order-1", wanted.clone()).await;
    let again = berth.ask_with_key("reserve", "order-1", wanted.clone()).await;
    assert!(again.is_replay() && again.bytes == first.bytes, "the offers are part of what was decided");
    assert_eq!(rows(&sql).await, before, "a refusal leaves all rows as they were");
    let offers = first.refused("insufficient_capacity")["offers"].clone();
    assert_eq!(reasons(&offers), ["later_start", "smaller_quantity", "shorter"]);
    for (offer, name, value) in [(0, "start_time", &hours[2]), (2, "end_time", &hours[1])] {
        assert_eq!(offers[offer]["request"][name], json!(value));
    }
    for offer in offers.as_array().unwrap() {
        let mut request = offer["request"].clone();
        let held = berth.ask("reserve", request.clone()).await.ok();
        let own = ["name", "tags", "launch_specification", "start_time", "end_time", "quantity", "pool"];
        request["pool"] = json!("gpu");
        own.iter().for_each(|name| assert_eq!(held[*name], request[*name], "{name}"));
        assert_eq!(held["status"], "Held");
        berth.ask("cancel", json!({"reservation_id": held["reservation_id"]})).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_offers_what_can_be_had_for_good() {
    let berth = Berth::start().await;
    berth.admin("pool_put", json!({"pool": "gpu", "capacity": 2})).await.ok();
    let (one, two) = (hours_from_now(1), hours_from_now(2));
    let wanted = json!({"pool": "gpu", "start_time": one, "end_time": two, "quantity": 3, "dry_run": true});
    let offers = berth.ask("reserve", wanted).await.refused("insufficient_capacity")["offers"].clone();
    let request = json!({"pool": "gpu", "start_time": one, "end_time": two, "quantity": 2});
    assert_eq!(offers, json!([{"reason": "smaller_quantity", "request": request}]));
    assert_eq!(berth.ask("reserve", request).await.ok()["version"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_extension_is_granted_up_to_the_end_that_it_is_told() {
    let berth = Berth::start().await;
    berth.admin("pool_put", json!({"pool": "gpu", "capacity": 8})).await.ok();
    let hours: Vec<String> = (1..6).map(hours_from_now).collect();
    let window = |from: usize, to: usize, quantity: u32| json!({"pool": "gpu", "start_time": hours[from], "end_time": hours[to], "quantity": quantity});
    let id = berth.ask("reserve", window(0, 1, 6)).await.ok()["reservation_id"].clone();
    berth.ask("reserve", window(2, 3, 3)).await.ok();
    let extend = |end: &Value| json!({"reservation_id": id, "end_time": end});
    let sql = berth.sql().await;
    let before = rows(&sql).await;
    let details = berth.ask("extend", extend(&json!(hours[4]))).await.refused("insufficient_capacity");
    assert_eq!(rows(&sql).await, before);
    assert_eq!((&details["latest_end_time"], &details["offers"]), (&json!(hours[2]), &json!([])));
    assert_eq!(berth.ask("extend", extend(&details["latest_end_time"])).await.ok()["end_time"], hours[2]);
    let details = berth.ask("extend", extend(&json!(hours[3]))).await.refused("insufficient_capacity");
    assert_eq!(details["latest_end_time"], hours[2], "the present end");
}

/// Two workers, and three pools of a type, each in its lane: a hundred ask for the one, and ten get it.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_the_same_type_is_offered_where_there_is_room() {
    let berth = Berth::with_workers(2).await;
    for (region, capacity) in [("eu", 10), ("ap", 3), ("us", 200)] {
        let pool = format!("h100-{region}");
        let body = json!({"pool": pool, "capacity": capacity, "instance_type": "h100", "region": region});
        berth.admin("pool_put", body).await.ok();
    }
    let lane = |region: &str| Lane::of_pool(&PoolName::parse(&format!("h100-{region}")).unwrap());
    assert!(lane("eu") != lane("us") && lane("us") != lane("ap") && lane("ap") != lane("eu"));
    let (start, end) = (hours_from_now(1), hours_from_now(2));
    let wanted = |region: &str, quantity: u32| json!({"instance_type": "h100", "region": region, "start_time": start, "end_time": end, "quantity": quantity});
    let keys: Vec<String> = (0..100).map(|number| format!("order-{}", number / 2)).collect();
    let asked = keys.iter().map(|key| berth.ask_with_key("reserve", key, wanted("eu", 1)));
    let replies = futures::future::join_all(asked).await;
    for pair in replies.chunks(2) {
        assert_eq!(pair[0].bytes, pair[1].bytes, "one answer to a key");
    }
    let refused: Vec<_> = replies.iter().filter(|reply| reply.code() == "insufficient_capacity").collect();
    assert_eq!(refused.len(), 80, "ten keys have won, asked twice each");
    for reply in &refused {
        let offers = &reply.details()["offers"];
        assert_eq!(reasons(offers), ["later_start", "other_pool"]);
        assert_eq!(offers[1]["request"], wanted("ap", 1), "the first region that has room");
    }
    let details = berth.ask("reserve", wanted("eu", 4)).await.refused("insufficient_capacity");
    let offered = details["offers"][1]["request"].clone();
    assert_eq!(offered, wanted("us", 4));
    assert_eq!(berth.ask("reserve", offered).await.ok()["pool"], "h100-us");
    let by_name = json!({"pool": "h100-eu", "start_time": start, "end_time": end, "quantity": 1});
    let details = berth.ask("reserve", by_name).await.refused("insufficient_capacity");
    assert_eq!(reasons(&details["offers"]), ["later_start"], "who names a pool means it");
}
