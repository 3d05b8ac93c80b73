//! What an operator and a tracer see.

use serde_json::json;

use crate::crashes::process::until;
use crate::harness::{Berth, Worker, config, hours_from_now, http_get, metric, within};
use crate::tap::{Step, Tap};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACESTATE: &str = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_happened_yet_is_counted_as_none() {
    let berth = Berth::start().await;
    let (_, text) = http_get(berth.workers[0].http, "/metrics").await;
    for line in [
        "berth_batches_total 0",
        r#"berth_batches_not_committed_total{why="lost"} 0"#,
        r#"berth_batches_not_committed_total{why="unknown"} 0"#,
        "berth_slow_consumer_total 0",
        "berth_replies_dropped_total 0",
        "berth_taken_back_total 0",
        "berth_events_published_total 0",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn live_ready_and_metrics_are_served_over_http() {
    let berth = Berth::start().await;
    let http = berth.workers[0].http;
    assert_eq!(http_get(http, "/live").await, (200, "live\n".to_owned()));
    assert_eq!(http_get(http, "/ready").await, (200, "ready\n".to_owned()));
    assert_eq!(http_get(http, "/elsewhere").await.0, 404);
    let mut events = berth.events().await;
    berth.admin("pool_put", json!({"pool": "p", "capacity": 1})).await.ok();
    let body = json!({"pool": "p", "start_time": hours_from_now(1), "end_time": hours_from_now(2), "quantity": 1});
    berth.ask("reserve", body.clone()).await.ok();
    berth.ask("reserve", body).await.refused("insufficient_capacity");
    berth.ask("reserve", json!({})).await.refused("invalid_request");
    berth.ask("list", json!({})).await.ok();
    assert_eq!(events.next().await.kind(), "placed");
    for (name, value) in [
        (r#"berth_requests_total{code="ok",verb="pool_put"}"#, 1.0),
        (r#"berth_requests_total{code="ok",verb="reserve"}"#, 1.0),
        (r#"berth_requests_total{code="insufficient_capacity",verb="reserve"}"#, 1.0),
        (r#"berth_requests_total{code="invalid_request",verb="reserve"}"#, 1.0),
        (r#"berth_requests_total{code="ok",verb="list"}"#, 1.0),
        (r#"berth_request_duration_seconds_count{verb="reserve"}"#, 3.0),
        ("berth_batches_total", 2.0),
        ("berth_batch_events_sum", 1.0),
        ("berth_replies_dropped_total", 0.0),
    ] {
        assert_eq!(metric(http, name).await, value, "{name}");
    }
    let (status, text) = http_get(http, "/metrics").await;
    assert_eq!(status, 200);
    for name in [
        "berth_requests_in_flight",
        "berth_batch_requests",
        "berth_batch_duration_seconds",
        "berth_events_published_total",
        "berth_relay_lag_seconds",
        "berth_relay_backlog_events",
    ] {
        assert!(text.contains(&format!("# TYPE {name} ")), "{name} is not in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requests_trace_goes_on_in_its_reply_and_its_events() {
    let berth = Berth::start().await;
    berth.admin("pool_put", json!({"pool": "p", "capacity": 1})).await.ok();
    let mut events = berth.events().await;
    let body = json!({"pool": "p", "start_time": hours_from_now(1), "end_time": hours_from_now(2), "quantity": 1});
    let headers =
        [("traceparent", TRACEPARENT), ("tracestate", TRACESTATE), ("Berth-Actor", "ann"), ("Idempotency-Key", "k")];
    let first = berth.ask_as("acme", "reserve", &headers, &body.to_string()).await;
    let replayed = berth.ask_as("acme", "reserve", &headers, &body.to_string()).await;
    let query = berth.ask_as("acme", "list", &headers[..2], "{}").await;
    let refused = berth.ask_as("acme", "reserve", &headers[..2], &body.to_string()).await;
    assert_eq!(refused.code(), "insufficient_capacity");
    let malformed = berth.ask_as("acme", "reserve", &headers[..2], "nonsense").await;
    assert_eq!(malformed.code(), "invalid_json");
    for reply in [&first, &replayed, &query, &refused, &malformed] {
        assert_eq!(reply.headers.get("traceparent").map(|value| value.as_str()), Some(TRACEPARENT), "{}", reply.body);
        assert_eq!(reply.headers.get("tracestate").map(|value| value.as_str()), Some(TRACESTATE), "{}", reply.body);
    }
    assert_eq!(first.clone().ok()["created_by"], "ann");
    let event = events.next().await;
    assert_eq!(event.body["data"]["traceparent"], TRACEPARENT);
    assert_eq!(event.body["data"]["actor"], "ann");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_traceparent_is_as_if_absent() {
    let berth = Berth::start().await;
    berth.admin("pool_put", json!({"pool": "p", "capacity": 100})).await.ok();
    let mut events = berth.events().await;
    let body = json!({"pool": "p", "start_time": hours_from_now(1), "end_time": hours_from_now(2), "quantity": 1});
    for bad in [
        "",
        "00-0",
        "nonsense",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
    ] {
        let headers = [("traceparent", bad), ("tracestate", TRACESTATE)];
        let reply = berth.ask_as("acme", "reserve", &headers, &body.to_string()).await;
        assert!(reply.headers.get("traceparent").is_none(), "{bad}");
        assert!(reply.headers.get("tracestate").is_none(), "{bad}");
        reply.ok();
        assert!(events.next().await.body["data"].get("traceparent").is_none(), "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_hand_are_counted_until_they_are_answered() {
    let berth = Berth::without_workers().await;
    let mut tap = Tap::before(&berth.database_url).await;
    let worker = Worker::start(config(&tap.url, &berth.nats_url, &berth.root)).await.unwrap();
    berth.pool("gpu", 1).await;
    let in_flight = async || metric(worker.http, "berth_requests_in_flight").await;
    within("the answer's permit", until(async || in_flight().await == 0.0)).await;
    tap.set_at(Step::Commit);
    let body = json!({"pool": "gpu", "start_time": hours_from_now(1), "end_time": hours_from_now(2), "quantity": 1});
    let mut sent = berth.send("reserve", None, &body).await;
    let held = tap.caught().await;
    assert_eq!(in_flight().await, 1.0);
    held.release();
    assert_eq!(sent.answer().await.reply.code(), "ok");
    within("the answer's permit", until(async || in_flight().await == 0.0)).await;
    worker.stop().await;
}
