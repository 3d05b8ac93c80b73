//! Reads of the past, over a real worker.

use std::time::Duration;

use berth::store::start::Database;
use serde_json::{Value, json};

use crate::harness::{Berth, hours_from_now, seconds_from_now, within};

/// A pool whose grain is a second, at 3,600 cents a unit-hour: a cent a second.
async fn priced_pool(berth: &Berth, name: &str) {
    let offer = json!({"key": "standard", "display_name": "Standard", "unit_price_cents": 3_600,
                       "return_buyback_price_cents": 1_800});
    let body = json!({"pool": name, "capacity": 8, "grain_seconds": 1, "offers": [offer], "tags": {"team": "infra"}});
    berth.admin("pool_put", body).await.ok();
}

async fn ask_as_ann(berth: &Berth, verb: &str, body: Value) -> Value {
    berth.ask_as("acme", verb, &[("Berth-Actor", "ann")], &body.to_string()).await.ok()
}

/// Reserved for some hours from the second after the next on, extended by an hour, reduced by one of two units, and terminated. Gives each answer.
async fn lived(berth: &Berth, pool: &str) -> Vec<Value> {
    let (start, end, later) = (seconds_from_now(2), hours_from_now(2), hours_from_now(3));
    let body = json!({"pool": pool, "start_time": start, "end_time": end, "quantity": 2, "name": "training",
                      "launch_specification": {"volumes": [], "ssh_keys": ["k"], "startup_script": "echo secret"}});
    let mut events = berth.events().await;
    let placed = ask_as_ann(berth, "reserve", body).await;
    let id = &placed["reservation_id"];
    let kinds = events.kinds(2).await;
    assert_eq!(kinds, ["placed", "active"]);
    let active = berth.ask("get", json!({"reservation_id": id})).await.ok();
    let extended = ask_as_ann(berth, "extend", json!({"reservation_id": id, "end_time": later})).await;
    let part = json!({"reservation_id": id, "quantity": 1, "reduce_capacity": true});
    let reduced = ask_as_ann(berth, "terminate", part).await["reservation"].clone();
    let ended = ask_as_ann(berth, "terminate", json!({"reservation_id": id})).await["reservation"].clone();
    assert_eq!(events.kinds(3).await, ["extended", "reduced", "ended"]);
    vec![placed, active, extended, reduced, ended]
}

fn instant(text: &str) -> chrono::DateTime<chrono::FixedOffset> {
    chrono::DateTime::parse_from_rfc3339(text).unwrap()
}

fn types(history: &Value) -> Vec<String> {
    let line = |event: &Value| {
        let text = event["event_type"].as_str().unwrap();
        event.get("count").map_or(text.to_owned(), |count| format!("{text} {count}"))
    };
    history["events"].as_array().unwrap().iter().map(line).collect()
}

/// When each version of a reservation was decided.
async fn times(berth: &Berth, id: &Value) -> Vec<String> {
    let text = "select to_char(at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') from journal
                where hold_id = $1::uuid order by version";
    sqlx::query_scalar(text).bind(id.as_str().unwrap()).fetch_all(&berth.sql().await).await.unwrap()
}

fn without_script(reservation: &Value) -> Value {
    let mut told = reservation.clone();
    told["launch_specification"].as_object_mut().unwrap().remove("startup_script");
    told
}

const TYPES: [&str; 11] = [
    "Placed",
    "Terms Set",
    "Active",
    "Units Running 2",
    "Extended",
    "Terms Changed",
    "Reduced",
    "Terms Changed",
    "Units Stopped 2",
    "Ended",
    "Units Stopped 1",
];

/// The types without the lines about units, which fall into one minute or into two.
fn without_units(types: &[String]) -> Vec<&str> {
    types.iter().map(String::as_str).filter(|line| !line.starts_with("Units")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_tells_what_happened_and_what_it_was_worth() {
    let berth = Berth::start().await;
    priced_pool(&berth, "p").await;
    let lived = lived(&berth, "p").await;
    let id = &lived[0]["reservation_id"];
    let history = berth.ask("history", json!({"reservation_id": id})).await.ok();
    let expected: Vec<&str> = TYPES.into_iter().filter(|line| !line.starts_with("Units")).collect();
    assert_eq!(without_units(&types(&history)), expected, "{history}");
    let units = |kind: &str| -> u64 {
        let events = history["events"].as_array().unwrap().iter().filter(|event| event["event_type"] == kind);
        events.map(|event| event["count"].as_u64().unwrap()).sum()
    };
    assert_eq!((units("Units Running"), units("Units Stopped")), (2, 2));
    let events = history["events"].as_array().unwrap();
    assert_eq!((&events[0]["user_id"], &events[1]["unit_price_cents"]), (&json!("ann"), &json!(3_600)));
    assert_eq!(events[2]["timestamp"], lived[1]["start_time"], "it counts from its start");
    assert_eq!(events[2].get("user_id"), None, "the clock is nobody");
    assert_eq!(history["reservation_id"], *id);
    assert_eq!(history.get("continues_as_of"), None);
    berth.ask_as("other", "history", &[], &json!({"reservation_id": id}).to_string()).await.refused("not_found");
    let nobody = json!({"reservation_id": "00000000-0000-7000-8000-000000000000"});
    for verb in ["history", "usage"] {
        berth.ask(verb, nobody.clone()).await.refused("not_found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_is_told_as_it_stood_at_each_of_its_versions() {
    let berth = Berth::start().await;
    priced_pool(&berth, "p").await;
    let lived = lived(&berth, "p").await;
    let id = &lived[0]["reservation_id"];
    let times = times(&berth, id).await;
    assert_eq!(times.len(), 5);
    for (version, (seen, at)) in lived.iter().zip(&times).enumerate() {
        let told = berth.ask("get", json!({"reservation_id": id, "as_of": at})).await.ok();
        assert_eq!(told, without_script(seen), "version {} as of {at}", version + 1);
        let usage = berth.ask("usage", json!({"reservation_id": id, "as_of": at})).await.ok();
        assert_eq!(usage["reservation"]["committed_cost_cents"], seen["total_price_cents"]);
        assert_eq!(instant(usage["summary"]["as_of"].as_str().unwrap()), instant(at));
    }
    let told = |at: &str| berth.ask("history", json!({"reservation_id": id, "as_of": at}));
    assert_eq!(types(&told(&times[0]).await.ok()), TYPES[..2]);
    assert_eq!(types(&told(&times[2]).await.ok()), TYPES[..6]);
    // The clock's event was decided a little later than it counts from: as of its instant it is due.
    let start = lived[1]["start_time"].as_str().unwrap();
    assert!(instant(&times[1]) > instant(start));
    let told_at_start = berth.ask("get", json!({"reservation_id": id, "as_of": start})).await.ok();
    assert_eq!(told_at_start, without_script(&lived[1]));
    assert_eq!(types(&told(start).await.ok()), TYPES[..4]);
    let created_at = lived[0]["created_at"].as_str().unwrap();
    let before = instant(created_at) - chrono::TimeDelta::microseconds(1);
    for (at, code) in [(before.to_rfc3339(), "not_found"), (hours_from_now(1), "invalid_request")] {
        for verb in ["get", "history", "usage"] {
            let reply = berth.ask(verb, json!({"reservation_id": id, "as_of": at})).await;
            let details = reply.refused(code);
            if code == "invalid_request" {
                assert_eq!(details, json!({"field": "as_of", "reason": "out_of_range"}));
            }
        }
    }
    let details = berth.ask("schedule", json!({"pool": "p", "as_of": hours_from_now(1)})).await;
    assert_eq!(details.refused("invalid_request")["field"], "as_of");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_usage_tells_grants_units_and_cost() {
    let berth = Berth::start().await;
    priced_pool(&berth, "p").await;
    let lived = lived(&berth, "p").await;
    let (id, ended) = (&lived[0]["reservation_id"], &lived[4]);
    let usage = berth.ask("usage", json!({"reservation_id": id})).await.ok();
    let reservation = json!({
        "reservation_id": id, "order_name": "training", "start_date": ended["start_time"],
        "end_date": ended["end_time"], "status": "Terminated", "committed_cost_cents": ended["total_price_cents"]
    });
    assert_eq!(usage["reservation"], reservation);
    let grants = usage["grants"].as_array().unwrap();
    let bounds = |grant: &Value| (grant["starts_at"].clone(), grant["ends_at"].clone(), grant["quantity"].clone());
    assert_eq!(bounds(&grants[0]), (lived[0]["start_time"].clone(), lived[0]["end_time"].clone(), json!(2)));
    assert_eq!(bounds(&grants[1]), (lived[0]["end_time"].clone(), lived[2]["end_time"].clone(), json!(2)));
    assert_eq!(grants.len(), 2);
    let told = |event: &Value| {
        let unit = event["instance_id"].as_str().unwrap().rsplit_once('.').unwrap().1.to_owned();
        unit + " " + event["instance_status"].as_str().unwrap()
    };
    let changes: Vec<String> = usage["pricing_events"].as_array().unwrap().iter().map(told).collect();
    assert_eq!(changes, ["0 STATUS_RUNNING", "1 STATUS_RUNNING", "1 STATUS_TERMINATED", "0 STATUS_TERMINATED"]);
    let milestones = usage["reservation_events"].as_array().unwrap();
    let types: Vec<&Value> = milestones.iter().map(|event| &event["event_type"]).collect();
    assert_eq!(types, ["Started", "Extended"]);
    assert_eq!(milestones[0]["occurred_at"], ended["start_time"]);
    assert_eq!(usage["summary"]["idle_instance_hours"], "PT0S");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_have_left_the_journal_are_still_told() {
    let berth = Berth::start().await;
    priced_pool(&berth, "p").await;
    let lived = lived(&berth, "p").await;
    let id = &lived[0]["reservation_id"];
    let ask = async |verb: &str, as_of: Option<&str>| {
        berth.ask(verb, json!({"reservation_id": id, "as_of": as_of})).await.ok()
    };
    let times = times(&berth, id).await;
    let before = (ask("history", None).await, ask("usage", Some(&times[3])).await, ask("get", Some(&times[1])).await);
    let sql = berth.sql().await;
    let database = Database::connect(&berth.database_url, 2).await.unwrap();
    let (hour, day) = (Duration::from_secs(3_600), Duration::from_secs(86_400));
    let moved = "select count(*) from history";
    let journal_kept = Duration::from_micros(1);
    within("the relay's cursor and the sweep behind it", async {
        while sqlx::query_scalar::<_, i64>(moved).fetch_one(&sql).await.unwrap() < 4 {
            database.sweep(hour, journal_kept, day, 640).await.unwrap();
        }
    })
    .await;
    let left: i64 = sqlx::query_scalar("select count(*) from journal").fetch_one(&sql).await.unwrap();
    assert_eq!(left, 1, "the lane's last");
    let after = (ask("history", None).await, ask("usage", Some(&times[3])).await, ask("get", Some(&times[1])).await);
    assert_eq!(after, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_is_too_long_for_one_message_is_told_in_parts_that_join() {
    const EVENTS: usize = 12_000;
    let berth = Berth::start().await;
    priced_pool(&berth, "p").await;
    let body = json!({"pool": "p", "start_time": hours_from_now(1), "end_time": hours_from_now(2), "quantity": 2});
    let id = berth.ask("reserve", body).await.ok()["reservation_id"].clone();
    // As if it had been extended again and again, a second after another, long before its only event.
    let fill = r#"insert into history (lane, hold_id, version, at, payload)
        select lane, hold_id, n, moment.at,
            convert_to(regexp_replace(replace(convert_from(payload, 'UTF8'), '.placed.v1', '.extended.v1'),
                '"effective_at":"[^"]*"',
                '"effective_at":"' || to_char(moment.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') || '"'), 'UTF8')
        from journal
        cross join generate_series(1, $1) as n
        cross join lateral (select timestamptz '2020-01-01T00:00:00Z' + n * interval '1 second' as at) as moment
        where hold_id = $2::uuid"#;
    let sql = berth.sql().await;
    let count = i32::try_from(EVENTS).unwrap();
    let rows = sqlx::query(fill).bind(count).bind(id.as_str().unwrap()).execute(&sql).await;
    assert_eq!(rows.unwrap().rows_affected(), EVENTS as u64);
    sqlx::raw_sql("update journal set version = 1000000").execute(&sql).await.unwrap();
    let (mut parts, mut as_of) = (Vec::new(), Value::Null);
    loop {
        let part = berth.ask("history", json!({"reservation_id": id, "as_of": as_of})).await.ok();
        parts.push(part["events"].as_array().unwrap().clone());
        as_of = part["continues_as_of"].clone();
        if as_of.is_null() {
            break;
        }
    }
    assert!(parts.len() > 1);
    let joined: Vec<Value> = parts.into_iter().rev().flatten().collect();
    assert_eq!(joined.len(), 2 * EVENTS + 2);
    let timestamps: Vec<&str> = joined.iter().map(|event| event["timestamp"].as_str().unwrap()).collect();
    assert!(timestamps.is_sorted());
    assert_eq!((timestamps[0], timestamps[2 * EVENTS - 1]), ("2020-01-01T00:00:01Z", "2020-01-01T03:20:00Z"));
}

fn steps(capacity: &Value) -> Vec<(String, i64)> {
    let step =
        |step: &Value| (step["effective_at"].as_str().unwrap().to_owned(), step["node_allocation"].as_i64().unwrap());
    capacity["allocation_schedule"]["total"].as_array().unwrap().iter().map(step).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_the_tenants_own_and_named_by_pool_id_or_path() {
    let berth = Berth::start().await;
    priced_pool(&berth, "p").await;
    berth.pool("q", 8).await;
    let [one, two, three, four] = [1, 2, 3, 4].map(hours_from_now);
    let reserve = |pool: &str, from: &str, to: &str, quantity: u32| {
        json!({"pool": pool, "start_time": from, "end_time": to, "quantity": quantity}).to_string()
    };
    for (tenant, body) in [
        ("acme", reserve("p", &one, &three, 2)),
        ("acme", reserve("p", &two, &four, 3)),
        ("acme", reserve("q", &one, &four, 5)),
        ("other", reserve("p", &one, &four, 1)),
    ] {
        berth.ask_as(tenant, "reserve", &[], &body).await.ok();
    }
    let path = "berth:capacity:acme:default:p";
    let named = [json!({"pool": "p"}), json!({"id": "p"}), json!({"id": path, "expand": ["procurements"]})];
    for body in named {
        let mut capacity = berth.ask("schedule", body).await.ok();
        let steps = steps(&capacity);
        let expected = [(&one, 2), (&two, 5), (&three, 3), (&four, 0)];
        assert_eq!(steps[1..].iter().map(|(at, units)| (at, *units)).collect::<Vec<_>>(), expected);
        assert_eq!(steps[0].1, 0);
        assert_eq!(capacity["allocation_schedule"]["by_zone"], json!({}));
        let members = capacity.as_object_mut().unwrap();
        members.remove("allocation_schedule");
        members.remove("created_at");
        let rest = json!({
            "id": "p", "resource_path": path, "owner": "acme", "workspace": "default", "name": "p", "kind": "market",
            "object": "capacity", "zones": [], "procurements": [], "deployments": [], "tags": {"team": "infra"}
        });
        assert_eq!(capacity, rest);
    }
    let others = berth.ask_as("other", "schedule", &[], r#"{"pool":"p"}"#).await.ok();
    assert_eq!(steps(&others)[1..], [(one, 1), (four, 0)]);
    berth.ask("schedule", json!({"id": "berth:capacity:other:default:p"})).await.refused("tenant_mismatch");
    berth.ask("schedule", json!({"pool": "nowhere"})).await.refused("unknown_pool");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_reaches_back_and_is_told_as_it_stood() {
    let berth = Berth::start().await;
    priced_pool(&berth, "p").await;
    let lived = lived(&berth, "p").await;
    let times = times(&berth, &lived[0]["reservation_id"]).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (start, end) = (text(&lived[4]["start_time"]), text(&lived[4]["end_time"]));
    // All that it held is over or will be within a second, and was held from its start to where it was cut.
    let back = berth.ask("schedule", json!({"pool": "p", "schedule_history_minutes": 10})).await.ok();
    let found = steps(&back);
    assert_eq!((found[0].1, &found[1].0, found[1].1), (0, &start, 2), "{found:?}");
    assert_eq!(found.last(), Some(&(end, 0)));
    let as_of = async |at: &str| {
        steps(&berth.ask("schedule", json!({"pool": "p", "as_of": at, "schedule_history_minutes": 1})).await.ok())
    };
    let placed = as_of(&times[0]).await;
    assert_eq!(placed[1..], [(start.clone(), 2), (text(&lived[0]["end_time"]), 0)]);
    let extended = as_of(&times[2]).await;
    assert_eq!(extended[1..], [(start.clone(), 2), (text(&lived[2]["end_time"]), 0)]);
    let reduced = as_of(&times[3]).await;
    let cut = text(&lived[3]["intervals"][1]["start_time"]);
    assert_eq!(reduced[1..], [(start, 2), (cut, 1), (text(&lived[2]["end_time"]), 0)]);
    assert_eq!(as_of("2020-01-01T00:00:00Z").await, [("2019-12-31T23:59:00Z".to_owned(), 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_confirmation_left_out_is_still_told_of_the_time_before_it() {
    let berth = Berth::start().await;
    priced_pool(&berth, "p").await;
    let (one, two, three) = (seconds_from_now(2), hours_from_now(2), hours_from_now(3));
    let first = seconds_from_now(3);
    let intervals = json!([{"start_time": one, "end_time": first, "quantity": 6},
                           {"start_time": two, "end_time": three, "quantity": 2}]);
    let mut events = berth.events().await;
    let held = berth.ask("reserve", json!({"pool": "p", "intervals": intervals, "hold_seconds": 600})).await.ok();
    let clock = json!({"pool": "p", "start_time": one, "end_time": first, "quantity": 1});
    berth.ask("reserve", clock).await.ok();
    let passed = events.take(4).await;
    assert_eq!(passed.iter().map(|it| it.kind()).collect::<Vec<_>>(), ["held", "placed", "active", "ended"]);
    let as_of = passed[3].body["time"].clone();

    let id = &held["reservation_id"];
    let confirmed = berth.ask("confirm", json!({"reservation_id": id, "quantity": 4})).await.ok();
    assert_eq!((&confirmed["status"], &confirmed["version"]), (&json!("Ended"), &json!(4)));
    assert_eq!(berth.ask("get", json!({"reservation_id": id})).await.ok(), confirmed);
    assert_eq!(events.kinds(3).await, ["placed", "active", "ended"]);
    let schedule = json!({"pool": "p", "as_of": as_of});
    let expected = [(two.clone(), 2), (three.clone(), 0)];
    assert_eq!(steps(&berth.ask("schedule", schedule.clone()).await.ok())[1..], expected);
    assert_eq!(steps(&berth.ask("schedule", json!({"pool": "p"})).await.ok()).len(), 1, "nothing now");
    // As an earlier version left it: over at the end of what was kept.
    sqlx::raw_sql("update hold set deactivated_at = end_time").execute(&berth.sql().await).await.unwrap();
    assert_eq!(steps(&berth.ask("schedule", schedule).await.ok())[1..], expected);
}
