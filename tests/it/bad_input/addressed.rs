//! Subjects and headers.

use async_nats::client::RequestErrorKind;
use futures::{FutureExt, StreamExt};
use serde_json::json;

use super::{Scene, case_with, check_form};
use crate::harness::{hours_from_now, metric, within};

#[tokio::test(flavor = "multi_thread")]
async fn bad_keys_deadlines_and_actors_are_refused_before_anything_is_done() {
    let scene = Scene::set().await;
    let good = scene.reserve("");
    let key = |key: &str| case_with("reserve", ("Idempotency-Key", key), good.as_str(), "invalid_idempotency_key");
    let late = |instant: &str, told| case_with("reserve", ("Berth-Not-After", instant), good.as_str(), told);
    let malformed = "Berth-Not-After invalid_timestamp";
    let actor = "Berth-Actor invalid_string";
    scene
        .hold_to(vec![
            key(""),
            key(&"k".repeat(256)),
            key("a b"),
            key("a.b"),
            key("ключ"),
            key("berth:"),
            key("berth:1:2"),
            late("", malformed),
            late("soon", malformed),
            late("2026-01-01T00:00:00", malformed),
            late("2026-01-01T00:00:60Z", malformed),
            late("1790000000", malformed),
            late("2026-01-01T00:00:00Z", "deadline_exceeded"),
            late(&hours_from_now(-1), "deadline_exceeded"),
            case_with("reserve", ("Berth-Actor", ""), good.as_str(), actor),
            case_with("reserve", ("Berth-Actor", &"a".repeat(256)), good.as_str(), actor),
            case_with("reserve", ("Berth-Actor", "a\tb"), good.as_str(), actor),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_deadline_had_passed_is_as_if_it_had_never_been_used() {
    let scene = Scene::set().await;
    let body = scene.reserve("");
    let ask = async |not_after: &str| {
        let headers = [("Idempotency-Key", "order-1"), ("Berth-Not-After", not_after)];
        scene.berth.ask_as("acme", "reserve", &headers, &body).await
    };
    let (past, future) = (hours_from_now(-1), hours_from_now(1));
    ask(&past).await.refused("deadline_exceeded");
    scene.berth.ask("receipt", json!({"idempotency_key": "order-1"})).await.refused("not_found");
    let first = ask(&future).await;
    assert!(!first.is_replay());
    assert_eq!(first.code(), "ok", "{}", first.body);
    let again = ask(&past).await;
    assert!(again.is_replay(), "a retry of a success is that success, however late");
    assert_eq!(again.bytes, first.bytes);
}

/// Of a header that stands twice the first counts: it is one answer, the same at every worker.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_key_that_stands_twice_the_first_counts() {
    let scene = Scene::set().await;
    let mut headers = async_nats::HeaderMap::new();
    headers.append("Idempotency-Key", "first");
    headers.append("Idempotency-Key", "second");
    let request = async_nats::Request::new().payload(scene.reserve("").into()).headers(headers);
    let subject = format!("{}.v1.acme.reserve", scene.berth.root);
    let sent = within("an answer", scene.berth.nats.send_request(subject, request)).await.unwrap();
    let receipt = scene.berth.ask("receipt", json!({"idempotency_key": "first"})).await;
    assert_eq!(receipt.bytes, sent.payload);
    scene.berth.ask("receipt", json!({"idempotency_key": "second"})).await.refused("not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_that_names_no_tenant_or_no_verb_reaches_nothing() {
    let scene = Scene::set().await;
    let before = scene.rows().await;
    let root = &scene.berth.root;
    for tenant in ["BAD", "-a", "a_b", "ä", &"a".repeat(64)] {
        let reply = scene.berth.ask_as(tenant, "reserve", &[], &scene.reserve("")).await;
        check_form(&reply);
        assert_eq!(reply.code(), "not_found", "{tenant}");
    }
    let nobody = [
        format!("{root}.v1.acme.reserve.now"),
        format!("{root}.v1.acme.x.reserve"),
        format!("{root}.v1.acme.fly"),
        format!("{root}.v1.acme.Reserve"),
        format!("{root}.v1.reserve"),
        format!("{root}.v1.acme.pool_put"),
        format!("{root}.v2.acme.reserve"),
        format!("{root}.admin.v1.reserve"),
        format!("{root}.admin.v1.acme.pool_put"),
    ];
    for subject in nobody {
        let answer = within("an answer", scene.berth.nats.request(subject.clone(), scene.reserve("").into())).await;
        assert_eq!(answer.unwrap_err().kind(), RequestErrorKind::NoResponders, "{subject}");
    }
    assert_eq!(scene.rows().await, before);
}

/// A tenant may make the worker publish nowhere but into inboxes: not a forged event, not a command to another.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_a_reply_subject_outside_the_inboxes_is_neither_answered_nor_applied() {
    let scene = Scene::set().await;
    let berth = &scene.berth;
    let root = &berth.root;
    let before = scene.rows().await;
    let events_before = scene_events(&scene).await;
    let subjects = [
        format!("{root}.event.v1.acme.reservation.good.placed"),
        format!("{root}.v1.rival.cancel"),
        format!("{root}.submit.v1.rival.reserve"),
        format!("{root}.elsewhere"),
        format!("_INBOX{root}.x"),
        format!("_inbox.{root}"),
        format!("$JS.API.STREAM.DELETE.{}_EVENTS", root.to_uppercase()),
    ];
    berth.events().await.take(events_before as usize).await; // what is heard below is of what follows
    let mut heard = berth.nats.subscribe(format!("{root}.>")).await.unwrap();
    let mut almost = berth.nats.subscribe(format!("_INBOX{root}.x")).await.unwrap();
    let mut small = berth.nats.subscribe(format!("_inbox.{root}")).await.unwrap();
    berth.nats.flush().await.unwrap();
    for reply in &subjects {
        for verb in ["reserve", "get"] {
            let subject = format!("{root}.v1.acme.{verb}");
            berth.nats.publish_with_reply(subject, reply.clone(), scene.reserve("").into()).await.unwrap();
        }
    }
    // One endpoint takes its requests in order, so these come behind the others.
    berth.ask_as("acme", "reserve", &[], &scene.reserve("")).await.ok();
    berth.ask("get", json!({"reservation_id": scene.own["reservation_id"]})).await.ok();
    let placed = within("the event of the good one", async {
        loop {
            let message = heard.next().await.unwrap();
            let is_request = message.reply.is_some() && message.subject.starts_with(&format!("{root}.v1.acme."));
            let is_wake = message.subject.ends_with(".wake.v1");
            if !is_request && !is_wake {
                return message;
            }
        }
    });
    let placed = placed.await;
    assert_eq!(*placed.subject, *format!("{root}.event.v1.acme.reservation.good.placed"));
    assert!(placed.headers.unwrap().get("Berth-Seq").is_some(), "the event is the relay's own");
    assert!(almost.next().now_or_never().is_none());
    assert!(small.next().now_or_never().is_none());
    assert_eq!(scene.rows().await.len(), before.len() + 1, "only the good one");
    assert_eq!(scene_events(&scene).await, events_before + 1);
    let dropped = metric(berth.workers[0].http, "berth_replies_dropped_total").await;
    assert_eq!(dropped, 2.0 * subjects.len() as f64);
}

async fn scene_events(scene: &Scene) -> i64 {
    sqlx::query_scalar("select count(*) from journal").fetch_one(&scene.sql).await.unwrap()
}
