//! Pausing, updating, and the announcement of an end, seen from outside.

use chrono::{DateTime, FixedOffset};
use serde_json::{Value, json};

use crate::harness::{Berth, Event, hours_from_now, seconds_from_now};

fn instant(value: &Value) -> DateTime<FixedOffset> {
    DateTime::parse_from_rfc3339(value.as_str().unwrap()).unwrap()
}

/// A pool of four units.
async fn pool(berth: &Berth, grain_seconds: u32, more: Value) {
    let mut body = json!({"pool": "p", "capacity": 4, "grain_seconds": grain_seconds});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    berth.admin("pool_put", body).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_is_paused_resumed_and_credited_for_the_pause() {
    let berth = Berth::start().await;
    // A cent for each unit and 36 microseconds, so that the pause has a price.
    let offer = json!({"key": "standard", "display_name": "Standard", "unit_price_cents": 1,
                       "return_buyback_price_cents": 3600, "pause_buyback_price_cents": 100_000_000});
    pool(&berth, 3600, json!({"offers": [offer]})).await;
    let mut events = berth.events().await;
    let launch = json!({"volumes": ["v"], "ssh_keys": ["k"], "startup_script": "echo secret"});
    let end = hours_from_now(2);
    let body = json!({"pool": "p", "start_time": hours_from_now(0), "end_time": end, "quantity": 4,
                      "launch_specification": launch});
    let placed = berth.ask("reserve", body).await.ok();
    let id = &placed["reservation_id"];
    let update = |members: Value| {
        let mut body = json!({"reservation_id": id});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        body
    };
    let all = update(json!({"paused": true, "volumes": ["w"], "name": "n", "tags": {"a": "b"}}));
    let paused = berth.ask_with_key("update", "pause", all.clone()).await.ok();
    assert_eq!((&paused["status"], &paused["version"]), (&json!("Paused"), &json!(4)));
    assert_eq!((&paused["name"], &paused["tags"]), (&json!("n"), &json!({"a": "b"})));
    let script = json!({"volumes": ["w"], "ssh_keys": ["k"], "startup_script": "echo secret"});
    assert_eq!(paused["launch_specification"], script);
    let names = |body: &Value| body.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let mut without_pause = paused.clone();
    assert!(without_pause.as_object_mut().unwrap().remove("paused_at").is_some());
    assert_eq!(names(&without_pause), names(&placed), "the view has no other fields");
    assert!(berth.ask_with_key("update", "pause", all).await.is_replay());
    let other = berth.ask_with_key("update", "pause", update(json!({"paused": false}))).await;
    assert_eq!(other.refused("idempotency_key_conflict")["field"], "paused");

    assert_eq!(berth.ask("get", json!({"reservation_id": id})).await.ok(), paused);
    assert_eq!(berth.ask("list", json!({"status": "Paused"})).await.ok()["data"], json!([paused]));
    let rest = json!({"pool": "p", "start_time": hours_from_now(1), "end_time": end, "quantity": 1});
    berth.ask("reserve", rest).await.refused("insufficient_capacity");
    assert_eq!(berth.ask("update", update(json!({"paused": true}))).await.ok(), paused, "no change");
    assert_eq!(berth.ask("update", update(json!({"paused": false}))).await.ok()["status"], "Active");
    let terminated = berth.ask("terminate", json!({"reservation_id": id})).await.ok();

    let events = events.take(6).await;
    let kinds: Vec<&str> = events.iter().map(Event::kind).collect();
    assert_eq!(kinds, ["placed", "active", "paused", "updated", "resumed", "ended"]);
    let data: Vec<&Value> = events.iter().map(|event| &event.body["data"]).collect();
    assert_eq!((&data[2]["status"], &data[3]["previous_status"]), (&json!("Paused"), &json!("Paused")));
    assert_eq!(data[3]["launch_specification"], json!({"volumes": ["w"], "ssh_keys": ["k"]}), "no script");
    let at = |event: usize| instant(&data[event]["effective_at"]);
    let unit_micros = 4 * (at(4) - at(2)).num_microseconds().unwrap();
    assert!(unit_micros > 0);
    assert_eq!(data[4]["pause_credit_cents"], json!((unit_micros + 18) / 36));
    assert_eq!((data[4].get("return_credit_cents"), data[5].get("pause_credit_cents")), (None, None));
    assert_eq!(data[5]["return_credit_cents"], terminated["credit_cents"]);
    assert!(data[..4].iter().all(|data| data.get("pause_credit_cents").is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_refused_by_policy_and_by_state() {
    let berth = Berth::start().await;
    pool(&berth, 3600, json!({"pausable": false})).await;
    let body = |start: String| json!({"pool": "p", "start_time": start, "end_time": hours_from_now(2), "quantity": 1});
    let id = berth.ask("reserve", body(hours_from_now(0))).await.ok()["reservation_id"].clone();
    berth.ask("update", json!({"reservation_id": id, "paused": true})).await.refused("not_pausable");
    pool(&berth, 3600, json!({})).await;
    let later = berth.ask("reserve", body(hours_from_now(1))).await.ok()["reservation_id"].clone();
    let details = berth.ask("update", json!({"reservation_id": later, "paused": true})).await.refused("invalid_state");
    assert_eq!(details, json!({"status": "Pending", "allowed": ["Active", "Paused"]}));
    berth.ask("update", json!({"reservation_id": id, "paused": true})).await.ok();
    let other = berth.ask_as("other", "update", &[], &json!({"reservation_id": id, "name": "n"}).to_string()).await;
    other.refused("not_found");
}

/// All that one request may carry, and then more by another: it stays small enough for one message.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_carried_stays_as_small_as_one_request() {
    let berth = Berth::start().await;
    berth.admin("pool_put", json!({"pool": "large", "capacity": 10_000, "grain_seconds": 3600})).await.ok();
    let names: Vec<String> = (0..1000).map(|number| format!("{number:0>255}")).collect();
    let launch = json!({"volumes": names, "ssh_keys": names});
    let mut events = berth.events().await;
    let body = json!({"pool": "large", "start_time": hours_from_now(0), "end_time": hours_from_now(2),
                      "quantity": 10_000, "launch_specification": launch});
    let id = berth.ask("reserve", body).await.ok()["reservation_id"].clone();
    let wide: Vec<String> = (0..1000).map(|number| format!("{number:é>255}")).collect();
    let details = berth.ask("update", json!({"reservation_id": id, "volumes": wide})).await.refused("invalid_request");
    assert_eq!(details, json!({"field": "volumes", "reason": "out_of_range"}));
    berth.ask("update", json!({"reservation_id": id, "volumes": names[..999]})).await.ok();
    assert_eq!(events.kinds(3).await, ["placed", "active", "updated"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_is_announced_before_it_comes_and_again_after_an_extension() {
    let berth = Berth::start().await;
    pool(&berth, 1, json!({"ending_soon_seconds": 2})).await;
    let mut events = berth.events().await;
    let at = |seconds| seconds_from_now(seconds);
    let (start, warning, end, later_warning, later_end) = (at(1), at(2), at(4), at(4), at(6));
    let body = json!({"pool": "p", "start_time": start, "end_time": end, "quantity": 1});
    let id = berth.ask("reserve", body).await.ok()["reservation_id"].clone();
    let mut seen = events.take(3).await;
    berth.ask("update", json!({"reservation_id": id, "paused": true})).await.ok();
    berth.ask("extend", json!({"reservation_id": id, "end_time": later_end})).await.ok();
    seen.extend(events.take(4).await);
    let kinds: Vec<&str> = seen.iter().map(Event::kind).collect();
    assert_eq!(kinds, ["placed", "active", "ending_soon", "paused", "extended", "ending_soon", "ended"]);
    let data = |number: usize| &seen[number].body["data"];
    for (number, status, effective_at, end) in
        [(2, "Active", &warning, &end), (5, "Paused", &later_warning, &later_end)]
    {
        let data = data(number);
        assert_eq!((&data["status"], &data["previous_status"]), (&json!(status), &json!(status)));
        assert_eq!((&data["effective_at"], &data["end_time"]), (&json!(effective_at), &json!(end)));
        let late = instant(&seen[number].body["time"]) - instant(&data["effective_at"]);
        assert!((0..500).contains(&late.num_milliseconds()), "{late}");
    }
    assert_eq!((&data(6)["effective_at"], &data(6)["previous_status"]), (&json!(later_end), &json!("Paused")));
}

/// A worker that was away announces what fell due meanwhile, before the end that followed.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_to_be_announced_while_nothing_ran_is_made_up_for() {
    let mut berth = Berth::start().await;
    pool(&berth, 1, json!({"ending_soon_seconds": 1})).await;
    let (start, end) = (seconds_from_now(2), seconds_from_now(4));
    let warning = seconds_from_now(3);
    let body = json!({"pool": "p", "start_time": start, "end_time": end, "quantity": 1});
    let id = berth.ask("reserve", body).await.ok()["reservation_id"].clone();
    berth.workers.pop().unwrap().stop().await;
    // The wait is the subject of the test: all three instants pass while no worker runs.
    let pause = instant(&json!(end)) - instant(&json!(seconds_from_now(0))) + chrono::TimeDelta::seconds(1);
    tokio::time::sleep(pause.to_std().unwrap()).await;
    berth.add_worker().await;
    assert_eq!(berth.ask("get", json!({"reservation_id": id})).await.ok()["version"], 4);
    let events = berth.events().await.take(4).await;
    let made_up: Vec<(&str, &str)> = events
        .iter()
        .skip(1)
        .map(|event| (event.kind(), event.body["data"]["effective_at"].as_str().unwrap()))
        .collect();
    assert_eq!(made_up, [("active", &*start), ("ending_soon", &*warning), ("ended", &*end)]);
}
