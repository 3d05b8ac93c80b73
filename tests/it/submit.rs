//! The durable path: a command into one stream, its outcome out of another.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::{self, consumer, stream};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::harness::{Berth, LIMIT, Reply, hours_from_now, metric, within};

struct Results(consumer::pull::Ordered);

impl Results {
    async fn of(berth: &Berth) -> Results {
        let stream = stream(berth, "RESULT").await;
        let consumer = stream.create_consumer(consumer::pull::OrderedConfig::default()).await.unwrap();
        Results(consumer.messages().await.unwrap())
    }

    /// The next result: its subject behind the root, its key, and what it says.
    async fn next(&mut self) -> (String, String, Reply) {
        let message = within("a result", self.0.next()).await.unwrap().unwrap();
        let headers = message.headers.clone().unwrap_or_default();
        let key = headers.get("Idempotency-Key").unwrap().to_string();
        let subject = message.subject.split_once('.').unwrap().1.to_owned();
        let body = serde_json::from_slice(&message.payload).unwrap();
        (subject, key, Reply { body, bytes: message.payload.to_vec(), headers })
    }
}

async fn stream(berth: &Berth, name: &str) -> stream::Stream {
    let name = format!("{}_{name}", berth.root.to_uppercase());
    jetstream::new(berth.nats.clone()).get_stream(name).await.unwrap()
}

/// Publishes a command and waits until the stream has it.
async fn submit(berth: &Berth, address: &str, key: Option<&str>, body: &str) -> Result<(), String> {
    let mut headers = HeaderMap::new();
    key.into_iter().for_each(|key| headers.insert("Idempotency-Key", key));
    let subject = format!("{}.submit.v1.{address}", berth.root);
    let context = jetstream::new(berth.nats.clone());
    let sent = context.publish_with_headers(subject, headers, body.to_owned().into()).await.unwrap();
    within("an acknowledgement", sent.into_future()).await.map(drop).map_err(|error| error.to_string())
}

/// Waits until the work queue is empty: a message is acknowledged a moment after its result is there.
async fn until_empty(berth: &Berth) {
    let deadline = tokio::time::Instant::now() + LIMIT;
    let mut stream = stream(berth, "SUBMIT").await;
    while stream.info().await.unwrap().state.messages > 0 {
        assert!(tokio::time::Instant::now() < deadline, "still in the queue");
        tokio::time::sleep(Duration::from_millis(10)).await; // the server tells nobody of an acknowledgement
    }
}

async fn holds(berth: &Berth) -> i64 {
    sqlx::query_scalar("select count(*) from hold").fetch_one(&berth.sql().await).await.unwrap()
}

fn reserve(quantity: u32) -> String {
    let (start, end) = (hours_from_now(1), hours_from_now(2));
    json!({"pool": "p", "start_time": start, "end_time": end, "quantity": quantity}).to_string()
}

async fn berth_with_pool() -> Berth {
    let berth = Berth::start().await;
    berth.admin("pool_put", json!({"pool": "p", "capacity": 1000})).await.ok();
    berth
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submitted_command_has_a_result_and_leaves_the_queue() {
    let berth = berth_with_pool().await;
    let mut results = Results::of(&berth).await;
    submit(&berth, "acme.reserve", Some("order-1"), &reserve(4)).await.unwrap();
    let (subject, key, result) = results.next().await;
    assert_eq!((subject.as_str(), key.as_str()), ("result.v1.acme.reserve", "order-1"));
    let receipt = berth.ask("receipt", json!({"idempotency_key": "order-1"})).await;
    assert_eq!(receipt.bytes, result.bytes);
    let reservation = result.ok();
    assert_eq!(reservation["status"], "Pending");
    let id = &reservation["reservation_id"];
    assert_eq!(berth.ask("get", json!({"reservation_id": id})).await.ok(), reservation);
    until_empty(&berth).await;
    assert_eq!(holds(&berth).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submitted_command_without_a_key_gets_one_that_nobody_can_send() {
    let berth = berth_with_pool().await;
    let mut results = Results::of(&berth).await;
    submit(&berth, "acme.reserve", None, &reserve(1)).await.unwrap();
    submit(&berth, "acme.reserve", None, &reserve(1)).await.unwrap();
    let (_, first, reply) = results.next().await;
    let (_, second, _) = results.next().await;
    assert!(first.starts_with("berth:"), "{first}");
    assert!(second.starts_with("berth:") && second != first, "{second}");
    let receipt = berth.ask("receipt", json!({"idempotency_key": first})).await;
    assert_eq!(receipt.bytes, reply.bytes);
    submit(&berth, "acme.reserve", Some(&first), &reserve(1)).await.unwrap();
    let (_, third, refused) = results.next().await;
    refused.refused("invalid_idempotency_key");
    assert!(third.starts_with("berth:") && third != first, "the result names a key of its own: {third}");
    assert_eq!(holds(&berth).await, 2);
    until_empty(&berth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_on_both_ways_at_once_has_one_effect() {
    let berth = berth_with_pool().await;
    let mut results = Results::of(&berth).await;
    for round in 0..10 {
        let (key, body) = (format!("order-{round}"), reserve(1));
        let headers = [("Idempotency-Key", key.as_str())];
        let asked = berth.ask_as("acme", "reserve", &headers, &body);
        let (asked, submitted, again) = tokio::join!(
            asked,
            submit(&berth, "acme.reserve", Some(&key), &body),
            submit(&berth, "acme.reserve", Some(&key), &body),
        );
        submitted.and(again).unwrap();
        let (first, second) = (results.next().await.2, results.next().await.2);
        assert_eq!((&first.bytes, &second.bytes), (&asked.bytes, &asked.bytes));
        let replies = [asked, first, second];
        assert_eq!(replies.iter().filter(|reply| !reply.is_replay()).count(), 1);
        assert_eq!(holds(&berth).await, round + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_carried_out_has_a_refusal_for_a_result_and_is_acknowledged() {
    let berth = berth_with_pool().await;
    let mut results = Results::of(&berth).await;
    let good = reserve(1);
    for (address, key, body, subject, code) in [
        ("acme.fly", "k1", good.as_str(), "acme.fly", "unknown_verb"),
        ("acme.pool_put", "k2", r#"{"pool":"q","capacity":1}"#, "acme.pool_put", "unknown_verb"),
        ("acme.reserve.now", "k3", &good, "acme.-", "unknown_verb"),
        ("BAD.reserve", "k4", &good, "-.reserve", "not_found"),
        ("acme", "k5", &good, "acme.-", "unknown_verb"),
        ("acme.reserve", "k6", "nonsense", "acme.reserve", "invalid_json"),
        ("acme.reserve", "k7", "{\"pool\":\"\0\"}", "acme.reserve", "invalid_json"),
        ("acme.reserve", "k8", &reserve(1001), "acme.reserve", "insufficient_capacity"),
        ("acme.cancel", "k9", "{}", "acme.cancel", "invalid_request"),
    ] {
        submit(&berth, address, Some(key), body).await.unwrap();
        let (found, sent_with, refused) = results.next().await;
        assert_eq!((found, sent_with), (format!("result.v1.{subject}"), key.to_owned()), "{address}");
        refused.refused(code);
    }
    // Invisible to tenants, so of no effect; but a submitted read has a result as well.
    submit(&berth, "acme.list", Some("k10"), "{}").await.unwrap();
    assert_eq!(results.next().await.2.ok()["data"], json!([]));
    until_empty(&berth).await;
    berth.ask("receipt", json!({"idempotency_key": "k8"})).await.refused("insufficient_capacity");
    berth.ask("receipt", json!({"idempotency_key": "k6"})).await.refused("not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_no_worker_runs_commands_wait_and_a_full_queue_refuses_the_next() {
    let mut berth = berth_with_pool().await;
    berth.workers.pop().unwrap().stop().await;
    let mut config = stream(&berth, "SUBMIT").await.cached_info().config.clone();
    config.max_messages = 3;
    jetstream::new(berth.nats.clone()).update_stream(config).await.unwrap();
    let mut results = Results::of(&berth).await;
    for number in 0..3 {
        submit(&berth, "acme.reserve", Some(&format!("order-{number}")), &reserve(1)).await.unwrap();
    }
    let refused = submit(&berth, "acme.reserve", Some("order-3"), &reserve(1)).await.unwrap_err();
    assert!(refused.contains("maximum messages exceeded"), "{refused}");
    assert_eq!(holds(&berth).await, 0);
    berth.add_worker().await;
    let mut keys = Vec::new();
    for _ in 0..3 {
        let (_, key, result) = results.next().await;
        result.ok();
        keys.push(key);
    }
    keys.sort();
    assert_eq!(keys, ["order-0", "order-1", "order-2"]);
    until_empty(&berth).await;
    submit(&berth, "acme.reserve", Some("order-3"), &reserve(1)).await.unwrap();
    assert_eq!(results.next().await.1, "order-3");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_the_queue_and_each_command_has_one_result() {
    let mut berth = berth_with_pool().await;
    berth.add_worker().await;
    let mut results = Results::of(&berth).await;
    let sent = (0..200).map(async |number| {
        submit(&berth, "acme.reserve", Some(&format!("order-{number}")), &reserve(1)).await.unwrap();
    });
    futures::future::join_all(sent).await;
    let mut keys = std::collections::BTreeSet::new();
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let (_, key, result) = results.next().await;
        assert!(!result.is_replay(), "{key} was carried out twice");
        let reservation: Value = result.ok();
        keys.insert(key);
        ids.insert(reservation["reservation_id"].to_string());
    }
    assert_eq!((keys.len(), ids.len(), holds(&berth).await), (200, 200, 200));
    until_empty(&berth).await;
    assert_eq!(stream(&berth, "RESULT").await.cached_info().state.messages, 200);
    for worker in &berth.workers {
        let done = metric(worker.http, r#"berth_requests_total{code="ok",verb="reserve"}"#).await;
        assert!(done > 0.0, "one of them did all of it");
    }
}

/// A read makes no sense here, but is answered; nothing is stored for it, not under its own key either.
#[tokio::test(flavor = "multi_thread")]
async fn a_submitted_look_is_answered_and_nothing_is_stored() {
    let berth = berth_with_pool().await;
    let mut results = Results::of(&berth).await;
    submit(&berth, "acme.quote", None, &reserve(1)).await.unwrap();
    let (subject, _, reply) = results.next().await;
    assert_eq!(subject, "result.v1.acme.quote");
    assert_eq!(reply.ok()["offers"][0]["total_price"], 0);
    until_empty(&berth).await;
    let receipts: i64 = sqlx::query_scalar("select count(*) from receipt").fetch_one(&berth.sql().await).await.unwrap();
    assert_eq!(receipts, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submitted_dry_run_has_a_result_and_no_receipt() {
    let berth = berth_with_pool().await;
    let mut results = Results::of(&berth).await;
    let dry = reserve(4).replacen('{', r#"{"dry_run":true,"#, 1);
    for _ in 0..2 {
        submit(&berth, "acme.reserve", Some("order-1"), &dry).await.unwrap();
        let (_, key, result) = results.next().await;
        assert_eq!((key.as_str(), result.is_replay()), ("order-1", false));
        assert_eq!(result.ok()["dry_run"], true);
    }
    berth.ask("receipt", json!({"idempotency_key": "order-1"})).await.refused("not_found");
    submit(&berth, "acme.reserve", Some("order-1"), &reserve(4)).await.unwrap();
    assert_eq!(results.next().await.2.ok()["version"], 1);
    assert_eq!(holds(&berth).await, 1);
    until_empty(&berth).await;
}
