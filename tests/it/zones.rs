//! Zones, capacity that is withdrawn, and the operator's hand on what belongs to tenants, seen from outside.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::Row;
use tokio::sync::Notify;

use crate::crashes::process::until;
use crate::harness::{Berth, Event, Reply, Worker, hours_from_now, within};

async fn admin_with(berth: &Berth, verb: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
    berth.ask_subject(format!("{}.admin.v1.{verb}", berth.root), headers, body.to_string().into_bytes()).await
}

fn window(pool: &str, quantity: u32) -> Value {
    json!({"pool": pool, "start_time": hours_from_now(1), "end_time": hours_from_now(2), "quantity": quantity})
}

fn in_zone(pool: &str, zone: &str, quantity: u32) -> Value {
    let mut body = window(pool, quantity);
    body["zone"] = json!(zone);
    body
}

/// The units that are booked in a pool, or in a zone of it: all over one and the same hour.
async fn booked(berth: &Berth, pool: &str, zone: Option<&str>) -> i64 {
    let text = "select coalesce(sum(units), 0)::bigint from reservation_interval
                where pool = $1 and ($2::text is null or zone = $2)";
    sqlx::query(text).bind(pool).bind(zone).fetch_one(&berth.sql().await).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_has_its_own_capacity_within_the_pools() {
    let berth = Berth::start().await;
    let mut events = berth.events().await;
    let pool = json!({"pool": "gpu", "capacity": 8, "zones": ["b", "a"], "capacity_by_zone": {"a": 4}});
    let put = berth.admin("pool_put", pool).await.ok();
    assert_eq!((&put["zones"], &put["capacity_by_zone"]), (&json!(["a", "b"]), &json!({"a": 4})));
    let placed = berth.ask("reserve", in_zone("gpu", "a", 3)).await.ok();
    assert_eq!(placed["zone"], "a");
    assert_eq!(events.next().await.body["data"]["zone"], "a");
    let details = berth.ask("reserve", in_zone("gpu", "a", 2)).await.refused("insufficient_capacity");
    assert_eq!(details["intervals"][0]["available"], 1);
    let details = berth.ask("reserve", in_zone("gpu", "b", 6)).await.refused("insufficient_capacity");
    assert_eq!(details["intervals"][0]["available"], 5);
    let details = berth.ask("reserve", in_zone("gpu", "c", 1)).await.refused("invalid_request");
    assert_eq!(details, json!({"field": "zone", "reason": "out_of_range"}));
    let anywhere = berth.ask("reserve", window("gpu", 5)).await.ok();
    assert_eq!(anywhere.get("zone"), None);
    assert_eq!(berth.ask("get", json!({"reservation_id": placed["reservation_id"]})).await.ok(), placed);
    assert_eq!(berth.ask("list", json!({"pool": "gpu"})).await.ok()["data"], json!([anywhere, placed]));
}

/// Two workers that see the lane in turn, each catching up on what the other booked.
#[tokio::test(flavor = "multi_thread")]
async fn neither_the_pool_nor_a_zone_is_overbooked_by_many_at_once() {
    let berth = Berth::with_workers(2).await;
    let pool = json!({"pool": "seats", "capacity": 10, "zones": ["a", "b"], "capacity_by_zone": {"a": 3, "b": 4}});
    berth.admin("pool_put", pool).await.ok();
    let body = |number: usize| match number % 3 {
        0 => window("seats", 1),
        1 => in_zone("seats", "a", 1),
        _ => in_zone("seats", "b", 1),
    };
    let replies = join_all((0..120).map(|number| berth.ask("reserve", body(number)))).await;
    let won = |zone: Value| replies.iter().filter(|reply| reply.code() == "ok" && reply.body["zone"] == zone).count();
    let (a, b, anywhere) = (won(json!("a")), won(json!("b")), won(Value::Null));
    assert!(a <= 3 && b <= 4, "{a} in a, {b} in b");
    assert_eq!(a + b + anywhere, 10);
    assert!(replies.iter().all(|reply| matches!(reply.code(), "ok" | "insufficient_capacity")));
    assert_eq!(booked(&berth, "seats", Some("a")).await, i64::try_from(a).unwrap());
    assert_eq!(booked(&berth, "seats", None).await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn capacity_is_withdrawn_by_force_only_and_everybody_is_told() {
    let berth = Berth::with_workers(2).await;
    berth.pool("gpu", 8).await;
    let mut events = berth.events().await;
    let ask = |tenant: &'static str, quantity| {
        let berth = &berth;
        async move { berth.ask_as(tenant, "reserve", &[], &window("gpu", quantity).to_string()).await.ok() }
    };
    let (first, second, third) = (ask("acme", 3).await, ask("globex", 4).await, ask("acme", 1).await);
    let lower = |capacity: u32, force: Value| json!({"pool": "gpu", "capacity": capacity, "force": force});

    let refused = berth.admin("pool_put", lower(3, Value::Null)).await.refused("insufficient_capacity");
    let (start, end) = (hours_from_now(1), hours_from_now(2));
    let stretch = json!({"start_time": start, "end_time": end, "requested": 8, "available": 3});
    assert_eq!(refused["intervals"], json!([stretch]));
    let of = |it: &Value| json!({"reservation_id": it["reservation_id"], "tenant": it["tenant"], "quantity": it["quantity"]});
    assert_eq!(refused["reservations"], json!([of(&first), of(&second), of(&third)]));
    assert_eq!(refused["reservation_count"], 3);

    let headers = [("Idempotency-Key", "lower-1"), ("Berth-Actor", "olga")];
    let body = lower(3, json!("newest_first"));
    let lowered = admin_with(&berth, "pool_put", &headers, &body).await;
    let gone = |it: &Value| {
        json!({"reservation_id": it["reservation_id"], "tenant": it["tenant"], "status": "Canceled",
               "quantity": it["quantity"], "credit_cents": 0})
    };
    assert_eq!(lowered.body["withdrawn"], json!([gone(&third), gone(&second)]));
    assert_eq!((&lowered.body["withdrawn_count"], &lowered.body["version"]), (&json!(2), &json!(2)));
    let again = admin_with(&berth, "pool_put", &headers, &body).await;
    assert!(again.is_replay());
    assert_eq!(again.bytes, lowered.bytes);

    let events: Vec<Event> = events.take(5).await;
    let canceled: Vec<&Event> = events.iter().filter(|event| event.kind() == "canceled").collect();
    let told: Vec<&Value> = canceled.iter().map(|event| &event.body["data"]["reservation_id"]).collect();
    assert_eq!(told, [&third["reservation_id"], &second["reservation_id"]]);
    for event in canceled {
        assert_eq!(event.body["data"]["end_reason"], "capacity_withdrawn");
        assert_eq!(event.body["data"]["actor"], "olga");
    }
    let body = json!({"reservation_id": second["reservation_id"]}).to_string();
    let seen = berth.ask_as("globex", "get", &[], &body).await.ok();
    assert_eq!(seen["end_reason"], "capacity_withdrawn");
    berth.ask("reserve", window("gpu", 1)).await.refused("insufficient_capacity");
}

/// What comes between is decided before or after, never upon what the withdrawal has looked at.
#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_among_many_reservations_leaves_no_more_than_there_is() {
    let berth = Berth::with_workers(2).await;
    let pool = |capacity: u32, of_a: u32| {
        json!({"pool": "gpu", "capacity": capacity, "zones": ["a"], "capacity_by_zone": {"a": of_a},
               "force": "newest_first"})
    };
    berth.admin("pool_put", pool(60, 30)).await.ok();
    let reserve = |number: usize| match number.is_multiple_of(2) {
        true => berth.ask("reserve", window("gpu", 1)),
        false => berth.ask("reserve", in_zone("gpu", "a", 1)),
    };
    let many = join_all((0..150).map(reserve));
    let lower = join_all([(40, 20), (20, 10), (12, 5)].map(|(all, of_a)| berth.admin("pool_put", pool(all, of_a))));
    let (replies, lowered) = tokio::join!(many, lower);
    lowered.into_iter().for_each(|reply| drop(reply.ok()));
    let last = berth.admin("pool_put", pool(12, 5)).await.ok();
    assert_eq!(last["capacity"], 12);
    assert!(booked(&berth, "gpu", Some("a")).await <= 5);
    assert!(booked(&berth, "gpu", None).await <= 12);
    let text = "select hold_id::text from journal where event_type = 'canceled'";
    let canceled: Vec<String> = sqlx::query_scalar(text).fetch_all(&berth.sql().await).await.unwrap();
    let placed = replies.iter().filter(|reply| reply.code() == "ok").count();
    let live = usize::try_from(booked(&berth, "gpu", None).await).unwrap();
    assert_eq!(canceled.iter().collect::<BTreeSet<_>>().len(), canceled.len(), "each once");
    assert_eq!(placed, live + canceled.len());
}

/// The answer, once there is a place among the requests in hand.
async fn patiently(ask: impl AsyncFn() -> Reply) -> Reply {
    loop {
        let reply = ask().await;
        if reply.code() != "overloaded" {
            return reply;
        }
    }
}

/// What a batch before has decided is loaded, also where it waited together with the withdrawal.
#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_knows_everybody_although_it_waited_with_a_reservation() {
    let mut berth = Berth::without_workers().await;
    let mut config = berth.config();
    config.in_flight_max = 3;
    berth.workers.push(Worker::start(config).await.unwrap());
    berth.pool("gpu", 8).await;
    let oldest = berth.ask("reserve", window("gpu", 4)).await.ok();
    let sql = berth.sql().await;
    let mut lanes = sql.acquire().await.unwrap();
    sqlx::raw_sql("begin; select from lane for update").execute(&mut *lanes).await.unwrap();
    let (holds_up, waits) = (Notify::new(), Notify::new());
    let later = json!({"pool": "gpu", "start_time": hours_from_now(3), "end_time": hours_from_now(4), "quantity": 1});
    let first = patiently(async || berth.ask("reserve", later.clone()).await);
    let second = async {
        holds_up.notified().await;
        patiently(async || berth.ask("reserve", window("gpu", 4)).await).await
    };
    let body = json!({"pool": "gpu", "capacity": 4, "force": "oldest_first"});
    let lower = async {
        waits.notified().await;
        patiently(async || berth.admin("pool_put", body.clone()).await).await.ok()
    };
    let order = async {
        // The first holds the decider up, so that the other two become one batch.
        let blocked =
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        within(
            "a batch that waits",
            until(async || sqlx::query_scalar::<_, i64>(blocked).fetch_one(&sql).await.unwrap() > 0),
        )
        .await;
        holds_up.notify_one();
        // Behind the second on the same connection.
        patiently(async || berth.admin("pool_get", json!({"pool": "gpu"})).await).await.ok();
        waits.notify_one();
        let is_full = async || berth.admin("pool_get", json!({"pool": "gpu"})).await.code() == "overloaded";
        within("three requests in hand", until(is_full)).await;
        sqlx::raw_sql("commit").execute(&mut *lanes).await.unwrap();
    };
    let (first, second, lowered, ()) = tokio::join!(first, second, lower, order);
    assert_eq!(first.code(), "ok");
    match second.code() {
        "ok" => assert_eq!(lowered["withdrawn"][0]["reservation_id"], oldest["reservation_id"], "not the second"),
        _ => assert!(lowered.get("withdrawn").is_none(), "it came too late, and all fits"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_ends_a_reservation_whatever_the_policy() {
    let berth = Berth::start().await;
    let pool = json!({"pool": "gpu", "capacity": 8, "cancellable": false, "reducible": false});
    berth.admin("pool_put", pool).await.ok();
    let mut events = berth.events().await;
    let placed = berth.ask("reserve", window("gpu", 2)).await.ok();
    let id = &placed["reservation_id"];
    berth.ask("cancel", json!({"reservation_id": id})).await.refused("not_cancellable");
    let body = json!({"tenant": "globex", "reservation_id": id});
    berth.admin("reservation_terminate", body).await.refused("not_found");
    let body = json!({"tenant": "acme", "reservation_id": id});
    let headers = [("Berth-Actor", "olga")];
    let ended = admin_with(&berth, "reservation_terminate", &headers, &body).await.ok();
    assert_eq!(ended["reservation"]["status"], "Canceled");
    assert_eq!(ended["reservation"]["end_reason"], "operator");
    let again = berth.admin("reservation_terminate", body).await.ok();
    assert_eq!((&again["reservation"]["version"], &again["credit_cents"]), (&json!(2), &json!(0)));
    let told = events.take(2).await.pop().unwrap();
    assert_eq!((told.kind(), &told.body["data"]["actor"]), ("canceled", &json!("olga")));
    assert_eq!(told.body["source"], "/berth/acme");
    assert_eq!(berth.ask("reserve", window("gpu", 8)).await.code(), "ok", "its units are free");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_releases_a_lock_whose_token_was_lost() {
    let berth = Berth::start().await;
    let mut events = berth.events().await;
    let taken = berth.ask("lock", json!({"requester": "a", "resource": "r"})).await.ok();
    let other = berth.admin("lock_release", json!({"tenant": "globex", "resource": "r"})).await.ok();
    assert_eq!(other["status"], "NOT_RESERVED");
    let body = json!({"tenant": "acme", "resource": "r"});
    let released = berth.admin("lock_release", body.clone()).await.ok();
    let expected =
        json!({"tenant": "acme", "resource": "r", "status": "RELINQUISHED", "requester": "a", "released": ["r"]});
    assert_eq!(released, expected);
    let told = events.take(2).await.pop().unwrap();
    assert_eq!((told.kind(), &told.body["data"]["end_reason"]), ("ended", &json!("operator")));
    assert_eq!(berth.admin("lock_release", body).await.ok()["status"], "NOT_RESERVED");
    let token = json!({"requester": "a", "resource": "r", "release_token": taken["release_token"]});
    assert_eq!(berth.ask("unlock", token).await.ok()["status"], "NOT_RESERVED");
    let next = berth.ask("lock", json!({"requester": "b", "resource": "r"})).await.ok();
    assert!(next["fencing_token"].as_i64() > taken["fencing_token"].as_i64());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_not_enabled_takes_no_new_reservations() {
    let berth = Berth::start().await;
    berth.pool("gpu", 8).await;
    let placed = berth.ask("reserve", window("gpu", 2)).await.ok();
    berth.admin("pool_put", json!({"pool": "gpu", "capacity": 8, "enabled": false})).await.ok();
    berth.ask("reserve", window("gpu", 1)).await.refused("pool_disabled");
    let id = &placed["reservation_id"];
    let longer = berth.ask("extend", json!({"reservation_id": id, "end_time": hours_from_now(3)})).await.ok();
    assert_eq!(longer["end_time"], hours_from_now(3));
    assert_eq!(berth.ask("cancel", json!({"reservation_id": id})).await.ok()["status"], "Canceled");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_in_a_zone_is_told_and_what_is_withdrawn_is_credited() {
    let berth = Berth::start().await;
    let offers = json!([{"key": "standard", "display_name": "Standard", "unit_price_cents": 100,
        "return_buyback_price_cents": 50, "pause_buyback_price_cents": 0}]);
    let pool = |capacity: u32, force: Value| json!({"pool": "gpu", "capacity": capacity, "offers": offers, "zones": ["b", "a"], "force": force});
    berth.admin("pool_put", pool(8, Value::Null)).await.ok();
    let held = berth.ask("reserve", in_zone("gpu", "a", 3)).await.ok();
    berth.ask("reserve", window("gpu", 2)).await.ok();
    let full = berth.ask("reserve", in_zone("gpu", "b", 4)).await.refused("insufficient_capacity");
    assert!(!full["offers"].as_array().unwrap().is_empty());
    for offer in full["offers"].as_array().unwrap() {
        let mut asked = offer["request"].clone();
        asked["dry_run"] = json!(true);
        assert_eq!(berth.ask("reserve", asked).await.ok()["zone"], "b");
    }
    let shown = berth.ask("schedule", json!({"pool": "gpu"})).await.ok();
    assert_eq!(shown["zones"], json!(["a", "b"]));
    let allocated = &shown["allocation_schedule"];
    let units = |steps: &Value| -> Vec<Value> {
        steps.as_array().unwrap().iter().map(|step| step["node_allocation"].clone()).collect()
    };
    assert_eq!(units(&allocated["total"]), [0, 5, 0]);
    assert_eq!(allocated["by_zone"].as_object().unwrap().len(), 1);
    assert_eq!(units(&allocated["by_zone"]["a"]), [0, 3, 0]);

    let put = berth.admin("pool_put", pool(2, json!("oldest_first"))).await.ok();
    assert_eq!((&put["withdrawn"][0]["credit_cents"], &put["withdrawn_count"]), (&json!(300), &json!(1)));
    let id = &held["reservation_id"];
    let usage = berth.ask("usage", json!({"reservation_id": id})).await.ok();
    let (credited, net) = (&usage["summary"]["early_termination_credits_cents"], &usage["summary"]["net_cost_cents"]);
    assert_eq!((credited, net), (&json!(300), &json!(0)));
    let history = berth.ask("history", json!({"reservation_id": id})).await.ok();
    let canceled = history["events"].as_array().unwrap().iter().find(|it| it["event_type"] == "Canceled").unwrap();
    assert_eq!(canceled["return_credit_cents"], 300);
    let then = json!({"reservation_id": id, "as_of": history["events"][0]["timestamp"]});
    assert_eq!(berth.ask("get", then).await.ok()["zone"], "a");
    let shown = berth.ask("schedule", json!({"pool": "gpu"})).await.ok();
    assert_eq!(shown["allocation_schedule"]["by_zone"], json!({}));
}
