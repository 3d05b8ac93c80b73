//! Reservations, seen from outside.

use serde_json::json;

use crate::harness::{Berth, hours_from_now};

#[tokio::test(flavor = "multi_thread")]
async fn two_touching_quarters_are_one_reservation() {
    let berth = Berth::start().await;
    berth.admin("pool_put", json!({"pool": "memory", "capacity": 64, "quantity_step": 4})).await.ok();
    let hour = hours_from_now(2);
    let at = |minute: &str| hour.replace(":00:00Z", &format!(":{minute}:00Z"));
    let intervals = json!([
        {"start_time": at("00"), "end_time": at("15"), "quantity": 16},
        {"start_time": at("15"), "end_time": at("30"), "quantity": 16}
    ]);
    let reservation = berth.ask("reserve", json!({"pool": "memory", "intervals": intervals})).await.ok();
    assert_eq!(reservation["status"], "Pending");
    assert_eq!(reservation["version"], 1);
    assert_eq!(reservation["intervals"], intervals);
    assert_eq!(reservation["start_time"], at("00"));
    assert_eq!(reservation["end_time"], at("30"));
    assert_eq!(reservation["quantity"], 16);
    let id = &reservation["reservation_id"];
    assert_eq!(berth.ask("get", json!({"reservation_id": id})).await.ok(), reservation);
    assert_eq!(berth.ask("list", json!({})).await.ok()["data"], json!([reservation]));
    let other = berth.ask_as("other", "get", &[], &json!({"reservation_id": id}).to_string()).await;
    other.refused("not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_with_every_failing_interval() {
    let berth = Berth::start().await;
    berth.admin("pool_put", json!({"pool": "gpu", "capacity": 8})).await.ok();
    let (one, two, three) = (hours_from_now(1), hours_from_now(2), hours_from_now(3));
    berth.ask("reserve", json!({"pool": "gpu", "start_time": two, "end_time": three, "quantity": 5})).await.ok();
    let body = json!({"pool": "gpu", "intervals": [
        {"start_time": one, "end_time": two, "quantity": 8},
        {"start_time": two, "end_time": three, "quantity": 4}
    ]});
    let details = berth.ask("reserve", body).await.refused("insufficient_capacity");
    let failing = json!([{"start_time": two, "end_time": three, "requested": 4, "available": 3}]);
    assert_eq!(details["intervals"], failing);
    berth.ask("reserve", json!({"pool": "gpu", "start_time": one, "end_time": two, "quantity": 8})).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_is_found_by_its_kind() {
    let berth = Berth::start().await;
    let kind = json!({"pool": "h100-eu", "capacity": 8, "instance_type": "h100", "region": "eu"});
    berth.admin("pool_put", kind.clone()).await.ok();
    let (start, end) = (hours_from_now(1), hours_from_now(2));
    let body = json!({"instance_type": "h100", "region": "eu", "start_time": start, "end_time": end, "quantity": 1});
    assert_eq!(berth.ask("reserve", body).await.ok()["pool"], "h100-eu");
    let body = json!({"instance_type": "h100", "region": "us", "start_time": start, "end_time": end, "quantity": 1});
    berth.ask("reserve", body).await.refused("unknown_pool");
    let second = json!({"pool": "h100-too", "capacity": 8, "instance_type": "h100", "region": "eu"});
    assert_eq!(berth.admin("pool_put", second).await.refused("invalid_request")["field"], "instance_type");
    let again = berth.admin("pool_put", kind).await.ok();
    assert_eq!(again["version"], 1, "the same configuration changes nothing");
}

/// Two workers, a hundred clients, a pool of ten: exactly ten win.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_ten_has_ten_winners_among_a_hundred() {
    let berth = Berth::with_workers(2).await;
    berth.admin("pool_put", json!({"pool": "seats", "capacity": 10})).await.ok();
    let body = json!({"pool": "seats", "start_time": hours_from_now(1), "end_time": hours_from_now(2), "quantity": 1});
    let replies = futures::future::join_all((0..100).map(|_| berth.ask("reserve", body.clone()))).await;
    let won = replies.iter().filter(|reply| reply.code() == "ok").count();
    let lost = replies.iter().filter(|reply| reply.code() == "insufficient_capacity").count();
    assert_eq!((won, lost), (10, 90));
}
