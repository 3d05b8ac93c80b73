//! Every policy and every state refuses with its own code, and leaves rows and journal as they were.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{Berth, hours_from_now};

/// All that a command about reservations could change, as text.
#[derive(Debug, PartialEq)]
struct Rows {
    holds: String,
    pools: String,
    offers: String,
    tenants: String,
    events: i64,
}

async fn rows(sql: &sqlx::PgPool) -> Rows {
    let text = async |table: &str| -> String {
        let query = format!("select coalesce(string_agg(t::text, e'\\n' order by t::text), '') from {table} as t");
        sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(sql).await.unwrap()
    };
    Rows {
        holds: text("hold").await,
        pools: text("pool").await,
        offers: text("pool_offer").await,
        tenants: text("tenant").await,
        events: sqlx::query_scalar("select count(*) from journal").fetch_one(sql).await.unwrap(),
    }
}

/// The pool of these tests, with this of its policy changed.
fn pool(policy: &Value) -> Value {
    let offer = json!({"key": "standard", "display_name": "Standard", "unit_price_cents": 100});
    let mut body = json!({"pool": "p", "capacity": 12, "grain_seconds": 3600, "offers": [offer]});
    body.as_object_mut().unwrap().extend(policy.as_object().unwrap().clone());
    body
}

fn window(from: i64, to: i64, quantity: u32) -> Value {
    json!({"start_time": hours_from_now(from), "end_time": hours_from_now(to), "quantity": quantity})
}

/// A `reserve` of one window, with these other members.
fn reserve(from: i64, to: i64, quantity: u32, more: Value) -> Value {
    let mut body = window(from, to, quantity);
    body["pool"] = json!("p");
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// A reservation in each status that one can have.
async fn one_of_each(berth: &Berth) -> BTreeMap<&'static str, Value> {
    let mut events = berth.events().await;
    let made = async |body: Value| berth.ask("reserve", body).await.ok()["reservation_id"].clone();
    let expired = made(reserve(3, 4, 1, json!({"hold_seconds": 1}))).await;
    let found = BTreeMap::from([
        ("Held", made(reserve(3, 4, 4, json!({"hold_seconds": 3600}))).await),
        ("Pending", made(reserve(3, 4, 2, json!({}))).await),
        ("Active", made(reserve(0, 3, 4, json!({}))).await),
        ("Paused", made(reserve(0, 3, 1, json!({}))).await),
        ("Canceled", made(reserve(3, 4, 1, json!({}))).await),
        ("Ended", made(reserve(0, 3, 1, json!({}))).await),
        ("Expired", expired),
    ]);
    berth.ask("update", json!({"reservation_id": found["Paused"], "paused": true})).await.ok();
    berth.ask("cancel", json!({"reservation_id": found["Canceled"]})).await.ok();
    berth.ask("terminate", json!({"reservation_id": found["Ended"]})).await.ok();
    while events.next().await.kind() != "expired" {}
    for (status, id) in &found {
        assert_eq!(berth.ask("get", json!({"reservation_id": id})).await.ok()["status"], *status);
    }
    found
}

/// A berth with a tenant that has a limit, so that it has a row, and what it has.
async fn prepared() -> (Berth, BTreeMap<&'static str, Value>) {
    let berth = Berth::start().await;
    berth.admin("pool_put", pool(&json!({}))).await.ok();
    berth.admin("tenant_put", json!({"tenant": "acme", "quotas": {"units": 10_000}})).await.ok();
    let reservations = one_of_each(&berth).await;
    (berth, reservations)
}

/// Each command about a reservation, and the statuses that take it; in the others it is refused.
fn commands() -> [(&'static str, Value, &'static [&'static str], &'static [&'static str]); 8] {
    let part = json!({"quantity": 1, "reduce_capacity": true});
    let (running, started) = (&["Active", "Paused"][..], &["Active", "Paused", "Ended"][..]);
    let placed = &["Pending", "Active", "Paused"][..];
    let live = &["Held", "Pending", "Active", "Paused"][..];
    [
        ("confirm", json!({}), &["Held"], &["Held", "Pending", "Active", "Paused", "Ended"]),
        ("extend", json!({"end_time": hours_from_now(5)}), placed, placed),
        ("terminate", json!({}), running, started),
        ("terminate", part, running, started),
        ("cancel", json!({}), &["Held", "Pending"], &["Held", "Pending", "Canceled"]),
        ("update", json!({"paused": true}), running, running),
        ("update", json!({"paused": false}), live, live),
        ("update", json!({"name": "other"}), live, live),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_status_refuses_what_it_does_not_take_and_stays_as_it_was() {
    let (berth, reservations) = prepared().await;
    let sql = berth.sql().await;
    let before = rows(&sql).await;
    let mut refused = 0;
    for (verb, members, allowed, taken_in) in commands() {
        for (status, id) in &reservations {
            let mut body = json!({"reservation_id": id});
            body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            let is_taken = taken_in.contains(status);
            // What would be taken is only tried: the next commands meet the same statuses.
            body["dry_run"] = json!(is_taken);
            let reply = berth.ask(verb, body.clone()).await;
            match (is_taken, *status) {
                (true, _) => drop(reply.ok()),
                (false, "Expired") => assert_eq!(reply.refused("hold_expired"), json!({}), "{verb} {members}"),
                (false, status) => {
                    let details = reply.refused("invalid_state");
                    assert_eq!(details, json!({"status": status, "allowed": allowed}), "{verb} {members}");
                }
            }
            refused += u32::from(!is_taken);
            assert_eq!(rows(&sql).await, before, "{verb} {members} on {status}");
        }
    }
    assert_eq!(refused, 29);
}

/// A policy, and a command that it refuses: with this code and these details.
struct Case {
    policy: Value,
    verb: &'static str,
    body: Value,
    code: &'static str,
    details: Value,
}

fn case(policy: Value, verb: &'static str, body: Value, code: &'static str, details: Value) -> Case {
    Case { policy, verb, body, code, details }
}

fn fault(field: &str, reason: &str) -> Value {
    json!({"field": field, "reason": reason})
}

/// What is refused of a reservation that would be new.
fn cases_of_reserve() -> Vec<Case> {
    let none = || json!({});
    let duration = |min: Value, max: Value| json!({"duration_min_seconds": min, "duration_max_seconds": max});
    let reserves = |policy, body, code, details| case(policy, "reserve", body, code, details);
    let two = json!({"pool": "p", "intervals": [window(5, 6, 1), window(7, 8, 1)]});
    let half = hours_from_now(5).replace(":00:00Z", ":30:00Z");
    let misaligned = json!({"pool": "p", "start_time": half, "end_time": hours_from_now(7), "quantity": 1});
    let short =
        json!([{"start_time": hours_from_now(0), "end_time": hours_from_now(3), "requested": 7, "available": 6}]);
    let beyond = json!({"intervals": short, "offers": "…"});
    vec![
        reserves(json!({"enabled": false}), reserve(5, 6, 1, none()), "pool_disabled", none()),
        reserves(
            none(),
            reserve(-1, 6, 1, none()),
            "lead_time_violation",
            json!({"earliest_start_time": hours_from_now(0)}),
        ),
        reserves(
            json!({"lead_time_seconds": 7200}),
            reserve(2, 6, 1, none()),
            "lead_time_violation",
            json!({"earliest_start_time": hours_from_now(3)}),
        ),
        reserves(
            duration(json!(7200), json!(null)),
            reserve(5, 6, 1, none()),
            "duration_out_of_policy",
            duration(json!(7200), json!(null)),
        ),
        reserves(
            duration(json!(null), json!(3600)),
            reserve(5, 7, 1, none()),
            "duration_out_of_policy",
            duration(json!(null), json!(3600)),
        ),
        reserves(none(), misaligned, "invalid_request", fault("start_time", "misaligned")),
        reserves(
            json!({"quantity_step": 2}),
            reserve(5, 6, 3, none()),
            "invalid_request",
            fault("quantity", "out_of_range"),
        ),
        reserves(
            json!({"quantity_min": 2}),
            reserve(5, 6, 1, none()),
            "invalid_request",
            fault("quantity", "out_of_range"),
        ),
        reserves(
            json!({"quantity_max": 2}),
            reserve(5, 6, 3, none()),
            "invalid_request",
            fault("quantity", "out_of_range"),
        ),
        reserves(
            json!({"horizon_seconds": 7200}),
            reserve(5, 6, 1, none()),
            "invalid_request",
            fault("end_time", "out_of_range"),
        ),
        reserves(json!({"intervals_max": 1}), two, "invalid_request", fault("intervals", "too_many_items")),
        reserves(none(), reserve(0, 3, 7, none()), "insufficient_capacity", beyond),
        reserves(
            none(),
            reserve(5, 6, 1, json!({"price_specification": {"max_unit_price": 99}})),
            "price_above_max",
            json!({"unit_price_cents": 100}),
        ),
    ]
}

/// What is refused of one that is there.
fn cases_of_changes(reservations: &BTreeMap<&'static str, Value>) -> Vec<Case> {
    let none = || json!({});
    let on = |status: &str, more: Value| {
        let mut body = json!({"reservation_id": reservations[status]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let later = || on("Pending", json!({"end_time": hours_from_now(6)}));
    let part = |quantity: u32| on("Active", json!({"quantity": quantity, "reduce_capacity": true}));
    let half = hours_from_now(6).replace(":00:00Z", ":30:00Z");
    let capped = json!({"end_time": hours_from_now(6), "price_specification": {"max_unit_price": 99}});
    let added =
        json!([{"start_time": hours_from_now(4), "end_time": hours_from_now(6), "requested": 2, "available": 1}]);
    let no_room = json!({"intervals": added, "offers": [], "latest_end_time": hours_from_now(4)});
    let dip = json!({"capacity": null, "capacity_schedule": [
        {"effective_at": hours_from_now(-2), "quantity": 12}, {"effective_at": hours_from_now(4), "quantity": 1}]});
    let bounds = json!({"duration_min_seconds": null, "duration_max_seconds": 7200});
    let below = || fault("quantity", "out_of_range");
    vec![
        case(json!({"cancellable": false}), "cancel", on("Pending", none()), "not_cancellable", none()),
        case(json!({"cancellable": false}), "terminate", on("Active", none()), "not_cancellable", none()),
        case(json!({"reducible": false}), "terminate", part(1), "not_reducible", none()),
        case(json!({"pausable": false}), "update", on("Active", json!({"paused": true})), "not_pausable", none()),
        case(json!({"extendable": false}), "extend", later(), "not_extendable", none()),
        case(bounds.clone(), "extend", later(), "duration_out_of_policy", bounds),
        case(
            none(),
            "extend",
            on("Pending", json!({"end_time": half})),
            "invalid_request",
            fault("end_time", "misaligned"),
        ),
        case(json!({"horizon_seconds": 7200}), "extend", later(), "invalid_request", fault("end_time", "out_of_range")),
        case(dip, "extend", later(), "insufficient_capacity", no_room),
        case(none(), "extend", on("Pending", capped), "price_above_max", json!({"unit_price_cents": 100})),
        case(json!({"quantity_step": 2}), "confirm", on("Held", json!({"quantity": 3})), "invalid_request", below()),
        case(json!({"quantity_min": 2}), "confirm", on("Held", json!({"quantity": 1})), "invalid_request", below()),
        case(none(), "confirm", on("Held", json!({"quantity": 5})), "invalid_request", below()),
        case(json!({"quantity_step": 2}), "terminate", part(1), "invalid_request", below()),
        case(json!({"quantity_min": 2}), "terminate", part(3), "invalid_request", below()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_policy_refuses_by_its_own_code_and_changes_nothing() {
    let (berth, reservations) = prepared().await;
    let sql = berth.sql().await;
    for Case { policy, verb, body, code, details } in
        cases_of_reserve().into_iter().chain(cases_of_changes(&reservations))
    {
        berth.admin("pool_put", pool(&policy)).await.ok();
        let before = rows(&sql).await;
        let mut told = berth.ask(verb, body.clone()).await.refused(code);
        if details["offers"] == "…" {
            told["offers"] = details["offers"].clone();
        }
        assert_eq!(told, details, "{verb} {body} under {policy}");
        assert_eq!(rows(&sql).await, before, "{verb} {body} under {policy}");
    }
    let before = rows(&sql).await;
    berth.admin("pool_put", pool(&json!({"capacity": 1}))).await.refused("insufficient_capacity");
    assert_eq!(rows(&sql).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_refuses_what_is_new_and_what_is_longer_and_changes_nothing() {
    let (berth, reservations) = prepared().await;
    let sql = berth.sql().await;
    let longer = json!({"reservation_id": reservations["Pending"], "end_time": hours_from_now(6)});
    let commands = [("reserve", reserve(4, 6, 2, json!({}))), ("extend", longer)];
    for (quotas, quota) in [(json!({"units": 1}), "units"), (json!({"unit_hours": 1}), "unit_hours")] {
        berth.admin("tenant_put", json!({"tenant": "acme", "quotas": quotas})).await.ok();
        let before = rows(&sql).await;
        for (verb, body) in &commands {
            let details = berth.ask(verb, body.clone()).await.refused("quota_exceeded");
            assert_eq!((&details["quota"], &details["limit"]), (&json!(quota), &json!(1)));
            assert_eq!(rows(&sql).await, before, "{verb} above {quota}");
        }
    }
}
