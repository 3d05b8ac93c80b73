//! `list` as of an instant, over a real worker.

use serde_json::{Value, json};

use crate::harness::{Berth, hours_from_now, seconds_from_now};

/// The database's time.
async fn now(sql: &sqlx::PgPool) -> String {
    let text = r#"select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"#;
    sqlx::query_scalar(text).fetch_one(sql).await.unwrap()
}

fn with(body: &Value, more: &Value) -> Value {
    let mut body = body.clone();
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// What a list shows page by page, joined.
async fn listed(berth: &Berth, request: Value) -> Vec<Value> {
    let (mut all, mut next) = (Vec::new(), Value::Null);
    loop {
        let page = berth.ask("list", with(&request, &json!({"next_cursor": next}))).await.ok();
        all.extend(page["data"].as_array().unwrap().iter().cloned());
        next = page["next_cursor"].clone();
        if next.is_null() {
            return all;
        }
    }
}

async fn reserve(berth: &Berth, pool: &str, from: i64, to: i64) -> Value {
    let (start, end) = (hours_from_now(from), hours_from_now(to));
    let body = json!({"pool": pool, "start_time": start, "end_time": end, "quantity": 1});
    berth.ask("reserve", body).await.ok()["reservation_id"].clone()
}

const FILTERS: [&str; 9] = [
    "{}",
    r#"{"pool": "p"}"#,
    r#"{"instance_type": "h100", "region": "eu"}"#,
    r#"{"region": "us"}"#,
    r#"{"status": "Pending"}"#,
    r#"{"status": "Active"}"#,
    r#"{"status": "Paused", "pool": "p"}"#,
    r#"{"status": "Canceled"}"#,
    r#"{"status": "Ended"}"#,
];

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_told_as_it_stood_at_each_instant() {
    let berth = Berth::start().await;
    let sql = berth.sql().await;
    let pool = |name: &str, region: &str| json!({"pool": name, "capacity": 9, "grain_seconds": 3600, "instance_type": "h100", "region": region});
    berth.admin("pool_put", pool("p", "eu")).await.ok();
    berth.admin("pool_put", pool("q", "us")).await.ok();
    let mut seen: Vec<(String, Vec<Vec<Value>>)> = Vec::new();
    let look = async || {
        let mut lists = Vec::new();
        for filter in FILTERS {
            lists.push(listed(&berth, serde_json::from_str(filter).unwrap()).await);
        }
        (now(&sql).await, lists)
    };
    seen.push(look().await);
    let (pending, running) = (reserve(&berth, "p", 2, 3).await, reserve(&berth, "p", 0, 3).await);
    let other = reserve(&berth, "q", 0, 3).await;
    seen.push(look().await);
    berth.ask("cancel", json!({"reservation_id": pending})).await.ok();
    berth.ask("update", json!({"reservation_id": running, "paused": true, "name": "n"})).await.ok();
    let later = reserve(&berth, "p", 4, 5).await;
    seen.push(look().await);
    berth.ask("terminate", json!({"reservation_id": other})).await.ok();
    berth.ask("update", json!({"reservation_id": running, "paused": false})).await.ok();
    berth.ask("extend", json!({"reservation_id": later, "end_time": hours_from_now(7)})).await.ok();
    seen.push(look().await);
    reserve(&berth, "p", 6, 7).await;

    let counts: Vec<usize> = seen.iter().map(|(_, lists)| lists[0].len()).collect();
    assert_eq!(counts, [0, 3, 4, 4]);
    for (at, lists) in &seen {
        for (filter, expected) in FILTERS.iter().zip(lists) {
            let request = with(&serde_json::from_str(filter).unwrap(), &json!({"as_of": at}));
            assert_eq!(listed(&berth, request.clone()).await, *expected, "{filter} as of {at}");
            // One at a time, and the other way round.
            let mut reversed = listed(&berth, with(&request, &json!({"limit": 1, "sort_dir": "asc"}))).await;
            reversed.reverse();
            assert_eq!(reversed, *expected, "{filter} as of {at}, by one");
        }
    }
    let at = json!({"as_of": seen[2].0});
    assert_eq!(berth.ask_as("other", "list", &[], &at.to_string()).await.ok()["data"], json!([]));
    for (more, field) in [(json!({"sort_by": "status"}), "sort_by"), (json!({"as_of": hours_from_now(1)}), "as_of")] {
        let details = berth.ask("list", with(&at, &more)).await.refused("invalid_request");
        assert_eq!(details, json!({"field": field, "reason": "out_of_range"}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_as_of_an_instant_shows_what_was_due_then() {
    let berth = Berth::start().await;
    berth.pool("p", 8).await;
    let mut events = berth.events().await;
    let (start, end) = (seconds_from_now(2), seconds_from_now(3));
    let body = json!({"pool": "p", "start_time": start, "end_time": end, "quantity": 1});
    let placed = berth.ask("reserve", body).await.ok();
    assert_eq!(events.kinds(3).await, ["placed", "active", "ended"]);
    let before = start.parse::<chrono::DateTime<chrono::Utc>>().unwrap() - chrono::TimeDelta::microseconds(1);
    let list = async |at: &str, status: &str| listed(&berth, json!({"as_of": at, "status": status})).await;
    assert_eq!(list(&before.to_rfc3339(), "Pending").await, [placed]);
    for (at, status, version) in [(&start, "Active", 2), (&end, "Ended", 3)] {
        let found = list(at, status).await;
        assert_eq!(found.len(), 1, "{status} as of {at}: its event came later");
        assert_eq!((&found[0]["status"], &found[0]["version"]), (&json!(status), &json!(version)));
    }
    assert!(list(&end, "Active").await.is_empty());
}
