//! The steps around what is published: the result of a submitted command, and the events.

use std::time::Duration;

use async_nats::jetstream::consumer::{FromConsumer, pull};
use async_nats::jetstream::{self, stream::Stream};
use futures::StreamExt;
use serde_json::json;

use super::client::headers;
use super::process::{WorkerProcess, until};
use super::{make_pool, one_hour};
use crate::checker::{Answered, check};
use crate::harness::{Berth, Reply, within};
use crate::tap::{Tap, Way};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_between_a_result_and_its_acknowledgement_applies_the_command_once() {
    let berth = Berth::without_workers().await;
    let mut answered = Vec::new();
    // Without a key a message has that of its place in the stream.
    for (number, key) in [Some("k"), None].into_iter().enumerate() {
        let mut nats = Tap::before(&berth.nats_url).await;
        let worker = WorkerProcess::start_on(&berth, &berth.database_url, &nats.url).await;
        make_pool(&berth).await;
        let mut results = berth.nats.subscribe(format!("{}.result.v1.acme.reserve", berth.root)).await.unwrap();
        nats.set(Way::Out, "PUB $JS.ACK.");
        submit(&berth, key).await;
        let _held = nats.caught().await;
        worker.kill().await;
        let first = Reply::of(within("the result", results.next()).await.unwrap());
        assert_eq!(first.code(), "ok", "{}", first.body);
        let own_key = first.headers.get("Idempotency-Key").unwrap().as_str().to_owned();
        assert_eq!(key.unwrap_or(&own_key), own_key);

        let next = WorkerProcess::start(&berth).await;
        let submitted = shorten_ack_wait(&berth).await;
        let again = Reply::of(within("the result again", results.next()).await.unwrap());
        assert!(again.is_replay());
        assert_eq!(again.bytes, first.bytes);
        let is_empty = async || submitted.get_info().await.unwrap().state.messages == 0;
        within("the acknowledgement", until(is_empty)).await;
        let name = format!("{}_RESULT", berth.root.to_uppercase());
        let stored = jetstream::new(berth.nats.clone()).get_stream(name).await.unwrap().get_info().await.unwrap();
        assert_eq!(stored.state.messages, number as u64 + 1, "each result stands in its stream once");
        answered.push(Answered { verb: "reserve".to_owned(), key: Some(own_key), reply: first });
        next.stop().await;
    }
    let _next = WorkerProcess::start(&berth).await;
    let retried = berth.insist("reserve", "k", &one_hour()).await;
    assert!(retried.reply.is_replay(), "core and submitted requests share their keys");
    answered.push(retried);
    check(&berth, &answered).await;
}

/// Returns when it is accepted.
async fn submit(berth: &Berth, key: Option<&str>) {
    let subject = format!("{}.submit.v1.acme.reserve", berth.root);
    let context = jetstream::new(berth.nats.clone());
    let sent = context.publish_with_headers(subject, headers(key), one_hour().to_string().into()).await.unwrap();
    within("the PubAck", sent.into_future()).await.unwrap();
}

/// What was not acknowledged is delivered again after 30 seconds; no test has that long.
async fn shorten_ack_wait(berth: &Berth) -> Stream {
    let name = format!("{}_SUBMIT", berth.root.to_uppercase());
    let submitted = jetstream::new(berth.nats.clone()).get_stream(name).await.unwrap();
    let consumer = submitted.get_consumer::<pull::Config>(&berth.root).await.unwrap();
    let mut config = pull::Config::try_from_consumer_config(consumer.cached_info().config.clone()).unwrap();
    config.ack_wait = Duration::from_secs(1);
    submitted.update_consumer(config).await.unwrap();
    submitted
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_killed_between_its_publish_and_the_cursor_has_published_each_event_once_and_in_order() {
    let berth = Berth::without_workers().await;
    let mut nats = Tap::before(&berth.nats_url).await;
    let worker = WorkerProcess::start_on(&berth, &berth.database_url, &nats.url).await;
    make_pool(&berth).await;
    let mut answered = vec![berth.insist("reserve", "first", &one_hour()).await];
    let mut events = berth.events().await;
    events.next().await;
    // The acknowledgement of that one has passed once the cursor has moved: the next one is caught.
    let sql = berth.sql().await;
    within("the cursor", async { while behind(&sql).await > 0 {} }).await;
    nats.set(Way::In, format!(r#"{{"stream":"{}_EVENTS""#, berth.root.to_uppercase()));
    // Locks of many lanes in one commit: a batch of several events.
    let items: Vec<_> = (0..20).map(|item| json!({"requester": "a", "resource": format!("r{item}")})).collect();
    let _never_answered = berth.send("lock", Some("locks"), &json!(items)).await;
    let _held = nats.caught().await;
    worker.kill().await;
    events.take(20).await; // they are in the stream, and the cursors don't say so
    assert!(behind(&sql).await > 0, "the worker was killed too late to show anything");

    let _next = WorkerProcess::start(&berth).await;
    pass_lease(&berth).await;
    let locks = berth.insist("lock", "locks", &json!(items)).await;
    assert!(locks.reply.is_replay());
    answered.extend(locks.reply.body.as_array().unwrap().iter().map(|item| Answered {
        verb: "lock".to_owned(),
        key: None,
        reply: Reply { body: item.clone(), ..locks.reply.clone() },
    }));
    answered.push(Answered { verb: "locks".to_owned(), ..locks });
    answered.push(berth.insist("reserve", "last", &one_hour()).await);
    check(&berth, &answered).await;
}

/// In how many lanes the cursor has not come to the end.
async fn behind(sql: &sqlx::PgPool) -> i64 {
    let behind = "select count(*) from lane join relay_cursor using (lane) where lane.seq > relay_cursor.seq";
    sqlx::query_scalar(behind).fetch_one(sql).await.unwrap()
}

/// Lets the time of the relay's lease pass, by hand.
pub async fn pass_lease(berth: &Berth) {
    let passed = "update lease set expires_at = clock_timestamp() where role = 'relay'";
    sqlx::query(passed).execute(&berth.sql().await).await.unwrap();
}
