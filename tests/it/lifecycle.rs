//! The clock, and the events.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta};
use serde_json::{Value, json};

use crate::harness::{Berth, Event, seconds_from_now};

fn instant(value: &Value) -> DateTime<chrono::FixedOffset> {
    DateTime::parse_from_rfc3339(value.as_str().unwrap()).unwrap()
}

fn lateness(event: &Event) -> TimeDelta {
    instant(&event.body["time"]) - instant(&event.body["data"]["effective_at"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_starts_and_ends_at_its_instants() {
    let berth = Berth::start().await;
    berth.pool("short", 4).await;
    let mut events = berth.events().await;
    let (start, end) = (seconds_from_now(2), seconds_from_now(3));
    let body = json!({"pool": "short", "start_time": start, "end_time": end, "quantity": 4});
    let id = berth.ask("reserve", body).await.ok()["reservation_id"].clone();
    let events = events.take(3).await;
    let kinds: Vec<&str> = events.iter().map(Event::kind).collect();
    assert_eq!(kinds, ["placed", "active", "ended"]);
    let effective: Vec<&Value> = events.iter().skip(1).map(|event| &event.body["data"]["effective_at"]).collect();
    assert_eq!(effective, [&json!(start), &json!(end)]);
    for event in &events[1..] {
        assert!(lateness(event) >= TimeDelta::zero(), "{event:?}");
        assert!(lateness(event) < TimeDelta::milliseconds(500), "{event:?}");
    }
    assert_eq!(events[1].body["data"]["units"][3], json!(format!("{}.3", id.as_str().unwrap())));
    let subject = format!("{}.event.v1.acme.reservation.short.placed", berth.root);
    assert_eq!(events[0].subject, subject);
    let header = |name: &str| events[0].headers.get(name).unwrap().as_str().to_owned();
    assert_eq!(header("Nats-Msg-Id"), events[0].body["id"].as_str().unwrap());
    assert_eq!(header("Content-Type"), "application/cloudevents+json");
    assert!(header("Berth-Seq").split_once(':').is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_confirmed_in_part_or_expires() {
    let berth = Berth::start().await;
    berth.pool("p", 4).await;
    let mut events = berth.events().await;
    let (start, end) = (seconds_from_now(60), seconds_from_now(90));
    let body = json!({"pool": "p", "start_time": start, "end_time": end, "quantity": 4, "hold_seconds": 1});
    let held = berth.ask("reserve", body.clone()).await.ok();
    assert_eq!(held["status"], "Held");
    berth.ask("reserve", body.clone()).await.refused("insufficient_capacity");
    assert_eq!(events.kinds(2).await, ["held", "expired"]);
    let id = &held["reservation_id"];
    berth.ask("confirm", json!({"reservation_id": id})).await.refused("hold_expired");
    assert_eq!(berth.ask("get", json!({"reservation_id": id})).await.ok()["status"], "Expired");
    let body = json!({"pool": "p", "start_time": start, "end_time": end, "quantity": 4, "hold_seconds": 600});
    let held = berth.ask("reserve", body).await.ok();
    let id = &held["reservation_id"];
    let confirmed = berth.ask("confirm", json!({"reservation_id": id, "quantity": 3})).await.ok();
    assert_eq!((&confirmed["status"], &confirmed["quantity"]), (&json!("Pending"), &json!(3)));
    let rest = json!({"pool": "p", "start_time": start, "end_time": end, "quantity": 1});
    berth.ask("reserve", rest).await.ok();
}

/// What fell due while no worker ran is carried out at the start, per hold in order, ends before starts.
#[tokio::test(flavor = "multi_thread")]
async fn what_fell_due_while_nothing_ran_is_made_up_for() {
    let mut berth = Berth::start().await;
    berth.pool("p", 1).await;
    let at = |seconds| seconds_from_now(seconds);
    let (first, second, third) = (at(1), at(2), at(3));
    for (start, end) in [(&second, &third), (&first, &second)] {
        let body = json!({"pool": "p", "start_time": start, "end_time": end, "quantity": 1});
        berth.ask("reserve", body).await.ok();
    }
    let worker = berth.workers.pop().unwrap();
    worker.stop().await;
    // The wait is the subject of the test: all four instants pass while no worker runs.
    let pause = instant(&json!(third)) - instant(&json!(at(0))) + TimeDelta::seconds(1);
    tokio::time::sleep(pause.to_std().unwrap()).await;
    berth.add_worker().await;
    let mut events = berth.events().await;
    let made_up: Vec<(String, String)> = events
        .take(6)
        .await
        .iter()
        .skip(2)
        .map(|event| (event.kind().to_owned(), event.body["data"]["effective_at"].as_str().unwrap().to_owned()))
        .collect();
    let expected = [("active", first), ("ended", second.clone()), ("active", second), ("ended", third)];
    assert_eq!(made_up, expected.map(|(kind, at)| (kind.to_owned(), at)));
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_without_gaps_and_in_order_over_two_workers() {
    let berth = Berth::with_workers(2).await;
    berth.pool("p", 1000).await;
    let mut events = berth.events().await;
    let life = async |number: i64| {
        let start = seconds_from_now(1 + number % 2);
        let body = json!({"pool": "p", "start_time": start, "end_time": seconds_from_now(4), "quantity": 2});
        let id = berth.ask("reserve", body).await.ok()["reservation_id"].clone();
        let end = seconds_from_now(5);
        berth.ask("extend", json!({"reservation_id": id, "end_time": end})).await.ok();
    };
    futures::future::join_all((0..40).map(life)).await;
    let mut seen: BTreeMap<String, Vec<(u64, String)>> = BTreeMap::new();
    for event in events.take(160).await {
        seen.entry(event.hold().to_owned()).or_default().push((event.version(), event.kind().to_owned()));
    }
    assert_eq!(seen.len(), 40);
    for (id, versions) in seen {
        let numbers: Vec<u64> = versions.iter().map(|(version, _)| *version).collect();
        assert_eq!(numbers, [1, 2, 3, 4], "{id} {versions:?}");
        assert_eq!(versions[3].1, "ended", "{id} {versions:?}");
    }
}
