//! The largest of everything, prices over a whole life, and lists under change.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::harness::{Berth, LIMIT, hours_from_now, metric, seconds_from_now};

/// The servers' `max_payload`.
const MESSAGE_MAX: usize = 1 << 20;

fn later(instant: &str, minutes: i64) -> String {
    let at: DateTime<Utc> = instant.parse().unwrap();
    (at + TimeDelta::minutes(minutes)).format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Every page of a list, with these members in each request.
async fn all_pages(berth: &Berth, mut request: Value) -> Vec<Vec<Value>> {
    let mut pages = Vec::new();
    loop {
        let reply = berth.ask("list", request.clone()).await;
        assert!(reply.bytes.len() < MESSAGE_MAX);
        let page = reply.ok();
        pages.push(page["data"].as_array().unwrap().clone());
        request["next_cursor"] = page["next_cursor"].clone();
        if page["next_cursor"].is_null() {
            return pages;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_week_of_quarters_is_one_reservation_and_a_list_of_them_is_cut_to_fit() {
    let berth = Berth::start().await;
    berth.admin("pool_put", json!({"pool": "p", "capacity": 100})).await.ok();
    let start = hours_from_now(1);
    let interval = |quarter: i64| {
        let (from, to) = (later(&start, 15 * quarter), later(&start, 15 * quarter + 15));
        json!({"start_time": from, "end_time": to, "quantity": 1 + quarter % 2})
    };
    let intervals: Vec<Value> = (0..672).map(interval).collect();
    let mut shuffled = intervals.clone();
    shuffled.reverse();
    let body = json!({"pool": "p", "intervals": shuffled});
    let first = berth.ask("reserve", body.clone()).await.ok();
    assert_eq!(first["intervals"], json!(intervals));
    assert_eq!(first["end_time"], later(&start, 15 * 672));
    assert_eq!(berth.ask("get", json!({"reservation_id": first["reservation_id"]})).await.ok(), first);
    let others = (0..29).map(async |_| berth.ask("reserve", body.clone()).await.ok()["reservation_id"].clone());
    let mut ids = futures::future::join_all(others).await;
    ids.push(first["reservation_id"].clone());
    let pages = all_pages(&berth, json!({"limit": 100})).await;
    assert!(pages.len() > 1, "they do not fit into one message");
    let mut listed: Vec<Value> = pages.concat().iter().map(|one| one["reservation_id"].clone()).collect();
    listed.sort_by_key(Value::to_string);
    ids.sort_by_key(Value::to_string);
    assert_eq!(listed, ids, "each once");
    berth.ask("extend", json!({"reservation_id": first["reservation_id"], "end_time": hours_from_now(170)})).await.ok();
    berth.ask("cancel", json!({"reservation_id": first["reservation_id"]})).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_units_are_bound_named_and_given_back() {
    let berth = Berth::start().await;
    berth.admin("pool_put", json!({"pool": "p", "capacity": 10_000, "grain_seconds": 3600})).await.ok();
    let mut events = berth.events().await;
    let body = json!({"pool": "p", "start_time": hours_from_now(0), "end_time": hours_from_now(3), "quantity": 10_000});
    let active = berth.ask("reserve", body.clone()).await.ok();
    assert_eq!((&active["status"], &active["version"]), (&json!("Active"), &json!(2)));
    let units = active["units"].as_array().unwrap();
    let id = active["reservation_id"].as_str().unwrap();
    assert_eq!(units.len(), 10_000);
    assert_eq!(units[9_999], format!("{id}.9999"));
    let odd: Vec<&Value> = units.iter().skip(1).step_by(2).collect();
    let part = json!({"reservation_id": id, "units": odd, "reduce_capacity": true});
    let reduced = berth.ask("terminate", part.clone()).await.ok();
    assert_eq!(reduced["terminated_units"], json!(odd));
    assert_eq!(reduced["already_terminated"], json!([]));
    assert_eq!(reduced["reservation"]["units"].as_array().unwrap().len(), 5_000);
    assert_eq!(reduced["reservation"]["quantity"], 5_000);
    let again = berth.ask("terminate", part).await.ok();
    assert_eq!((&again["terminated_units"], &again["already_terminated"]), (&json!([]), &json!(odd)));
    assert_eq!(again["reservation"]["version"], 3, "no change, no event");
    let some = json!({"reservation_id": id, "quantity": 4_999, "reduce_capacity": true});
    let one_left = berth.ask("terminate", some).await.ok();
    assert_eq!(one_left["reservation"]["units"], json!([format!("{id}.0")]));
    let ended = berth.ask("terminate", json!({"reservation_id": id})).await.ok();
    assert_eq!(ended["reservation"]["status"], "Ended");
    assert_eq!(events.kinds(5).await, ["placed", "active", "reduced", "reduced", "ended"]);
    let over = json!({"pool": "p", "start_time": hours_from_now(1), "end_time": hours_from_now(2), "quantity": 10_001});
    assert_eq!(berth.ask("reserve", over).await.refused("invalid_request")["field"], "quantity");
}

/// Names as long as they may be, so that the answers are as large as they can be.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_locks_are_taken_checked_and_released_in_one_message_each() {
    let berth = Berth::start().await;
    let requester = "r".repeat(200);
    let resource = |number: usize| format!("{number:04}{}", "x".repeat(200));
    let items: Vec<Value> = (0..1_000).map(|it| json!({"requester": requester, "resource": resource(it)})).collect();
    let taken = berth.ask("lock", json!(items)).await.ok();
    let taken = taken.as_array().unwrap();
    assert_eq!(taken.len(), 1_000);
    assert!(taken.iter().all(|answer| answer["status"] == "ACQUIRED"));
    let names: Vec<String> = (0..1_000).map(resource).collect();
    let checked = berth.ask("check", json!({"resources": names})).await.ok();
    assert!(checked.as_array().unwrap().iter().all(|answer| answer["holder"] == requester.as_str()));
    let again = berth.ask("lock", json!(items)).await.ok();
    assert!(again.as_array().unwrap().iter().zip(taken).all(|(again, first)| {
        again["status"] == "ALREADY_HAD" && again["release_token"] == first["release_token"]
    }));
    let release = |answer: &Value| json!({"requester": requester, "resource": answer["resource"], "release_token": answer["release_token"]});
    let items: Vec<Value> = taken.iter().map(release).collect();
    let released = berth.ask("unlock", json!(items)).await.ok();
    assert!(released.as_array().unwrap().iter().all(|answer| answer["status"] == "RELINQUISHED"));
}

/// Names of four bytes a character make an answer about a thousand locks larger than any message may be.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_would_not_fit_into_a_message_is_a_refusal_and_not_silence() {
    let berth = Berth::start().await;
    let requester = "🦀".repeat(255);
    let resource = |number: usize| format!("{number:04}{}", "x".repeat(251));
    let names: Vec<String> = (0..1_000).map(resource).collect();
    for chunk in names.chunks(250) {
        let items: Vec<Value> = chunk.iter().map(|it| json!({"requester": requester, "resource": it})).collect();
        berth.ask("lock", json!(items)).await.ok();
    }
    let details = berth.ask("check", json!({"resources": names})).await.refused("invalid_request");
    assert_eq!((&details["field"], &details["reason"]), (&json!("resources"), &json!("too_many_items")));
    berth.ask("check", json!({"resources": names[..500]})).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_large_pools_is_cut_to_fit() {
    let berth = Berth::start().await;
    let start: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
    let step = |hour: i64| json!({"effective_at": start + TimeDelta::hours(hour), "quantity": hour % 7});
    let steps: Vec<Value> = (0..1_000).map(step).collect();
    for pool in 0..30 {
        let body = json!({"pool": format!("p{pool:02}"), "capacity_schedule": steps});
        berth.admin("pool_put", body).await.ok();
    }
    let (mut names, mut request) = (Vec::new(), json!({"limit": 100}));
    loop {
        let reply = berth.admin("pool_list", request.clone()).await;
        assert!(reply.bytes.len() < MESSAGE_MAX);
        let page = reply.ok();
        names.extend(page["data"].as_array().unwrap().iter().map(|pool| pool["pool"].as_str().unwrap().to_owned()));
        request["next_cursor"] = page["next_cursor"].clone();
        if page["next_cursor"].is_null() {
            break;
        }
    }
    assert_eq!(names, (0..30).map(|pool| format!("p{pool:02}")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_stay_where_they_were_while_rows_are_added() {
    let berth = Berth::start().await;
    berth.admin("pool_put", json!({"pool": "p", "capacity": 1000})).await.ok();
    let body = json!({"pool": "p", "start_time": hours_from_now(1), "end_time": hours_from_now(2), "quantity": 1});
    let mut ids = Vec::new();
    for _ in 0..25 {
        ids.push(berth.ask("reserve", body.clone()).await.ok()["reservation_id"].clone());
    }
    for (sort_by, sort_dir) in [("created_at", "desc"), ("created_at", "asc"), ("status", "desc"), ("status", "asc")] {
        let mut request = json!({"limit": 10, "sort_by": sort_by, "sort_dir": sort_dir});
        let mut listed = Vec::new();
        loop {
            let page = berth.ask("list", request.clone()).await.ok();
            listed.extend(page["data"].as_array().unwrap().iter().map(|one| one["reservation_id"].clone()));
            request["next_cursor"] = page["next_cursor"].clone();
            if page["next_cursor"].is_null() {
                break;
            }
            berth.ask_as("acme", "reserve", &[], &body.to_string()).await.ok();
            berth.ask_as("rival", "reserve", &[], &body.to_string()).await.ok();
        }
        // Their order within one millisecond is not theirs of creation: only that each comes once is promised.
        let is_old = |id: &&Value| ids.contains(id);
        assert_eq!(listed.iter().filter(is_old).count(), ids.len(), "{sort_by} {sort_dir}");
        let unique: std::collections::BTreeSet<String> = listed.iter().map(Value::to_string).collect();
        assert_eq!(unique.len(), listed.len(), "{sort_by} {sort_dir}: nobody twice");
        let all = all_pages(&berth, json!({"limit": 100})).await.concat();
        ids = all.iter().map(|one| one["reservation_id"].clone()).collect();
    }
}

/// The lanes are locked in the database from outside, so that no ticker can carry out what is due.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_is_shown_as_done_however_late_the_ticker_is() {
    let berth = Berth::start().await;
    berth.pool("p", 10).await;
    let mut events = berth.events().await;
    let body = json!({"pool": "p", "start_time": seconds_from_now(2), "end_time": seconds_from_now(60), "quantity": 2});
    let placed = berth.ask("reserve", body).await.ok();
    let id = placed["reservation_id"].as_str().unwrap();
    let sql = berth.sql().await;
    let mut lanes = sql.acquire().await.unwrap();
    sqlx::raw_sql("begin; select from lane for update").execute(&mut *lanes).await.unwrap();
    let with_status = async |status: &str| {
        berth.ask("list", json!({"status": status})).await.ok()["data"].as_array().unwrap().clone()
    };
    assert_eq!(with_status("Pending").await, std::slice::from_ref(&placed));
    let deadline = tokio::time::Instant::now() + LIMIT;
    let shown = loop {
        if let [shown] = with_status("Active").await.as_slice() {
            break shown.clone();
        }
        assert!(tokio::time::Instant::now() < deadline, "never shown as active");
    };
    assert_eq!(with_status("Pending").await, Vec::<Value>::new());
    assert_eq!(shown["version"], 2);
    assert_eq!(shown["units"], json!([format!("{id}.0"), format!("{id}.1")]));
    assert_eq!(berth.ask("get", json!({"reservation_id": id})).await.ok(), shown);
    let row: (String, i32) = sqlx::query_as("select status::text, version from hold").fetch_one(&sql).await.unwrap();
    assert_eq!(row, ("Pending".to_owned(), 1), "it was not carried out yet");
    sqlx::raw_sql("commit").execute(&mut *lanes).await.unwrap();
    assert_eq!(events.kinds(2).await, ["placed", "active"]);
    assert_eq!(berth.ask("get", json!({"reservation_id": id})).await.ok(), shown, "and now it was: the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_and_credits_add_up_over_extensions_and_terminations() {
    let berth = Berth::start().await;
    let offers = json!([
        {"key": "standard", "display_name": "Standard", "unit_price_cents": 100, "return_buyback_price_cents": 50},
        {"key": "firm", "display_name": "Firm", "unit_price_cents": 70}
    ]);
    berth.admin("pool_put", json!({"pool": "p", "capacity": 8, "grain_seconds": 3600, "offers": offers})).await.ok();
    let hour = hours_from_now(0);
    let after = |hours: i64| later(&hour, 60 * hours);
    let reserve = |price: Value| {
        let (start, end) = (after(0), after(2));
        json!({"pool": "p", "start_time": start, "end_time": end, "quantity": 4, "price_specification": price})
    };
    let too_dear = berth.ask("reserve", reserve(json!({"max_unit_price": 99}))).await.refused("price_above_max");
    assert_eq!(too_dear["unit_price_cents"], 100);
    let unknown = berth.ask("reserve", reserve(json!({"offer_key": "gold"}))).await.refused("invalid_request");
    assert_eq!(unknown["field"], "price_specification.offer_key");
    let placed = berth.ask("reserve", reserve(json!({"max_unit_price": 100}))).await.ok();
    assert_eq!((&placed["status"], &placed["total_price_cents"]), (&json!("Active"), &json!(4 * 2 * 100)));
    let id = &placed["reservation_id"];
    let extend = async |hours: i64, price: Value| {
        berth.ask("extend", json!({"reservation_id": id, "end_time": after(hours), "price_specification": price})).await
    };
    extend(3, json!({"max_unit_price": 99})).await.refused("price_above_max");
    let extended = extend(3, Value::Null).await.ok();
    assert_eq!((&extended["total_price_cents"], &extended["unit_price_cents"]), (&json!(1200), &json!(100)));
    assert_eq!(extend(3, Value::Null).await.ok(), extended, "the same end changes nothing");
    extend(2, Value::Null).await.refused("invalid_request");
    let extended = extend(4, json!({"offer_key": "standard", "max_unit_price": 100})).await.ok();
    assert_eq!((&extended["total_price_cents"], &extended["version"]), (&json!(1600), &json!(4)));
    assert_eq!(extended["intervals"], json!([{"start_time": after(0), "end_time": after(4), "quantity": 4}]));

    // What is given back counts from the next hour on: three of four are left.
    let part = json!({"reservation_id": id, "quantity": 1, "reduce_capacity": true});
    let reduced = berth.ask("terminate", part).await.ok();
    assert_eq!(reduced["credit_cents"], 3 * 50);
    let intervals = json!([
        {"start_time": after(0), "end_time": after(1), "quantity": 4},
        {"start_time": after(1), "end_time": after(4), "quantity": 3}
    ]);
    assert_eq!(reduced["reservation"]["intervals"], intervals);
    let ended = berth.ask("terminate", json!({"reservation_id": id})).await.ok();
    assert_eq!(ended["credit_cents"], 3 * 3 * 50);
    let reservation = &ended["reservation"];
    assert_eq!((&reservation["status"], &reservation["end_reason"]), (&json!("Ended"), &json!("terminated")));
    assert_eq!((&reservation["end_time"], &reservation["version"]), (&json!(after(1)), &json!(6)));
    assert_eq!(reservation["total_price_cents"], 1600);
    assert_eq!(berth.ask("terminate", json!({"reservation_id": id})).await.ok()["credit_cents"], 0);
    let next = json!({"pool": "p", "start_time": after(1), "end_time": after(2), "quantity": 8});
    berth.ask("reserve", next).await.ok();
}

/// Reservations whose every row, reply and event names ten thousand units: a batch takes few of them, so that none
/// outlasts the database's patience, and a neighbour does not wait for all.
#[tokio::test(flavor = "multi_thread")]
async fn reservations_of_ten_thousand_units_go_into_small_batches() {
    let berth = Berth::start().await;
    berth.admin("pool_put", json!({"pool": "wide", "capacity": 1_000_000_000, "grain_seconds": 86_400})).await.ok();
    let midnight = |days: i64| format!("{}T00:00:00Z", &hours_from_now(24 * days)[..10]);
    let body = json!({"pool": "wide", "start_time": midnight(0), "end_time": midnight(2), "quantity": 10_000});
    let large = futures::future::join_all((0..40).map(|_| berth.ask("reserve", body.clone())));
    let (large, neighbour) = tokio::join!(large, berth.ask("lock", json!({"requester": "a", "resource": "r"})));
    assert_eq!(neighbour.ok()["status"], "ACQUIRED");
    for reply in large {
        assert_eq!(reply.ok()["status"], "Active");
    }
    let http = berth.workers[0].http;
    let small = metric(http, r#"berth_batch_requests_bucket{le="4"}"#).await;
    assert_eq!(small, metric(http, "berth_batch_requests_count").await, "a batch took more than it should");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_does_not_fit_into_a_message_is_refused_for_a_field_that_it_has() {
    let berth = Berth::start().await;
    berth.admin("pool_put", json!({"pool": "p", "capacity": 100})).await.ok();
    berth.admin("tenant_put", json!({"tenant": "acme", "quotas": {}, "registered_prefixes": ["p"]})).await.ok();
    let body = json!({"pool": "p", "start_time": hours_from_now(1), "end_time": hours_from_now(2), "quantity": 1});
    let id = berth.ask("reserve", body).await.ok()["reservation_id"].clone();
    // No request can make them as large: the rows are.
    let sql = berth.sql().await;
    let enlarge = "update hold set tags = json_build_object('a', repeat('x', 2000000));
                   update pool set tags = json_build_object('a', repeat('x', 2000000));
                   update tenant set registered_prefixes =
                       array(select repeat('x', 200) || n from generate_series(1, 10000) as n)";
    sqlx::raw_sql(enlarge).execute(&sql).await.unwrap();
    let as_tenant = [
        ("get", json!({"reservation_id": id}), "reservation_id"),
        ("list", json!({}), "limit"),
        ("pools", json!({}), "limit"),
        ("schedule", json!({"pool": "p"}), "pool"),
    ];
    for (verb, body, field) in as_tenant {
        let details = berth.ask(verb, body).await.refused("invalid_request");
        assert_eq!(details, json!({"field": field, "reason": "too_many_items"}), "{verb}");
    }
    let as_operator = [
        ("pool_get", json!({"pool": "p"}), "pool"),
        ("pool_list", json!({}), "limit"),
        ("tenant_get", json!({"tenant": "acme"}), "tenant"),
    ];
    for (verb, body, field) in as_operator {
        let details = berth.admin(verb, body).await.refused("invalid_request");
        assert_eq!(details, json!({"field": field, "reason": "too_many_items"}), "{verb}");
    }
}
