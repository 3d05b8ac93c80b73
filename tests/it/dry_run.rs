//! Dry runs, seen from outside.

use serde_json::{Value, json};

use crate::harness::{Berth, Reply, hours_from_now};

/// How many rows there are of holds, events and receipts.
async fn rows(sql: &sqlx::PgPool) -> (i64, i64, i64) {
    let counts = "select (select count(*) from hold), (select count(*) from journal), (select count(*) from receipt)";
    sqlx::query_as(counts).fetch_one(sql).await.unwrap()
}

/// The body as a dry run.
fn dry(mut body: Value) -> Value {
    body["dry_run"] = json!(true);
    body
}

/// What a dry run answered, without what it can't tell and what a real one can't say.
fn without(mut body: Value, names: &[&str]) -> Value {
    body.as_object_mut().unwrap().retain(|name, _| !names.contains(&name.as_str()));
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_a_command_would_do_and_writes_nothing() {
    let berth = Berth::start().await;
    let offers = json!([{"key": "standard", "display_name": "S", "unit_price_cents": 100,
                         "return_buyback_price_cents": 40}]);
    berth.admin("pool_put", json!({"pool": "gpu", "capacity": 8, "offers": offers})).await.ok();
    let (sql, mut events) = (berth.sql().await, berth.events().await);
    let (two, three, four) = (hours_from_now(2), hours_from_now(3), hours_from_now(4));
    let body = json!({"pool": "gpu", "start_time": two, "end_time": three, "quantity": 8, "tags": {"a": "b"}});

    let before = rows(&sql).await;
    let would_be = berth.ask_with_key("reserve", "order-1", dry(body.clone())).await.ok();
    assert_eq!((&would_be["dry_run"], &would_be["reservation_id"]), (&json!(true), &Value::Null));
    assert_eq!((&would_be["version"], &would_be["status"]), (&json!(0), &json!("Pending")));
    assert_eq!(rows(&sql).await, before);
    berth.ask("receipt", json!({"idempotency_key": "order-1"})).await.refused("not_found");
    let real = berth.ask_with_key("reserve", "order-1", body.clone()).await.ok();
    let own = ["reservation_id", "version", "created_at", "dry_run"];
    assert_eq!(without(real.clone(), &own), without(would_be, &own));

    let again = berth.ask_with_key("reserve", "order-1", dry(body.clone())).await;
    assert!(!again.is_replay(), "the key is not looked up");
    let refused = again.refused("insufficient_capacity");
    assert_eq!(refused, berth.ask("reserve", body.clone()).await.refused("insufficient_capacity"));

    let id = &real["reservation_id"];
    let before = rows(&sql).await;
    let extended = berth.ask("extend", dry(json!({"reservation_id": id, "end_time": four}))).await.ok();
    assert_eq!((&extended["end_time"], &extended["version"]), (&json!(four), &json!(2)));
    let canceled = berth.ask("cancel", dry(json!({"reservation_id": id}))).await.ok();
    assert_eq!((&canceled["status"], &canceled["dry_run"]), (&json!("Canceled"), &json!(true)));
    berth.ask("terminate", dry(json!({"reservation_id": id}))).await.refused("invalid_state");
    assert_eq!(rows(&sql).await, before);
    assert_eq!(berth.ask("get", json!({"reservation_id": id})).await.ok(), real);
    let held = json!({"pool": "gpu", "start_time": three, "end_time": four, "quantity": 4, "hold_seconds": 600});
    let held = berth.ask("reserve", held).await.ok();
    let confirm = json!({"reservation_id": held["reservation_id"], "quantity": 1});
    let confirmed = berth.ask("confirm", dry(confirm)).await.ok();
    assert_eq!((&confirmed["quantity"], &confirmed["status"]), (&json!(1), &json!("Pending")));
    assert_eq!(events.kinds(2).await, ["placed", "held"], "and nothing between them");
    let kept = without(berth.ask("get", json!({"reservation_id": held["reservation_id"]})).await.ok(), &[]);
    assert_eq!(kept, held);
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_runs_among_commands_change_nothing_for_them() {
    let berth = Berth::start().await;
    berth.admin("pool_put", json!({"pool": "seats", "capacity": 10})).await.ok();
    let body = json!({"pool": "seats", "start_time": hours_from_now(1), "end_time": hours_from_now(2), "quantity": 1});
    let asked = (0..200).map(|number| match number % 2 {
        0 => berth.ask("reserve", body.clone()),
        _ => berth.ask("reserve", dry(body.clone())),
    });
    let replies = futures::future::join_all(asked).await;
    let won = replies.iter().step_by(2).filter(|reply| reply.code() == "ok").count();
    assert_eq!(won, 10, "no more and no fewer than there are");
    let none = berth.ask("reserve", dry(body.clone())).await.refused("insufficient_capacity");
    assert_eq!(none["intervals"][0]["available"], 0);
    assert_eq!(berth.ask("list", json!({"limit": 100})).await.ok()["data"].as_array().unwrap().len(), 10);
    let codes = replies.iter().map(Reply::code);
    assert!(
        codes.clone().all(|code| ["ok", "insufficient_capacity"].contains(&code)),
        "{:?}",
        codes.collect::<Vec<_>>()
    );
}

/// All that an operator's command could change, as text.
async fn everything(sql: &sqlx::PgPool) -> Vec<String> {
    let mut all = Vec::new();
    for table in ["hold", "pool", "pool_offer", "pool_zone", "tenant", "journal", "receipt"] {
        let text = format!("select coalesce(string_agg(t::text, e'\\n' order by t::text), '') from {table} as t");
        all.push(sqlx::query_scalar(sqlx::AssertSqlSafe(text)).fetch_one(sql).await.unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_is_told_what_a_command_would_do_and_nothing_is_done() {
    let berth = Berth::start().await;
    let kind = json!({"instance_type": "h100", "region": "eu"});
    let put = |pool: &str, capacity: u32, more: Value| {
        let mut body = json!({"pool": pool, "capacity": capacity});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    berth.admin("pool_put", put("gpu", 8, kind.clone())).await.ok();
    let window = json!({"pool": "gpu", "start_time": hours_from_now(2), "end_time": hours_from_now(3), "quantity": 6});
    let booked = berth.ask("reserve", window).await.ok();
    let (id, sql) = (&booked["reservation_id"], berth.sql().await);
    let before = everything(&sql).await;

    let lower = |more: Value| {
        let mut body = put("gpu", 5, kind.clone());
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let refused = berth.admin("pool_put", dry(lower(json!({})))).await.refused("insufficient_capacity");
    assert_eq!(refused["reservations"], json!([{"reservation_id": id, "tenant": "acme", "quantity": 6}]));
    let forced = berth.admin("pool_put", dry(lower(json!({"force": "newest_first"})))).await.ok();
    assert_eq!((&forced["dry_run"], &forced["capacity"], &forced["version"]), (&json!(true), &json!(5), &json!(2)));
    let gone =
        json!([{"reservation_id": id, "tenant": "acme", "status": "Canceled", "quantity": 6, "credit_cents": 0}]);
    assert_eq!(forced["withdrawn"], gone);
    let new = berth.admin("pool_put", dry(put("new", 3, json!({})))).await.ok();
    assert_eq!((&new["dry_run"], &new["version"]), (&json!(true), &json!(1)));
    let taken = berth.admin("pool_put", dry(put("new", 3, kind.clone()))).await.refused("invalid_request");
    assert_eq!(taken, json!({"field": "instance_type", "reason": "out_of_range"}));
    let limits = json!({"tenant": "acme", "quotas": {"units": 0}});
    let tenant = berth.admin("tenant_put", dry(limits)).await.ok();
    assert_eq!((&tenant["dry_run"], &tenant["version"]), (&json!(true), &json!(1)));
    let whose = json!({"tenant": "acme", "reservation_id": id});
    let terminated = berth.admin("reservation_terminate", dry(whose)).await.ok();
    assert_eq!(terminated["dry_run"], json!(true));
    assert_eq!(terminated["reservation"]["status"], "Canceled");

    assert_eq!(everything(&sql).await, before);
    // The worker's memory is as it was, too: all of the capacity, no such pool, no limit, and the reservation.
    let rest = json!({"pool": "gpu", "start_time": hours_from_now(2), "end_time": hours_from_now(3), "quantity": 2});
    berth.ask("reserve", rest).await.ok();
    berth.admin("pool_get", json!({"pool": "new"})).await.refused("unknown_pool");
    assert_eq!(berth.ask("get", json!({"reservation_id": id})).await.ok(), booked);
    // What was foretold comes true.
    let done = berth.admin("pool_put", lower(json!({"force": "newest_first"}))).await.ok();
    assert_eq!(done["version"], forced["version"]);
    berth.admin("pool_put", put("new", 3, kind)).await.refused("invalid_request");
}
