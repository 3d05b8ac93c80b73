//! Batches that take no lock before they write: they are written whole where the lanes are as they were known, and not
//! at all otherwise.

use berth::domain::event::EventType;
use berth::domain::hold::Hold;
use berth::domain::id::{Lane, Tenant};
use berth::domain::resource::LockName;
use berth::domain::state::Changes;
use berth::domain::window::Instant;
use berth::store::batch::Wants;
use berth::store::start::Database;
use berth::store::{CommitError, Session};
use chrono::TimeDelta;
use sqlx::{Connection, Executor, PgConnection};

use crate::support::*;

/// A session that has read the clock, and what is known of all lanes.
async fn known(database: &Database) -> (Session, Cache) {
    let mut session = Session::connect(database).await.unwrap();
    let cache = transact(&mut session, &all_lanes(), |_| ()).await;
    (session, cache)
}

fn of_lanes(cache: Cache, lanes: &[Lane]) -> Cache {
    cache.into_iter().filter(|(lane, _)| lanes.contains(lane)).collect()
}

/// Opens a batch without locks in which each of these locks is taken.
async fn decide(session: &mut Session, at: Instant, cache: Cache, holds: &[Hold]) -> Changes {
    let lanes_of: Vec<Lane> = holds.iter().map(|hold| hold.id.lane()).collect();
    let cache = of_lanes(cache, &lanes_of);
    let mut state = state(session.open_unlocked(at, &lanes(lanes_of), cache).await.unwrap());
    for hold in holds {
        record(&mut state, hold.clone(), EventType::Active);
    }
    state.finish().changes
}

/// How much there is of batches, holds, events, and receipts.
async fn rows(database: &Database) -> i64 {
    let text = "select (select count(*) from batch) + (select count(*) from hold) + (select count(*) from journal)
                + (select count(*) from receipt)";
    count(database, text).await
}

/// Decides a batch on what is known, and has it sent back with nothing written.
async fn assert_not_written(database: &Database, session: &mut Session, at: Instant, cache: Cache) {
    let before = rows(database).await;
    let changes = decide(session, at, cache, &door_and_gate()).await;
    let error = commit_with(session, batch(), &changes, &[receipt("k")]).await.unwrap_err();
    assert!(matches!(error, CommitError::NeedsLocks), "{error:?}");
    assert_eq!(rows(database).await, before);
}

/// In two lanes.
fn door_and_gate() -> [Hold; 2] {
    let tenant = Tenant::parse("umbrella").unwrap();
    let lane = LockName { tenant: tenant.clone(), resource: lock_name("gate").resource }.lane();
    let holds = [lock("door", None), Hold { id: new_id(lane), tenant, ..lock("gate", None) }];
    assert_ne!(holds[0].id.lane(), lane);
    holds
}

#[tokio::test]
async fn it_is_written_and_moves_its_lanes_where_they_are_as_they_were_known() {
    let database = database().await;
    let (mut session, cache) = known(&database).await;
    let at = session.reckoned_now().unwrap();
    let before = count(&database, "select extract(epoch from clock_timestamp() - interval '1 minute')::bigint").await;
    assert!(at.timestamp() > before, "{at} is the server's time");
    let holds = door_and_gate();
    let changes = decide(&mut session, at, cache, &holds).await;
    let locks = "select count(*) from pg_locks join pg_database on pg_database.oid = pg_locks.database
                 where datname = current_database() and mode = 'RowShareLock'";
    assert_eq!(count(&database, locks).await, 0);
    let id = batch();
    commit_with(&mut session, id, &changes, &[receipt("k")]).await.unwrap();
    let moved = format!("select count(*) from lane where last_batch = '{}' and seq = 1", id.0);
    assert_eq!(count(&database, &moved).await, 2);
    // The batch before it and its own, two holds, two events, a receipt.
    assert_eq!(rows(&database).await, 7);
    let decided_at = format!(
        "select (extract(epoch from max(decided_at)) * 1000000)::bigint from lane where last_batch = '{}'",
        id.0
    );
    assert_eq!(count(&database, &decided_at).await, at.timestamp_micros());
}

#[tokio::test]
async fn nothing_of_it_is_written_where_another_batch_has_moved_one_of_its_lanes() {
    let database = database().await;
    let (mut session, cache) = known(&database).await;
    let mut other = Session::connect(&database).await.unwrap();
    let holds = door_and_gate();
    transact(&mut other, &lanes([holds[1].id.lane()]), |_| ()).await;
    let at = session.reckoned_now().unwrap();
    assert_not_written(&database, &mut session, at, cache).await;
    assert_eq!(count(&database, "select sum(seq)::bigint from lane").await, 0);
    // The session serves again, under locks.
    transact(&mut session, &all_lanes(), |state| drop(record(state, lock("door", None), EventType::Active))).await;
}

#[tokio::test]
async fn it_waits_for_a_batch_that_has_a_lane_of_it_and_is_not_written_behind_it() {
    let database = database().await;
    let (mut session, cache) = known(&database).await;
    let mut other = Session::connect(&database).await.unwrap();
    let holds = door_and_gate();
    let one = batch();
    let theirs = state(other.open(&lanes([holds[0].id.lane()]), Cache::new()).await.unwrap()).finish();
    let at = session.reckoned_now().unwrap();
    let changes = decide(&mut session, at, cache, &holds).await;
    let late = tokio::spawn(async move { commit(&mut session, batch(), &changes).await });
    until_waiting(&database, 1).await;
    commit(&mut other, one, &theirs.changes).await.unwrap();
    let error = late.await.unwrap().unwrap_err();
    assert!(matches!(error, CommitError::NeedsLocks), "{error:?}");
    assert_eq!(count(&database, "select count(*) from hold").await, 0);
}

#[tokio::test]
async fn it_is_written_behind_a_batch_that_had_a_lane_of_it_and_gave_up() {
    let database = database().await;
    let (mut session, cache) = known(&database).await;
    let mut other = Session::connect(&database).await.unwrap();
    let holds = door_and_gate();
    other.open(&lanes([holds[0].id.lane()]), Cache::new()).await.unwrap();
    let at = session.reckoned_now().unwrap();
    let changes = decide(&mut session, at, cache, &holds).await;
    let late = tokio::spawn(async move { commit(&mut session, batch(), &changes).await });
    until_waiting(&database, 1).await;
    other.rollback().await.unwrap();
    late.await.unwrap().unwrap();
    assert_eq!(count(&database, "select count(*) from hold").await, 2);
}

#[tokio::test]
async fn it_is_not_written_where_tenants_have_changed() {
    let database = database().await;
    let (mut session, cache) = known(&database).await;
    execute(&database, "update lane set tenants_batch = gen_random_uuid()").await;
    let at = session.reckoned_now().unwrap();
    assert_not_written(&database, &mut session, at, cache).await;
}

#[tokio::test]
async fn it_is_not_written_more_than_a_second_after_its_time() {
    let database = database().await;
    let (mut session, cache) = known(&database).await;
    let at = session.reckoned_now().unwrap() - TimeDelta::seconds(2);
    assert_not_written(&database, &mut session, at, cache).await;
}

#[tokio::test]
async fn what_is_more_than_holds_is_not_written_without_locks() {
    let database = database().await;
    let (mut session, cache) = known(&database).await;
    let at = session.reckoned_now().unwrap();
    let mut state = state(session.open_unlocked(at, &all_lanes(), cache).await.unwrap());
    state.put_pool(pool("p", 1));
    let changes = state.finish().changes;
    let error = commit(&mut session, batch(), &changes).await.unwrap_err();
    assert!(matches!(error, CommitError::NeedsLocks), "{error:?}");
    assert_eq!(count(&database, "select count(*) from pool").await, 0);
}

#[tokio::test]
async fn a_receipt_that_is_there_undoes_all_of_it_and_the_session_goes_on() {
    let database = database().await;
    let (mut session, cache) = known(&database).await;
    let taken = receipt("k").id.uuid();
    execute(&database, format!("insert into receipt (id, verb, request, body) values ('{taken}', 'lock', '', '')"))
        .await;
    let before = rows(&database).await;
    let at = session.reckoned_now().unwrap();
    let changes = decide(&mut session, at, cache, &door_and_gate()).await;
    let error = commit_with(&mut session, batch(), &changes, &[receipt("a"), receipt("k")]).await.unwrap_err();
    assert!(matches!(error, CommitError::ReceiptTaken), "{error:?}");
    assert_eq!(rows(&database).await, before);
    transact(&mut session, &all_lanes(), |state| drop(record(state, lock("door", None), EventType::Active))).await;
}

#[tokio::test]
async fn a_hold_that_is_gone_when_it_is_to_change_undoes_all_of_it() {
    let database = database().await;
    let mut session = Session::connect(&database).await.unwrap();
    let door = lock("door", None);
    let cache =
        transact(&mut session, &all_lanes(), |state| drop(record(state, door.clone(), EventType::Active))).await;
    let wants = Wants { holds: vec![door.id], ..lanes([door.id.lane()]) };
    let at = session.reckoned_now().unwrap();
    let loaded = session.open_unlocked(at, &wants, of_lanes(cache, &[door.id.lane()])).await.unwrap();
    let held = loaded.holds[0].clone();
    let mut state = state(loaded);
    record(&mut state, held, EventType::Updated);
    let changes = state.finish().changes;
    execute(&database, "delete from hold").await;
    let before = rows(&database).await;
    let error = commit(&mut session, batch(), &changes).await.unwrap_err();
    assert!(matches!(error, CommitError::Refused(_)), "{error:?}");
    assert_eq!(rows(&database).await, before);
}

#[tokio::test]
async fn where_the_server_ends_the_connection_nobody_knows_whether_it_was_written() {
    let database = database().await;
    let (mut session, cache) = known(&database).await;
    let at = session.reckoned_now().unwrap();
    let holds = door_and_gate();
    let changes = decide(&mut session, at, cache, &holds).await;
    let mut blocker = PgConnection::connect_with(database.options()).await.unwrap();
    blocker.execute("begin; select from lane for update").await.unwrap();
    let id = batch();
    let late = tokio::spawn(async move { commit(&mut session, id, &changes).await });
    until_waiting(&database, 1).await;
    let end = "select pg_terminate_backend(pid) from pg_stat_activity
               where datname = current_database() and wait_event_type = 'Lock'";
    execute(&database, end).await;
    let error = late.await.unwrap().unwrap_err();
    assert!(matches!(error, CommitError::Unknown(_)), "{error:?}");
    blocker.execute("rollback").await.unwrap();
    assert!(!berth::store::settle(&database, id).await.unwrap());
}
