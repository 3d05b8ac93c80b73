//! The events of a reservation, found from its row, before and after they have left the journal; and what a tenant
//! held of a pool.

use std::time::Duration;

use berth::clock;
use berth::domain::event::EventType;
use berth::domain::hold::{Hold, Status};
use berth::domain::id::{HoldId, Lane, Tenant};
use berth::domain::window::Instant;
use berth::store::journal::Journal;
use berth::store::query::Reader;
use berth::store::start::Database;
use berth::store::{Session, Wants};

use crate::support::*;

const HOUR: Duration = Duration::from_secs(3_600);
const LIMIT: u32 = 100;

fn pending(pool: &str) -> Hold {
    let name = pool_name(pool);
    let (from, to) = (at("2199-01-01T00:00:00Z"), at("2199-01-02T00:00:00Z"));
    reservation(new_id(Lane::of_pool(&name)), &name, Status::Pending, from, to, 1)
}

/// The next version of a hold that is stored, in a batch of its own with others around it.
async fn change(session: &mut Session, id: HoldId, event_type: EventType) {
    let wants = Wants { holds: vec![id], ..all_lanes() };
    transact(session, &wants, |state| {
        record(state, pending("p"), EventType::Placed);
        let hold = state.hold(id).unwrap().clone();
        record(state, hold, event_type);
        record(state, lock(&clock::random_uuid().to_string(), None), EventType::Active);
    })
    .await;
}

/// Four versions in three batches; the second batch makes two.
async fn four_versions(database: &Database) -> Hold {
    let mut session = Session::connect(database).await.unwrap();
    let hold = pending("p");
    place(&mut session, hold.clone()).await;
    change(&mut session, hold.id, EventType::Extended).await;
    change(&mut session, hold.id, EventType::Extended).await;
    hold
}

/// Placed and active at once, in a batch with another.
async fn place(session: &mut Session, hold: Hold) {
    transact(session, &all_lanes(), |state| {
        record(state, pending("p"), EventType::Placed);
        let placed = record(state, hold, EventType::Placed);
        record(state, Hold { status: Status::Active, ..placed }, EventType::Active);
    })
    .await;
}

/// The numbers in the journal of a hold's events, as the payloads of these tests name them.
async fn chain(reader: &Reader, id: HoldId, until: Option<Instant>, limit: u32) -> Vec<String> {
    let hold = reader.hold(&tenant(), id).await.unwrap().0.unwrap();
    let mut found = Vec::new();
    let add = |payload: &[u8]| found.push(String::from_utf8(payload.to_vec()).unwrap());
    reader.events(id, hold.last_seq, until, limit, add).await.unwrap();
    found
}

async fn instants(database: &Database, id: HoldId) -> Vec<Instant> {
    let text = format!("select at from journal where hold_id = '{}' order by version", id.uuid());
    sqlx::query_scalar(sqlx::AssertSqlSafe(text)).fetch_all(database.pool()).await.unwrap()
}

/// As if all that is in the journal had been written so much earlier, and published.
async fn age(database: &Database, interval: &str) {
    execute(database, format!("update journal set at = at - interval '{interval}'")).await;
    let journal = Journal::new(database.clone());
    let lease = journal.lease(clock::random_uuid(), 60).await.unwrap().unwrap();
    let heads: Vec<(Lane, i64)> = Lane::all().map(|lane| (lane, i64::MAX)).collect();
    journal.advance(lease, &heads).await.unwrap();
    journal.release(lease).await.unwrap();
}

async fn sweep(database: &Database, history_kept: Duration) -> (u64, u64) {
    let (mut journal, mut history) = (0, 0);
    while let swept = database.sweep(HOUR, HOUR, history_kept, 64).await.unwrap()
        && swept.journal + swept.history > 0
    {
        (journal, history) = (journal + swept.journal, history + swept.history);
    }
    (journal, history)
}

#[tokio::test]
async fn every_event_names_the_one_before_it_and_the_row_the_last() {
    let database = database().await;
    let reader = Reader::new(database.clone());
    let hold = four_versions(&database).await;
    let lane = hold.id.lane().number();
    let expected: Vec<String> = [2, 3, 5, 7].map(|seq| format!("{lane}:{seq}")).to_vec();
    assert_eq!(chain(&reader, hold.id, None, LIMIT).await, expected);
    let previous = "select string_agg(coalesce(previous_seq::text, '-'), ' ' order by version) from journal
                    where hold_id = '{}'";
    let text = previous.replace("{}", &hold.id.uuid().to_string());
    let found: String = sqlx::query_scalar(sqlx::AssertSqlSafe(text)).fetch_one(database.pool()).await.unwrap();
    assert_eq!(found, "- 2 3 5");
}

#[tokio::test]
async fn a_migration_chains_the_events_that_are_there() {
    let database = database().await;
    let reader = Reader::new(database.clone());
    let hold = four_versions(&database).await;
    let all = chain(&reader, hold.id, None, LIMIT).await;
    execute(&database, "update hold set last_seq = 0; update journal set previous_seq = null").await;
    assert_eq!(chain(&reader, hold.id, None, LIMIT).await, Vec::<String>::new());
    let migration = include_str!("../../migrations/0008_history.sql");
    let updates: Vec<&str> = migration.split_inclusive(';').filter(|text| text.contains("\nupdate ")).collect();
    assert_eq!(updates.len(), 2);
    execute(&database, updates.concat()).await;
    assert_eq!(chain(&reader, hold.id, None, LIMIT).await, all);
    // Those of others too, and the first of each still names none.
    let unchained = "select count(*) from hold where last_seq = 0";
    let firsts = "select count(*) from journal where (previous_seq is null) <> (version = 1)";
    assert_eq!((count(&database, unchained).await, count(&database, firsts).await), (0, 0));
}

#[tokio::test]
async fn events_are_read_up_to_an_instant_and_the_latest_so_many() {
    let database = database().await;
    let reader = Reader::new(database.clone());
    let hold = four_versions(&database).await;
    let times = instants(&database, hold.id).await;
    let all = chain(&reader, hold.id, None, LIMIT).await;
    assert_eq!(chain(&reader, hold.id, None, 3).await, all[1..]);
    assert_eq!(chain(&reader, hold.id, Some(times[3]), LIMIT).await, all);
    assert_eq!(chain(&reader, hold.id, Some(times[2]), LIMIT).await, all[..3]);
    assert_eq!(chain(&reader, hold.id, Some(times[2]), 1).await, all[2..3]);
    assert_eq!(chain(&reader, hold.id, Some(times[0]), LIMIT).await, all[..2], "both of one batch");
    let before = times[0] - chrono::TimeDelta::microseconds(1);
    assert_eq!(chain(&reader, hold.id, Some(before), LIMIT).await, Vec::<String>::new());
}

#[tokio::test]
async fn events_of_reservations_outlive_the_journal_and_those_of_locks_do_not() {
    let database = database().await;
    let reader = Reader::new(database.clone());
    let hold = four_versions(&database).await;
    let all = chain(&reader, hold.id, None, LIMIT).await;
    assert_eq!(count(&database, "select count(*) from history").await, 0);
    age(&database, "2 hours").await;
    let times = instants(&database, hold.id).await;
    // One more after those: the chain goes on from the journal into the history.
    let mut session = Session::connect(&database).await.unwrap();
    change(&mut session, hold.id, EventType::Extended).await;
    let locks = count(&database, "select count(*) from journal where kind = 'lock'").await;
    let reservations = count(&database, "select count(*) from journal where kind = 'reservation'").await;
    let (swept, _) = sweep(&database, 24 * HOUR).await;
    let left = count(&database, "select count(*) from journal").await;
    assert_eq!(swept, (locks + reservations - left).unsigned_abs());
    let of_hold = format!("select count(*) from history where hold_id = '{}'", hold.id.uuid());
    assert_eq!(count(&database, &of_hold).await, 4);
    assert!(count(&database, "select count(*) from history").await > 4, "those of others too");
    let lane = hold.id.lane().number();
    let continued: Vec<String> = all.iter().cloned().chain([format!("{lane}:9")]).collect();
    assert_eq!(chain(&reader, hold.id, None, LIMIT).await, continued);
    assert_eq!(chain(&reader, hold.id, Some(times[2]), LIMIT).await, all[..3]);
    let of_locks = "select count(*) from history join hold on hold.id = hold_id where hold.kind = 'lock'";
    assert_eq!(count(&database, of_locks).await, 0);
}

#[tokio::test]
async fn what_is_older_than_the_history_is_kept_is_forgotten() {
    let database = database().await;
    let reader = Reader::new(database.clone());
    let hold = four_versions(&database).await;
    age(&database, "2 hours").await;
    let mut session = Session::connect(&database).await.unwrap();
    change(&mut session, hold.id, EventType::Extended).await;
    let (_, forgotten) = sweep(&database, HOUR + HOUR / 2).await;
    assert!(forgotten >= 4, "{forgotten}");
    assert_eq!(count(&database, "select count(*) from history").await, 0);
    let lane = hold.id.lane().number();
    assert_eq!(chain(&reader, hold.id, None, LIMIT).await, [format!("{lane}:9")]);
}

#[tokio::test]
async fn an_allocation_is_one_tenants_of_one_pool_and_reaches_beyond_an_instant() {
    let database = database().await;
    let reader = Reader::new(database.clone());
    let mut session = Session::connect(&database).await.unwrap();
    let (mine, elsewhere, mut other, mut over) = (pending("p"), pending("q"), pending("p"), pending("p"));
    other.tenant = Tenant::parse("other").unwrap();
    over.reservation_mut().unwrap().end_time = at("2026-01-01T00:00:00Z");
    let mut cut = Hold { status: Status::Canceled, deactivated_at: Some(at("2026-03-01T00:00:00Z")), ..pending("p") };
    cut.reservation_mut().unwrap().end_time = at("2026-01-01T00:00:00Z");
    transact(&mut session, &all_lanes(), |state| {
        [&mine, &elsewhere, &other, &over, &cut]
            .into_iter()
            .for_each(|hold| drop(record(state, hold.clone(), EventType::Placed)));
    })
    .await;
    let found = async |from, until| {
        let mut found = Vec::new();
        let add = |hold: Hold, payload: Option<&[u8]>| found.push((hold.id, payload.is_some()));
        reader.allocation(&tenant(), &pool_name("p"), from, until, add).await.unwrap();
        found.sort();
        found
    };
    let sorted = |mut ids: Vec<(HoldId, bool)>| {
        ids.sort();
        ids
    };
    assert_eq!(found(at("2026-02-01T00:00:00Z"), None).await, sorted(vec![(mine.id, false), (cut.id, false)]));
    assert_eq!(found(at("2026-04-01T00:00:00Z"), None).await, [(mine.id, false)]);
    let (ahead, made) = (Some(at("2199-01-01T00:00:00Z")), mine.created_at);
    assert_eq!(found(at("2026-02-01T00:00:00Z"), ahead).await, sorted(vec![(mine.id, true), (cut.id, true)]));
    let before = Some(made - chrono::TimeDelta::microseconds(1));
    assert_eq!(found(at("2026-02-01T00:00:00Z"), before).await, []);
}
