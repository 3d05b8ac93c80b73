//! The request-reply path as a NATS service: who is found, who answers, and what happens where nobody can.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::{Message, Subscriber};
use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};

use crate::harness::{Berth, LIMIT, Reply, fresh_name, hours_from_now, http_get, metric, start_stack, within};

fn reserve() -> Value {
    json!({"pool": "p", "start_time": hours_from_now(1), "end_time": hours_from_now(2), "quantity": 1})
}

async fn with_pool(workers: usize) -> Berth {
    let berth = Berth::with_workers(workers).await;
    berth.admin("pool_put", json!({"pool": "p", "capacity": 1000})).await.ok();
    berth
}

/// An inbox of one's own, and its name.
async fn inbox(berth: &Berth) -> (String, Subscriber) {
    let name = berth.nats.new_inbox();
    let subscriber = berth.nats.subscribe(format!("{name}.>")).await.unwrap();
    berth.nats.flush().await.unwrap();
    (name, subscriber)
}

/// As many answers as there are workers.
async fn ask_all(berth: &Berth, subject: String, count: usize) -> Vec<Value> {
    let (name, subscriber) = inbox(berth).await;
    berth.nats.publish_with_reply(subject, format!("{name}.x"), Default::default()).await.unwrap();
    let mut answers: Vec<Message> = within("the answers", subscriber.take(count).collect()).await;
    answers.drain(..).map(|message| serde_json::from_slice(&message.payload).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_found_by_ping_info_and_stats_with_their_verbs_and_queue_group() {
    let berth = with_pool(2).await;
    let root = &berth.root;
    let pings = ask_all(&berth, format!("$SRV.PING.{root}"), 2).await;
    assert_ne!(pings[0]["id"], pings[1]["id"]);
    assert!(pings.iter().all(|ping| ping["name"] == **root && ping["version"] == env!("CARGO_PKG_VERSION")));
    let id = pings[0]["id"].as_str().unwrap();
    assert_eq!(ask_all(&berth, format!("$SRV.PING.{root}.{id}"), 1).await[0]["id"], id);
    for kind in ["INFO", "STATS"] {
        for answer in ask_all(&berth, format!("$SRV.{kind}.{root}"), 2).await {
            let endpoints: BTreeMap<&str, (&str, &str)> = answer["endpoints"]
                .as_array()
                .unwrap()
                .iter()
                .map(|endpoint| {
                    let text = |name: &str| endpoint[name].as_str().unwrap();
                    (text("name"), (text("subject"), text("queue_group")))
                })
                .collect();
            assert_eq!(endpoints.len(), berth::wire::verb::Verb::ALL.len(), "{answer}");
            assert_eq!(endpoints["reserve"], (&*format!("{root}.v1.*.reserve"), &**root));
            assert_eq!(endpoints["pool_put"], (&*format!("{root}.admin.v1.pool_put"), &**root));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stats_count_what_was_answered_and_what_was_refused() {
    let berth = with_pool(1).await;
    let stats = async || {
        let all = ask_all(&berth, format!("$SRV.STATS.{}", berth.root), 1).await;
        let endpoints = all[0]["endpoints"].as_array().unwrap();
        endpoints.iter().find(|endpoint| endpoint["name"] == "reserve").unwrap().clone()
    };
    let before = stats().await;
    assert_eq!((&before["num_requests"], &before["num_errors"]), (&json!(0), &json!(0)));
    assert_eq!((&before["last_error"], &before["average_processing_time"]), (&json!(""), &json!(0)));
    berth.ask("reserve", reserve()).await.ok();
    let mut much = reserve();
    much["quantity"] = json!(1001);
    assert_eq!(berth.ask("reserve", much).await.code(), "insufficient_capacity");
    let after = stats().await;
    assert_eq!((&after["num_requests"], &after["num_errors"]), (&json!(2), &json!(1)));
    assert_eq!(after["last_error"], "409:insufficient_capacity");
    let time = |name: &str| after[name].as_u64().unwrap();
    assert!(time("average_processing_time") > 0);
    assert_eq!(time("average_processing_time"), time("processing_time") / 2);
}

/// Whoever may ask a service what it is must not have it publish elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_is_is_told_to_inboxes_only() {
    let berth = with_pool(1).await;
    let mut events = berth.nats.subscribe(format!("{}.event.>", berth.root)).await.unwrap();
    let forged = format!("{}.event.v1.acme.forged", berth.root);
    let subject = format!("$SRV.PING.{}", berth.root);
    berth.nats.publish_with_reply(subject.clone(), forged, Default::default()).await.unwrap();
    ask_all(&berth, subject, 1).await; // answered after the first one
    assert!(events.next().now_or_never().is_none(), "an answer where no inbox is");
    assert_eq!(metric(berth.workers[0].http, "berth_replies_dropped_total").await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_the_requests_and_each_is_answered_once() {
    let berth = with_pool(2).await;
    let (name, mut answers) = inbox(&berth).await;
    let subject = format!("{}.v1.acme.reserve", berth.root);
    for number in 0..300 {
        let reply = format!("{name}.{number}");
        berth.nats.publish_with_reply(subject.clone(), reply, reserve().to_string().into()).await.unwrap();
    }
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..300 {
        let message = within("an answer", answers.next()).await.unwrap();
        let body: Value = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(body["status"], "Pending", "{body}");
        *seen.entry(message.subject.to_string()).or_default() += 1;
    }
    assert_eq!(seen.len(), 300, "each once");
    berth.ask("list", json!({})).await.ok();
    assert!(answers.next().now_or_never().is_none(), "nobody twice");
    let mut total = 0.0;
    for worker in &berth.workers {
        let done = metric(worker.http, r#"berth_requests_total{code="ok",verb="reserve"}"#).await;
        assert!(done > 0.0, "one of them did all of it");
        total += done;
    }
    assert_eq!(total, 300.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_reply_subject_is_carried_out() {
    let berth = with_pool(1).await;
    let mut events = berth.events().await;
    berth.nats.publish(format!("{}.v1.acme.reserve", berth.root), reserve().to_string().into()).await.unwrap();
    assert_eq!(events.next().await.kind(), "placed");
    assert_eq!(berth.ask("list", json!({})).await.ok()["data"].as_array().unwrap().len(), 1);
}

/// The lanes are locked in the database from outside, so that the one request that may be in hand stays there.
#[tokio::test(flavor = "multi_thread")]
async fn beyond_what_may_be_in_hand_requests_are_refused_at_once_as_overloaded() {
    let mut berth = Berth::without_workers().await;
    let mut config = berth.config();
    config.in_flight_max = 1;
    berth.workers.push(crate::harness::Worker::start(config).await.unwrap());
    berth.admin("pool_put", json!({"pool": "p", "capacity": 1000})).await.ok();
    let sql = berth.sql().await;
    let mut lanes = sql.acquire().await.unwrap();
    sqlx::raw_sql("begin; select from lane for update").execute(&mut *lanes).await.unwrap();
    let mut asked: futures::stream::FuturesUnordered<_> = (0..50).map(|_| berth.ask("reserve", reserve())).collect();
    for _ in 0..49 {
        let reply: Reply = within("a refusal", asked.next()).await.unwrap();
        assert_eq!(reply.headers.get("Nats-Service-Error-Code").unwrap().as_str(), "429");
        assert_eq!(reply.body["error"]["retryable"], true);
        let details = reply.refused("overloaded");
        assert!(details["retry_after_ms"].as_u64().unwrap() > 0, "{details}");
    }
    sqlx::raw_sql("commit").execute(&mut *lanes).await.unwrap();
    within("the one in hand", asked.next()).await.unwrap().ok();
    assert!(asked.next().await.is_none());
    // The place is free again once the answer has left; nothing tells when.
    let deadline = tokio::time::Instant::now() + LIMIT;
    while berth.ask("reserve", reserve()).await.code() != "ok" {
        assert!(tokio::time::Instant::now() < deadline, "its place is not given back");
    }
}

/// What an impatient client gets now: a code, `ok`, `no responders`, or `silence`.
async fn ask_now(berth: &Berth, verb: &str, body: &Value) -> String {
    let request = async_nats::Request::new().payload(body.to_string().into()).timeout(Some(Duration::from_secs(15)));
    match berth.nats.send_request(format!("{}.v1.acme.{verb}", berth.root), request).await {
        Ok(message) => {
            let body: Value = serde_json::from_slice(&message.payload).unwrap();
            body["error"]["code"].as_str().unwrap_or("ok").to_owned()
        }
        Err(error) if error.kind() == RequestErrorKind::NoResponders => "no responders".to_owned(),
        Err(error) => format!("silence: {error}"),
    }
}

/// Asks until the answer is `expected`; every answer before has to be one of `allowed`.
async fn until(berth: &Berth, verb: &str, body: &Value, expected: &str, allowed: &[&str]) {
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        let answer = ask_now(berth, verb, body).await;
        if answer == expected {
            return;
        }
        assert!(allowed.contains(&answer.as_str()), "{answer}");
        assert!(tokio::time::Instant::now() < deadline, "never {expected}");
        tokio::time::sleep(Duration::from_millis(20)).await; // nothing announces that a worker has left or is back
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_its_postgres_leaves_the_queue_group_and_comes_back_by_itself() {
    let mut stack = start_stack().await;
    let mut berth = Berth::on(stack.database_url(), stack.nats_url(), fresh_name()).await;
    berth.add_worker().await;
    berth.admin("pool_put", json!({"pool": "p", "capacity": 1000})).await.ok();
    let http = berth.workers[0].http;
    let first = berth.ask("reserve", reserve()).await.ok();
    stack.kill_postgres().await.unwrap();
    // What was written to the connection a moment after its end may have arrived, for all that the worker knows.
    until(&berth, "reserve", &reserve(), "no responders", &["unavailable", "unknown_outcome"]).await;
    assert_eq!(http_get(http, "/ready").await, (503, "not ready\n".to_owned()));
    assert_eq!(http_get(http, "/live").await.0, 200);
    stack.start_postgres().await.unwrap();
    let get = json!({"reservation_id": first["reservation_id"]});
    until(&berth, "get", &get, "ok", &["no responders"]).await;
    assert_eq!(http_get(http, "/ready").await.0, 200);
    assert_eq!(berth.ask("get", get).await.ok(), first);
    berth.ask("reserve", reserve()).await.ok();
    berth.workers.pop().unwrap().stop().await;
    stack.stop().await.unwrap();
}

/// Reads alone find out too.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_only_read_from_notices_that_its_postgres_is_away() {
    let mut stack = start_stack().await;
    let mut berth = Berth::on(stack.database_url(), stack.nats_url(), fresh_name()).await;
    berth.add_worker().await;
    berth.ask("list", json!({})).await.ok();
    stack.kill_postgres().await.unwrap();
    until(&berth, "list", &json!({}), "no responders", &["unavailable"]).await;
    assert_eq!(http_get(berth.workers[0].http, "/ready").await.0, 503);
    stack.start_postgres().await.unwrap();
    until(&berth, "list", &json!({}), "ok", &["no responders"]).await;
    berth.workers.pop().unwrap().stop().await;
    stack.stop().await.unwrap();
}
