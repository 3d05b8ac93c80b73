//! One key, one effect, one answer.

use std::time::Duration;

use berth::store::start::Database;
use serde_json::json;

use crate::harness::{Berth, hours_from_now, seconds_from_now, within};

#[tokio::test(flavor = "multi_thread")]
async fn fifty_identical_keys_at_once_have_one_effect_and_equal_answers() {
    let berth = Berth::with_workers(2).await;
    berth.admin("pool_put", json!({"pool": "gpu", "capacity": 100})).await.ok();
    let body = json!({"pool": "gpu", "start_time": hours_from_now(1), "end_time": hours_from_now(2), "quantity": 1});
    let replies = futures::future::join_all((0..50).map(|_| berth.ask_with_key("reserve", "once", body.clone()))).await;
    let first = &replies[0];
    assert_eq!(first.code(), "ok", "{}", first.body);
    assert!(replies.iter().all(|reply| reply.bytes == first.bytes));
    assert_eq!(replies.iter().filter(|reply| !reply.is_replay()).count(), 1);
    let holds: i64 = sqlx::query_scalar("select count(*) from hold").fetch_one(&berth.sql().await).await.unwrap();
    assert_eq!(holds, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_on_two_pools_at_two_workers_has_one_effect() {
    let berth = Berth::with_workers(2).await;
    for pool in 0..8 {
        berth.admin("pool_put", json!({"pool": format!("p{pool}"), "capacity": 100})).await.ok();
    }
    for round in 0..10 {
        let ask = |pool: u32| {
            let (start, end) = (hours_from_now(1), hours_from_now(2));
            let body = json!({"pool": format!("p{pool}"), "start_time": start, "end_time": end, "quantity": 1});
            berth.ask_with_key("reserve", "shared", body)
        };
        let replies = futures::future::join_all((0..8).map(ask)).await;
        let conflicts = replies.iter().filter(|reply| reply.code() == "idempotency_key_conflict").count();
        let fresh = replies.iter().filter(|reply| reply.code() == "ok" && !reply.is_replay()).count();
        assert_eq!((fresh, conflicts), (usize::from(round == 0), 7), "round {round}");
    }
    let holds: i64 = sqlx::query_scalar("select count(*) from hold").fetch_one(&berth.sql().await).await.unwrap();
    assert_eq!(holds, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_meaning_under_the_same_key_names_the_field_that_differs() {
    let berth = Berth::start().await;
    berth.admin("pool_put", json!({"pool": "gpu", "capacity": 100})).await.ok();
    let (start, end) = (hours_from_now(1), hours_from_now(2));
    let body = json!({"pool": "gpu", "start_time": start, "end_time": end, "quantity": 1});
    let first = berth.ask_with_key("reserve", "k", body.clone()).await;
    let same = format!(
        r#" {{"quantity":1,"end_time":"{}","pool":"gpu","name":null,"start_time":"{start}"}}"#,
        end.replace('Z', "+00:00")
    );
    let replayed = berth.ask_as("acme", "reserve", &[("Idempotency-Key", "k")], &same).await;
    assert!(replayed.is_replay());
    assert_eq!(replayed.bytes, first.bytes);
    let other = json!({"pool": "gpu", "start_time": start, "end_time": end, "quantity": 2});
    let details = berth.ask_with_key("reserve", "k", other).await.refused("idempotency_key_conflict");
    assert_eq!(details["field"], "quantity");
    let id = first.ok()["reservation_id"].clone();
    let details = berth.ask_with_key("cancel", "k", json!({"reservation_id": id})).await;
    assert_eq!(details.refused("idempotency_key_conflict")["field"], "verb");
    let stranger = berth.ask_as("other", "reserve", &[("Idempotency-Key", "k")], &body.to_string()).await;
    assert!(!stranger.is_replay(), "keys are each tenant's own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_of_a_success_long_after_its_window_is_that_success() {
    let berth = Berth::start().await;
    berth.pool("short", 1).await;
    let mut events = berth.events().await;
    let body =
        json!({"pool": "short", "start_time": seconds_from_now(2), "end_time": seconds_from_now(3), "quantity": 1});
    let first = berth.ask_with_key("reserve", "k", body.clone()).await;
    assert_eq!(first.code(), "ok", "{}", first.body);
    while within("the end", events.next()).await.kind() != "ended" {}
    let again = berth.ask_with_key("reserve", "k", body.clone()).await;
    assert!(again.is_replay());
    assert_eq!(again.bytes, first.bytes);
    berth.ask("reserve", body).await.refused("lead_time_violation");
    let receipt = berth.ask("receipt", json!({"idempotency_key": "k"})).await;
    assert_eq!(receipt.bytes, first.bytes);
    berth.ask("receipt", json!({"idempotency_key": "unused"})).await.refused("not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_was_decided_is_the_answer_to_its_key() {
    let berth = Berth::start().await;
    berth.admin("pool_put", json!({"pool": "gpu", "capacity": 1})).await.ok();
    let body = json!({"pool": "gpu", "start_time": hours_from_now(1), "end_time": hours_from_now(2), "quantity": 1});
    let first = berth.ask("reserve", body.clone()).await.ok();
    let refused = berth.ask_with_key("reserve", "k", body.clone()).await;
    assert_eq!(refused.code(), "insufficient_capacity");
    berth.ask("cancel", json!({"reservation_id": first["reservation_id"]})).await.ok();
    let again = berth.ask_with_key("reserve", "k", body.clone()).await;
    assert!(again.is_replay());
    assert_eq!(again.bytes, refused.bytes);
    let unknown =
        json!({"pool": "later", "start_time": hours_from_now(1), "end_time": hours_from_now(2), "quantity": 1});
    berth.ask_with_key("reserve", "k2", unknown.clone()).await.refused("unknown_pool");
    berth.admin("pool_put", json!({"pool": "later", "capacity": 1})).await.ok();
    berth.ask_with_key("reserve", "k2", unknown).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_is_replayed_though_its_kind_is_another_pools_by_now() {
    let berth = Berth::start().await;
    let subject = format!("{}.admin.v1.pool_put", berth.root);
    let of_kind = json!({"pool": "c", "capacity": 1, "instance_type": "k", "region": "r"}).to_string();
    let put = async || {
        let headers = [("Idempotency-Key", "put-c")];
        berth.ask_subject(subject.clone(), &headers, of_kind.clone().into_bytes()).await
    };
    let first = put().await;
    assert_eq!(first.code(), "ok", "{}", first.body);
    berth.admin("pool_put", json!({"pool": "c", "capacity": 1})).await.ok();
    berth.admin("pool_put", json!({"pool": "d", "capacity": 1, "instance_type": "k", "region": "r"})).await.ok();
    let again = put().await;
    assert!(again.is_replay(), "{}", again.body);
    assert_eq!(again.bytes, first.bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_comes_before_an_unknown_pool_also_where_no_lane_is_known() {
    let berth = Berth::start().await;
    let (start, end) = (hours_from_now(1), hours_from_now(2));
    let body = json!({"instance_type": "x", "region": "y", "start_time": start, "end_time": end, "quantity": 1});
    let late = [("Berth-Not-After", "2020-01-01T00:00:00Z")];
    berth.ask_as("acme", "reserve", &late, &body.to_string()).await.refused("deadline_exceeded");
    berth.ask("reserve", body).await.refused("unknown_pool");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_stands_in_its_event_is_stored_once_and_comes_again_when_the_event_has_left_the_journal() {
    let berth = Berth::start().await;
    berth.pool("p", 100).await;
    let window = |from: i64| (hours_from_now(from), hours_from_now(from + 1));
    let (start, end) = window(1);
    let plain =
        json!({"pool": "p", "start_time": start, "end_time": end, "quantity": 1, "tags": {"data": "\"data\":{"}});
    // Never in an event, so its reply can't be told by one.
    let secret = json!({"launch_specification": {"volumes": [], "ssh_keys": [], "startup_script": "x"}, "pool": "p", "quantity": 1,
        "start_time": window(3).0, "end_time": window(3).1});
    let (plain_reply, secret_reply) = (
        berth.ask_with_key("reserve", "a", plain.clone()).await,
        berth.ask_with_key("reserve", "b", secret.clone()).await,
    );
    let cancel = json!({"reservation_id": serde_json::from_slice::<serde_json::Value>(&plain_reply.bytes).unwrap()["reservation_id"]});
    let canceled = berth.ask_with_key("cancel", "c", cancel.clone()).await;
    let sql = berth.sql().await;
    let count = async |text: &'static str| sqlx::query_scalar::<_, i64>(text).fetch_one(&sql).await.unwrap();
    assert_eq!(count("select count(*) from receipt where body is null").await, 2);
    assert_eq!(count("select count(*) from receipt where body is not null").await, 1);
    let database = Database::connect(&berth.database_url, 2).await.unwrap();
    let again = async || {
        for (key, verb, body, reply) in [
            ("a", "reserve", &plain, &plain_reply),
            ("b", "reserve", &secret, &secret_reply),
            ("c", "cancel", &cancel, &canceled),
        ] {
            let replayed = berth.ask_with_key(verb, key, body.clone()).await;
            assert!(replayed.is_replay(), "{key}: {}", replayed.body);
            assert_eq!(replayed.bytes, reply.bytes, "{key}");
            let receipt = berth.ask("receipt", json!({"idempotency_key": key})).await;
            assert_eq!(receipt.bytes, reply.bytes, "{key}");
        }
    };
    again().await;
    let (hour, soon) = (Duration::from_secs(3_600), Duration::from_micros(1));
    within("the relay's cursor and the sweep behind it", async {
        while count("select count(*) from history").await < 2 {
            // The history is kept as long as receipts, whatever is asked for.
            database.sweep(hour, soon, soon, 640).await.unwrap();
        }
    })
    .await;
    again().await;
    // Somebody has removed the event: no answer is made up, and nobody else is held up.
    sqlx::raw_sql("delete from history").execute(&sql).await.unwrap();
    berth.ask_with_key("reserve", "a", plain.clone()).await.refused("unknown_outcome");
    berth.ask("receipt", json!({"idempotency_key": "a"})).await.refused("unknown_outcome");
    assert!(berth.ask_with_key("reserve", "b", secret.clone()).await.is_replay());
}
