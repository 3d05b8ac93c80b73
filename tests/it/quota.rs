//! Quotas, seen from outside: never overrun, whoever decides, and free for those who have none.

use berth::domain::id::{IdempotencyKey, ReceiptId, Tenant};
use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::Connection;

use crate::crashes::process::{WorkerProcess, until};
use crate::harness::{Berth, Reply, hours_from_now, metric, seconds_from_now, within};
use crate::tap::{Step, Tap};

const POOLS: usize = 50;

async fn make_pools(berth: &Berth) {
    join_all((0..POOLS).map(async |pool| berth.pool(&format!("p{pool}"), 1_000).await)).await;
}

async fn limit(berth: &Berth, quotas: Value) {
    berth.admin("tenant_put", json!({"tenant": "acme", "quotas": quotas})).await.ok();
}

fn hour(pool: usize, starts_in: i64, quantity: u32) -> Value {
    json!({"pool": format!("p{}", pool % POOLS), "start_time": hours_from_now(starts_in),
           "end_time": hours_from_now(starts_in + 1), "quantity": quantity})
}

async fn used(berth: &Berth) -> Value {
    berth.ask("quota", json!({})).await.ok()["used"].clone()
}

fn granted(replies: &[Reply]) -> usize {
    let codes: Vec<&str> = replies.iter().map(Reply::code).collect();
    assert!(codes.iter().all(|code| ["ok", "quota_exceeded"].contains(code)), "{codes:?}");
    codes.iter().filter(|code| **code == "ok").count()
}

async fn peak(berth: &Berth) -> i64 {
    let peak = "select coalesce(max(units), 0)::bigint from (
        select sum(other.units) as units
        from reservation_interval as one
        join reservation_interval as other on other.start_time <= one.start_time and other.end_time > one.start_time
        where one.status < 'Canceled' and other.status < 'Canceled'
        group by one.reservation_id, one.interval_number
    ) as each";
    sqlx::query_scalar(peak).fetch_one(&berth.sql().await).await.unwrap()
}

/// The tenant `acme` has never had more units than these, and what the workers know of it is what the database says.
pub async fn assert_kept(berth: &Berth, units_max: i64) {
    let peak = peak(berth).await;
    assert!(peak <= units_max, "{peak} of {units_max}");
    assert!(marks_are_right(&berth.sql().await).await);
    let used = used(berth).await["units"].as_i64().unwrap();
    let too_many = json!({"pool": "long", "start_time": hours_from_now(1), "end_time": hours_from_now(9),
                          "quantity": units_max - used + 1});
    for _ in 0..6 {
        let told = berth.ask("reserve", too_many.clone()).await.refused("quota_exceeded");
        assert_eq!(told["used"], used);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_grant_no_more_units_than_there_are_over_any_number_of_pools() {
    let berth = Berth::with_workers(2).await;
    make_pools(&berth).await;
    limit(&berth, json!({"units": 10})).await;
    for round in 0..3 {
        let asked = (0..100).map(|pool| berth.ask("reserve", hour(pool, 2 + round, 1)));
        assert_eq!(granted(&join_all(asked).await), 10, "round {round}");
    }
    assert_eq!(peak(&berth).await, 10);
    assert_eq!(used(&berth).await, json!({"units": 10, "unit_hours": 30, "locks": 0}));
    // Windows that overlap by half, and quantities that do not divide the limit.
    let asked = (0..100).map(async |number: i64| {
        let window = (seconds_from_now(90_000 + 30 * number), seconds_from_now(90_060 + 30 * number));
        let pool = format!("p{}", number % 50);
        let body = json!({"pool": pool, "start_time": window.0, "end_time": window.1, "quantity": 3 + number % 5});
        berth.ask("reserve", body).await
    });
    assert!(granted(&join_all(asked).await) >= 50);
    assert_eq!(peak(&berth).await, 10);
    for worker in &berth.workers {
        assert!(metric(worker.http, "berth_batches_total").await > 0.0, "both have decided");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_grant_no_more_unit_hours_and_locks_than_there_are() {
    let berth = Berth::with_workers(2).await;
    make_pools(&berth).await;
    limit(&berth, json!({"unit_hours": 20, "locks": 10})).await;
    let asked = (0..100).map(|number| berth.ask("reserve", hour(number, 2 + number as i64 % 7, 2)));
    assert_eq!(granted(&join_all(asked).await), 10);
    let asked = (0..100).map(async |number| {
        let body = json!({"requester": format!("w{number}"), "resource": format!("r{number}"), "ttl_seconds": 600});
        berth.ask("lock", body).await
    });
    assert_eq!(granted(&join_all(asked).await), 10);
    let locks = "select count(*) from hold where kind = 'lock'";
    let locks: i64 = sqlx::query_scalar(locks).fetch_one(&berth.sql().await).await.unwrap();
    assert_eq!(locks, 10);
    assert_eq!(used(&berth).await, json!({"units": used(&berth).await["units"], "unit_hours": 20, "locks": 10}));
    let many: Vec<Value> = (0..3).map(|n| json!({"requester": "m", "resource": format!("m{n}")})).collect();
    let refused = berth.ask("lock", json!(many)).await.ok();
    assert_eq!(refused[2]["error"]["details"], json!({"quota": "locks", "limit": 10, "used": 10, "requested": 1}));
}

/// Live holds of the tenant with a limit, and no others, are marked as counting.
async fn marks_are_right(sql: &sqlx::PgPool) -> bool {
    let wrong = "select count(*) = 0 from hold
        where counted_for is distinct from case when tenant = 'acme' and status < 'Canceled' then tenant end";
    sqlx::query_scalar(wrong).fetch_one(sql).await.unwrap()
}

/// What is said, taken, given back and run out on two workers leaves each with what the database says.
#[tokio::test(flavor = "multi_thread")]
async fn caches_of_two_workers_stay_right_through_all_that_changes_use() {
    let berth = Berth::with_workers(2).await;
    make_pools(&berth).await;
    limit(&berth, json!({"units": 40})).await;
    for round in 0..6 {
        let held = (0..6).map(async |number| {
            let mut body = hour(number, 2, 1);
            body["hold_seconds"] = json!(1);
            berth.ask("reserve", body).await
        });
        assert!(granted(&join_all(held).await) > 0 || round > 0, "some run out");
        let taken = join_all((0..24).map(|number| berth.ask("reserve", hour(number, 2, 2)))).await;
        let key = format!("same-{round}");
        let same = (0..10).map(|number| berth.ask_with_key("reserve", &key, hour(number % 2, 2, 1)));
        let same = join_all(same).await;
        assert!(same.iter().filter(|reply| !reply.is_replay() && reply.code() == "ok").count() <= 1);
        for (number, reply) in taken.iter().chain(&same).filter(|reply| reply.code() == "ok").enumerate() {
            let id = &reply.body["reservation_id"];
            match number % 5 {
                4 => berth.ask("extend", json!({"reservation_id": id, "end_time": hours_from_now(4)})).await,
                _ => berth.ask("cancel", json!({"reservation_id": id})).await,
            };
        }
        if round == 3 {
            limit(&berth, json!({})).await;
            berth.ask("reserve", hour(1, 2, 1)).await.ok();
            limit(&berth, json!({"units": 41})).await;
        }
        let no_hold = "select count(*) = 0 from hold where status = 'Held'";
        let sql = berth.sql().await;
        let is_over = async || sqlx::query_scalar(no_hold).fetch_one(&sql).await.unwrap();
        within("the holds to run out", until(is_over)).await;
        // One after the other, so that each worker is asked by and by.
        let (limit, used) = (if round < 3 { 40 } else { 41 }, used(&berth).await["units"].as_u64().unwrap());
        for number in 0..6 {
            let one_too_many = hour(number, 2, u32::try_from(limit - used + 1).unwrap());
            let told = berth.ask("reserve", one_too_many).await.refused("quota_exceeded");
            assert_eq!((&told["used"], &told["limit"]), (&json!(used), &json!(limit)), "round {round}");
        }
        assert!(marks_are_right(&sql).await, "round {round}");
        if limit > used {
            let rest = berth.ask("reserve", hour(7, 2, u32::try_from(limit - used).unwrap())).await.ok();
            berth.ask("cancel", json!({"reservation_id": rest["reservation_id"]})).await.ok();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_while_there_was_no_limit_counts_against_the_next() {
    let berth = Berth::start().await;
    berth.pool("p0", 100).await;
    limit(&berth, json!({"units": 10, "locks": 1})).await;
    berth.ask("reserve", hour(0, 2, 1)).await.ok();
    limit(&berth, json!({})).await;
    berth.ask("reserve", hour(0, 2, 20)).await.ok();
    berth.ask("lock", json!({"requester": "a", "resource": "r"})).await.ok();
    limit(&berth, json!({"units": 22, "locks": 1})).await;
    assert_eq!(berth.ask("reserve", hour(0, 2, 2)).await.refused("quota_exceeded")["used"], 21);
    berth.ask("lock", json!({"requester": "a", "resource": "s"})).await.refused("quota_exceeded");
    berth.ask("reserve", hour(0, 2, 1)).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn time_never_goes_back_for_a_tenant_with_a_limit_whatever_lane_it_was_in() {
    let berth = Berth::start().await;
    make_pools(&berth).await;
    limit(&berth, json!({"units": 10})).await;
    let at = hours_from_now(2);
    let free = berth.ask_as("free", "reserve", &[], &hour(0, 5, 1).to_string()).await.ok();
    assert_ne!(free["created_at"], at);
    let ahead = sqlx::AssertSqlSafe(format!("update tenant set decided_at = '{at}'"));
    sqlx::query(ahead).execute(&berth.sql().await).await.unwrap();
    for pool in 0..3 {
        assert_eq!(berth.ask("reserve", hour(pool, 5, 1)).await.ok()["created_at"], at);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_by_quota_is_the_answer_to_its_key_also_when_the_limit_is_raised() {
    let berth = Berth::start().await;
    berth.pool("p0", 10).await;
    limit(&berth, json!({"units": 1})).await;
    let refused = berth.ask_with_key("reserve", "k", hour(0, 2, 2)).await;
    assert_eq!(refused.headers.get("Nats-Service-Error-Code").unwrap().as_str(), "429");
    assert_eq!(refused.details(), &json!({"quota": "units", "limit": 1, "used": 0, "requested": 2}));
    limit(&berth, json!({"units": 2})).await;
    let again = berth.ask_with_key("reserve", "k", hour(0, 2, 2)).await;
    assert!(again.is_replay());
    assert_eq!(again.bytes, refused.bytes);
    berth.ask("reserve", hour(0, 2, 2)).await.ok();
    // Lowered: what there is stays, and is confirmed, given back and looked at as before.
    limit(&berth, json!({"units": 0})).await;
    assert_eq!(used(&berth).await["units"], 2);
    berth.ask("reserve", hour(0, 5, 1)).await.refused("quota_exceeded");
    let said = berth.admin("tenant_get", json!({"tenant": "acme"})).await.ok();
    assert_eq!(
        said,
        json!({"tenant": "acme", "quotas": {"units": 0, "unit_hours": null, "locks": null},
                            "registered_prefixes": [], "version": 3})
    );
    berth.admin("tenant_get", json!({"tenant": "nobody"})).await.refused("not_found");
    let free = berth.ask_as("nobody", "quota", &[], "{}").await.ok();
    assert_eq!(free["limits"], json!({"units": null, "unit_hours": null, "locks": null}));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_quota_needs_nothing_of_the_table_of_tenants() {
    let berth = Berth::start().await;
    berth.pool("p0", 10).await;
    limit(&berth, json!({"units": 5})).await;
    // The worker gets to know who has a limit.
    berth.ask("reserve", hour(0, 2, 1)).await.ok();
    let mut blocker = sqlx::PgConnection::connect(&berth.database_url).await.unwrap();
    sqlx::raw_sql("begin; lock table tenant in access exclusive mode").execute(&mut blocker).await.unwrap();
    let made = berth.ask_as("free", "reserve", &[], &hour(0, 2, 1).to_string()).await.ok();
    let cancel = json!({"reservation_id": made["reservation_id"]}).to_string();
    berth.ask_as("free", "cancel", &[], &cancel).await.ok();
    berth.ask_as("free", "lock", &[], r#"{"requester":"a","resource":"b"}"#).await.ok();
    // Whoever has one waits.
    let asked = tokio::spawn({
        let (nats, subject) = (berth.nats.clone(), format!("{}.v1.acme.reserve", berth.root));
        let body = hour(0, 2, 5).to_string();
        async move { Reply::of(nats.request(subject, body.into()).await.unwrap()) }
    });
    let sql = berth.sql().await;
    let waits = "select count(*) > 0 from pg_stat_activity where datname = current_database()
                 and wait_event_type = 'Lock' and query like '%lock_tenants%'";
    let is_waiting = async || sqlx::query_scalar(waits).fetch_one(&sql).await.unwrap();
    within("the tenant's command to wait", until(is_waiting)).await;
    sqlx::raw_sql("commit").execute(&mut blocker).await.unwrap();
    let refused = within("the answer", asked).await.unwrap();
    assert_eq!((refused.code(), &refused.details()["used"]), ("quota_exceeded", &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_decided_and_rolled_back_does_not_count() {
    let berth = Berth::start().await;
    berth.pool("p0", 100).await;
    limit(&berth, json!({"units": 2})).await;
    berth.ask("reserve", hour(0, 2, 1)).await.ok();
    // Somebody stores an answer under the same key first, and the worker has to wait to learn of it.
    let mut other = sqlx::PgConnection::connect(&berth.database_url).await.unwrap();
    let key = ReceiptId::of(Tenant::parse("acme").as_ref(), &IdempotencyKey::parse("k").unwrap());
    sqlx::raw_sql("begin").execute(&mut other).await.unwrap();
    let insert = "insert into receipt (id, tenant, verb, request, body) values ($1, 'acme', 'cancel', '', '')";
    sqlx::query(insert).bind(key.uuid()).execute(&mut other).await.unwrap();
    let mut sent = berth.send("reserve", Some("k"), &hour(0, 2, 1)).await;
    let sql = berth.sql().await;
    let waits = "select count(*) > 0 from pg_stat_activity where datname = current_database()
                 and wait_event_type = 'Lock' and query like '%write_batch%'";
    within("the worker to wait", until(async || sqlx::query_scalar(waits).fetch_one(&sql).await.unwrap())).await;
    sqlx::raw_sql("commit").execute(&mut other).await.unwrap();
    assert_eq!(sent.answer().await.reply.code(), "idempotency_key_conflict");
    berth.ask("reserve", hour(0, 2, 1)).await.ok();
    assert_eq!(berth.ask("reserve", hour(0, 2, 1)).await.refused("quota_exceeded")["used"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_lost_or_whose_answer_was_lost_is_counted_once_or_not_at_all() {
    let berth = Berth::without_workers().await;
    let mut postgres = Tap::before(&berth.database_url).await;
    let worker = WorkerProcess::start_on(&berth, &postgres.url, &berth.nats_url).await;
    berth.pool("p0", 100).await;
    limit(&berth, json!({"units": 4, "locks": 1})).await;
    for (number, step) in [Step::Committed, Step::Commit].into_iter().enumerate() {
        for key in [Some(format!("k{number}")), None] {
            postgres.set_at(step);
            let mut sent = berth.send("reserve", key.as_deref(), &hour(0, 2, 1)).await;
            postgres.caught().await.cut();
            assert_eq!(sent.answer().await.reply.code(), "ok");
        }
    }
    assert_eq!(used(&berth).await["units"], 4);
    assert_eq!(berth.ask("reserve", hour(0, 2, 1)).await.refused("quota_exceeded")["used"], 4);
    postgres.set_at(Step::Committed);
    let mut sent = berth.send("lock", Some("l"), &json!({"requester": "a", "resource": "r"})).await;
    let _held = postgres.caught().await;
    worker.kill().await;
    let _next = WorkerProcess::start(&berth).await;
    let retried = berth.insist("lock", "l", &json!({"requester": "a", "resource": "r"})).await;
    assert!(retried.reply.is_replay());
    berth.ask("lock", json!({"requester": "a", "resource": "s"})).await.refused("quota_exceeded");
    assert_eq!(berth.ask("reserve", hour(0, 2, 1)).await.refused("quota_exceeded")["used"], 4);
    assert!(sent.arrived().is_none());
}
