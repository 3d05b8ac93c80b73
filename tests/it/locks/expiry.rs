//! Locks run out at their instant for everybody who asks, however late the clock's events are, and however many do at
//! once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_nats::jetstream;
use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;
use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::checker::check_locks;
use crate::crashes::process::WorkerProcess;
use crate::harness::{Berth, within};
use crate::tap::{Step, Tap};

/// Locks of one message.
const ITEMS: usize = 500;
/// Callers that ask for something all the while.
const CALLERS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn while_nothing_carries_it_out_nobody_sees_a_lock_as_held_after_its_instant() {
    let berth = Berth::without_workers().await;
    let mut postgres = Tap::before(&berth.database_url).await;
    let worker = WorkerProcess::start_on(&berth, &postgres.url, &berth.nats_url).await;
    let names = ["checked", "listed", "relocked", "verified"];
    let mut taken = BTreeMap::new();
    for name in names {
        taken.insert(name, berth.locked("a", name, json!({"ttl_seconds": 2})).await);
    }
    let sql = berth.sql().await;
    // The first tick is stopped before its commit: it has the lane, and nothing is carried out.
    until(&sql, instant(&taken["checked"]["expires_at"]) - TimeDelta::milliseconds(300)).await;
    postgres.set_at(Step::Commit);
    let held = postgres.caught().await;
    let last = names.iter().map(|name| instant(&taken[name]["expires_at"])).max().unwrap();
    until(&sql, last).await;
    let live = "select count(*) from hold where status = 'Active'";
    assert_eq!(sqlx::query_scalar::<_, i64>(live).fetch_one(&sql).await.unwrap(), 4, "nothing is carried out");
    assert_eq!(berth.ask("locks", json!({})).await.ok()["data"], json!([]));
    let body = json!({"resource": "verified", "fencing_token": taken["verified"]["fencing_token"]});
    assert_eq!(berth.ask("verify", body).await.ok()["current"], false);
    assert_eq!(berth.ask("quota", json!({})).await.ok()["used"]["locks"], 0);
    held.cut();
    let (checked, relocked) =
        tokio::join!(berth.check_one("checked"), berth.lock("b", "relocked", json!({"ttl_seconds": 600})));
    assert_eq!((&checked["is_reserved"], &checked["holder"]), (&json!(false), &json!(null)));
    assert_eq!(relocked["status"], "ACQUIRED");
    assert_eq!(berth.unlock(&taken["checked"]).await["status"], "NOT_RESERVED");
    check_locks(&berth).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_asked_for_right_at_its_expiry_is_never_held_by_two() {
    let berth = Berth::with_workers(2).await;
    let caller = async |number: usize| {
        let mut granted = 0;
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            let taken = berth.lock(&format!("r{number}"), "hot", json!({"ttl_seconds": 1})).await;
            granted += usize::from(taken["status"] == "ACQUIRED");
        }
        granted
    };
    let granted: usize = join_all((0..6).map(caller)).await.iter().sum();
    assert!(granted >= 3, "{granted}");
    let events = check_locks(&berth).await;
    assert_eq!(events.len(), 2 * granted);
    let mut free_at = None;
    for event in &events {
        let at = instant(&event.body["data"]["effective_at"]);
        assert!(free_at.is_none_or(|free_at| free_at <= at), "granted before the last one ran out");
        free_at = Some(at);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_locks_of_one_tenant_run_out_at_once_and_all_are_told_of_in_order() {
    assert_in_time(&run_out_at_once(5_000, 1).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_locks_of_many_tenants_run_out_at_once_and_all_are_told_of_in_order() {
    assert_in_time(&run_out_at_once(4_096, 64).await);
}

fn assert_in_time(figures: &Figures) {
    println!("{figures:?}");
    assert!(figures.all_out <= Duration::from_secs(10), "{figures:?}");
}

/// What was seen when locks ran out at once.
#[derive(Debug)]
#[allow(dead_code)] // they are printed
struct Figures {
    locks: usize,
    tenants: usize,
    /// From the instant to the first and the last event in the stream.
    first_out: Duration,
    all_out: Duration,
    /// Of the commands that were answered meanwhile.
    commands: usize,
    median: Duration,
    p99: Duration,
    slowest: Duration,
}

async fn run_out_at_once(locks: usize, tenants: usize) -> Figures {
    let berth = Berth::without_workers().await;
    let worker = WorkerProcess::start(&berth).await;
    let sql = berth.sql().await;
    take_all(&berth, locks, tenants).await;
    until_published(&berth, locks as u64).await;
    // Nobody can ask for an instant, so all are given one.
    let at: DateTime<Utc> =
        sqlx::query_scalar("select clock_timestamp() + interval '4 seconds'").fetch_one(&sql).await.unwrap();
    sqlx::query("update hold set expires_at = $1, due_at = $1").bind(at).execute(&sql).await.unwrap();
    sqlx::query("vacuum analyze hold").execute(&sql).await.unwrap();
    until(&sql, at - TimeDelta::milliseconds(500)).await;

    let is_over = AtomicBool::new(false);
    let caller = |number| call_meanwhile(&berth, at, (locks, tenants), number, &is_over);
    let (_, latencies) = tokio::join!(
        async {
            until(&sql, at).await;
            let due = "select count(*) from hold where due_at <= $1";
            while sqlx::query_scalar::<_, i64>(due).bind(at).fetch_one(&sql).await.unwrap() > 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            is_over.store(true, Ordering::Relaxed);
        },
        join_all((0..CALLERS).map(caller)),
    );
    let mut latencies: Vec<Duration> = latencies.into_iter().flatten().collect();
    latencies.sort_unstable();
    let (first_out, all_out) = told_in_order(&berth, &sql, at, locks).await;
    worker.stop().await;
    let commands = latencies.len();
    let quantile = |hundredths: usize| latencies[(commands * hundredths / 100).min(commands - 1)];
    Figures {
        locks,
        tenants,
        first_out,
        all_out,
        commands,
        median: quantile(50),
        p99: quantile(99),
        slowest: quantile(100),
    }
}

fn tenant(number: usize, tenants: usize) -> String {
    format!("t{}", number % tenants)
}

/// Lock number so and so belongs to the tenant of that number.
async fn take_all(berth: &Berth, locks: usize, tenants: usize) {
    let per_tenant = locks.div_ceil(tenants);
    let item = |number: usize| json!({"requester": "a", "resource": format!("lock-{number}"), "ttl_seconds": 86_400});
    let mut messages = Vec::new();
    for tenant in 0..tenants {
        let numbers: Vec<usize> =
            (0..per_tenant).map(|number| number * tenants + tenant).filter(|it| *it < locks).collect();
        for part in numbers.chunks(ITEMS) {
            messages.push((tenant, json!(part.iter().copied().map(item).collect::<Vec<Value>>()).to_string()));
        }
    }
    let take = async |(number, body): (usize, String)| {
        let answers = berth.ask_as(&tenant(number, tenants), "lock", &[], &body).await.ok();
        assert!(super::statuses(&answers).iter().all(|status| *status == "ACQUIRED"));
    };
    futures::stream::iter(messages).for_each_concurrent(4, take).await;
}

/// Waits until the stream has so many messages.
async fn until_published(berth: &Berth, count: u64) {
    let name = format!("{}_EVENTS", berth.root.to_uppercase());
    let mut stream = jetstream::new(berth.nats.clone()).get_stream(name).await.unwrap();
    let published = async {
        while stream.info().await.unwrap().state.messages < count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("the events of the grants", published).await;
}

/// Asks for what is related and what is not, until it is over; gives how long each answer took.
async fn call_meanwhile(
    berth: &Berth,
    at: DateTime<Utc>,
    (locks, tenants): (usize, usize),
    caller: usize,
    is_over: &AtomicBool,
) -> Vec<Duration> {
    let mut latencies = Vec::new();
    for round in 0.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        // From the end, where the clock comes last.
        let number = locks - 1 - (round * CALLERS + caller) % locks;
        let resource = format!("lock-{number}");
        let (verb, body) = match round % 3 {
            0 => ("check", json!({"resource": resource})),
            1 => ("lock", json!({"requester": "b", "resource": resource})),
            _ => ("lock", json!({"requester": "b", "resource": format!("other-{caller}-{round}")})),
        };
        let is_past = now() > at;
        let began = Instant::now();
        let answer = berth.ask_as(&tenant(number, tenants), verb, &[], &body.to_string()).await.ok();
        latencies.push(began.elapsed());
        if is_past {
            match verb {
                "check" => assert_ne!(answer["holder"], "a", "{resource} is shown as held after its instant"),
                _ => assert!(["ACQUIRED", "ALREADY_HAD"].contains(&answer["status"].as_str().unwrap()), "{answer}"),
            }
        }
    }
    latencies
}

/// Each lock has run out once, by an event behind that of its grant; gives when the first and the last was in the
/// stream.
async fn told_in_order(berth: &Berth, sql: &PgPool, at: DateTime<Utc>, locks: usize) -> (Duration, Duration) {
    let events: i64 = sqlx::query_scalar("select sum(seq)::bigint from lane").fetch_one(sql).await.unwrap();
    until_published(berth, events as u64).await;
    let name = format!("{}_EVENTS", berth.root.to_uppercase());
    let stream = jetstream::new(berth.nats.clone()).get_stream(name).await.unwrap();
    let config = jetstream::consumer::pull::OrderedConfig::default();
    let mut messages = stream.create_consumer(config).await.unwrap().messages().await.unwrap();
    let mut versions: BTreeMap<String, u64> = BTreeMap::new();
    let mut out = Vec::with_capacity(locks);
    for _ in 0..events {
        let message = within("an event", messages.next()).await.unwrap().unwrap();
        let body: Value = serde_json::from_slice(&message.payload).unwrap();
        let last = versions.entry(body["subject"].as_str().unwrap().to_owned()).or_default();
        assert_eq!(body["data"]["version"], *last + 1);
        *last += 1;
        if body["type"] == "berth.lock.expired.v1" {
            assert_eq!(instant(&body["data"]["effective_at"]), at);
            let published = message.info().unwrap().published;
            out.push(published.timestamp_micros());
        }
    }
    assert_eq!(out.len(), locks, "each lock runs out once");
    let after = |micros: i64| Duration::from_micros((micros - at.timestamp_micros()).max(0).unsigned_abs());
    (after(*out.iter().min().unwrap()), after(*out.iter().max().unwrap()))
}

fn instant(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

#[allow(clippy::disallowed_methods)] // tests live in the machine's time, which is the database's here
fn now() -> DateTime<Utc> {
    Utc::now()
}

/// Waits until an instant has come for the database.
async fn until(sql: &PgPool, at: DateTime<Utc>) {
    let left = "select extract(epoch from $1 - clock_timestamp())::float8";
    let left: f64 = sqlx::query_scalar(left).bind(at).fetch_one(sql).await.unwrap();
    tokio::time::sleep(Duration::from_secs_f64(left.max(0.0) + 0.001)).await;
}
