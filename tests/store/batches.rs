//! Transactions: what they keep apart, what they leave behind, and what their failures mean.

use berth::domain::event::EventType;
use berth::domain::hold::{Hold, Status};
use berth::domain::id::Lane;
use berth::domain::window::Instant;
use berth::store::batch::{DueMark, DueWant, Wants};
use berth::store::query::Reader;
use berth::store::{CommitError, Session};

use crate::support::*;

#[tokio::test]
async fn a_second_batch_on_a_lane_waits_for_the_first_and_sees_what_it_did() {
    let database = database().await;
    let (mut first, mut second) =
        (Session::connect(&database).await.unwrap(), Session::connect(&database).await.unwrap());
    let hold = lock("door", None);
    let wants = || Wants { locks: vec![lock_name("door")], ..lanes([hold.id.lane()]) };
    let one = batch();
    let mut decided = state(first.open(&wants(), Cache::new()).await.unwrap());
    let before = decided.now(hold.id.lane()).unwrap();
    let hold = record(&mut decided, hold.clone(), EventType::Active);
    let late = tokio::spawn({
        let wants = wants();
        async move { second.open(&wants, Cache::new()).await.unwrap() }
    });
    until_waiting(&database, 1).await;
    commit(&mut first, one, &decided.finish().changes).await.unwrap();
    let loaded = late.await.unwrap();
    let lane = &loaded.lanes[&hold.id.lane()];
    assert_eq!((lane.state.head.seq, lane.last_batch), (1, Some(one.0)));
    assert!(lane.state.head.now > before, "the clock is read after the lock");
    assert_eq!(loaded.holds, [hold]);
}

#[tokio::test]
async fn batches_on_different_lanes_do_not_wait_for_each_other() {
    let database = database().await;
    let (mut first, mut second) =
        (Session::connect(&database).await.unwrap(), Session::connect(&database).await.unwrap());
    let all: Vec<Lane> = Lane::all().collect();
    first.open(&lanes(all[..32].iter().copied()), Cache::new()).await.unwrap();
    second.open(&lanes(all[32..].iter().copied()), Cache::new()).await.unwrap();
}

#[tokio::test]
async fn time_never_goes_back_in_a_lane() {
    let database = database().await;
    let mut session = Session::connect(&database).await.unwrap();
    let ahead = at("2199-01-01T00:00:00.000001Z");
    execute(&database, "update lane set decided_at = '2199-01-01T00:00:00.000001Z' where lane = 3").await;
    let (three, four) = (Lane::new(3).unwrap(), Lane::new(4).unwrap());
    let loaded = session.open(&lanes([three, four]), Cache::new()).await.unwrap();
    assert_eq!(loaded.lanes[&three].state.head.now, ahead);
    assert!(loaded.lanes[&four].state.head.now < ahead);
}

#[tokio::test]
async fn a_batch_that_is_rolled_back_leaves_nothing() {
    let database = database().await;
    let mut session = Session::connect(&database).await.unwrap();
    let batch = batch();
    session.open(&all_lanes(), Cache::new()).await.unwrap();
    session.rollback().await.unwrap();
    assert_eq!(count(&database, "select count(*) from batch").await, 0);
    // The same session and the same id serve again.
    let mut decided = state(session.open(&all_lanes(), Cache::new()).await.unwrap());
    record(&mut decided, lock("door", None), EventType::Active);
    commit(&mut session, batch, &decided.finish().changes).await.unwrap();
    assert_eq!(count(&database, "select count(*) from batch where not is_void").await, 1);
}

#[tokio::test]
async fn a_receipt_that_another_batch_stored_undoes_the_whole_batch_and_the_session_goes_on() {
    let database = database().await;
    let mut session = Session::connect(&database).await.unwrap();
    let first = batch();
    let changes = state(session.open(&all_lanes(), Cache::new()).await.unwrap()).finish().changes;
    commit_with(&mut session, first, &changes, &[receipt("k")]).await.unwrap();
    let second = batch();
    let mut decided = state(session.open(&all_lanes(), Cache::new()).await.unwrap());
    record(&mut decided, lock("door", None), EventType::Active);
    decided.put_pool(pool("p", 1));
    let changes = decided.finish().changes;
    let error = commit_with(&mut session, second, &changes, &[receipt("a"), receipt("k")]).await.unwrap_err();
    assert!(matches!(error, CommitError::ReceiptTaken), "{error:?}");
    let left = "select (select count(*) from hold) + (select count(*) from journal) + (select count(*) from pool)";
    assert_eq!(count(&database, left).await, 0);
    assert_eq!(count(&database, "select sum(seq)::bigint from lane").await, 0);
    assert_eq!(count(&database, "select count(*) from receipt").await, 1);
    transact(&mut session, &all_lanes(), |state| drop(record(state, lock("door", None), EventType::Active))).await;
}

#[tokio::test]
async fn data_that_postgres_refuses_undoes_the_batch_and_the_session_goes_on() {
    let database = database().await;
    let mut session = Session::connect(&database).await.unwrap();
    let name = pool_name("p");
    let (from, to) = (at("2027-01-01T00:00:00Z"), at("2027-01-02T00:00:00Z"));
    let mut broken = reservation(new_id(Lane::of_pool(&name)), &name, Status::Pending, from, to, 1);
    broken.reservation_mut().unwrap().tags = json("{\"no");
    let mut huge = reservation(new_id(Lane::of_pool(&name)), &name, Status::Pending, from, to, 1);
    huge.reservation_mut().unwrap().quantity = u32::MAX;
    for hold in [broken, huge] {
        let batch = batch();
        let mut decided = state(session.open(&all_lanes(), Cache::new()).await.unwrap());
        record(&mut decided, lock("door", None), EventType::Active);
        record(&mut decided, hold, EventType::Placed);
        let error = commit(&mut session, batch, &decided.finish().changes).await.unwrap_err();
        assert!(matches!(error, CommitError::Refused(_)), "{error:?}");
    }
    assert_eq!(count(&database, "select count(*) from hold").await, 0);
    transact(&mut session, &all_lanes(), |state| drop(record(state, lock("door", None), EventType::Active))).await;
}

#[tokio::test]
async fn the_claims_on_a_lock_are_loaded_by_its_name_and_those_that_are_over_are_not() {
    let database = database().await;
    let mut session = Session::connect(&database).await.unwrap();
    let first = lock("door", None);
    let mut held = first.clone();
    transact(&mut session, &all_lanes(), |state| held = record(state, first, EventType::Active)).await;
    let wants = Wants { locks: vec![lock_name("door")], ..all_lanes() };
    transact(&mut session, &wants, |state| {
        held.status = Status::Ended;
        record(state, held, EventType::Ended);
        record(state, lock("door", None), EventType::Active);
        record(state, lock("door", None), EventType::Active);
    })
    .await;
    let loaded = session.open(&wants, Cache::new()).await.unwrap();
    let statuses: Vec<Status> = loaded.holds.iter().map(|hold| hold.status).collect();
    assert_eq!(statuses, [Status::Active; 2]);
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_commit_loses_the_batch_for_certain() {
    let database = database().await;
    let mut session = Session::connect(&database).await.unwrap();
    let batch = batch();
    let mut decided = state(session.open(&all_lanes(), Cache::new()).await.unwrap());
    record(&mut decided, lock("door", None), EventType::Active);
    execute(
        &database,
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity
         where datname = current_database() and state = 'idle in transaction'",
    )
    .await;
    let error = commit(&mut session, batch, &decided.finish().changes).await.unwrap_err();
    assert!(matches!(error, CommitError::Lost(_)), "{error:?}");
    assert!(!berth::store::settle(&database, batch).await.unwrap());
}

#[tokio::test]
async fn a_commit_without_an_answer_is_unknown() {
    let database = database().await;
    let mut session = Session::connect(&database).await.unwrap();
    execute(
        &database,
        "create function die() returns trigger language plpgsql as
             $$ begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$;
         create constraint trigger die after insert on batch deferrable initially deferred
             for each row when (not new.is_void) execute function die()",
    )
    .await;
    let batch = batch();
    let changes = state(session.open(&all_lanes(), Cache::new()).await.unwrap()).finish().changes;
    let error = commit(&mut session, batch, &changes).await.unwrap_err();
    assert!(matches!(error, CommitError::Unknown(_)), "{error:?}");
    assert!(!berth::store::settle(&database, batch).await.unwrap());
}

#[tokio::test]
async fn what_is_due_comes_in_pages_by_instant_with_ends_before_starts() {
    let database = database().await;
    let mut session = Session::connect(&database).await.unwrap();
    let name = pool_name("p");
    let lane = Lane::of_pool(&name);
    let noon = at("2026-02-01T12:00:00Z");
    let hold = |number, status, from, to| reservation(id_of(lane, number), &name, status, from, to, 1);
    // Its end lies far ahead, and is to be announced at an instant that is past.
    let announced = |number, status, announced_at: Instant| {
        let (from, to) = (at("2027-01-01T00:00:00Z"), at("2080-01-01T00:00:00Z"));
        let mut hold = hold(number, status, from, to);
        let seconds = u32::try_from((to - announced_at).num_seconds()).unwrap();
        hold.reservation_mut().unwrap().ending_soon_seconds = seconds;
        hold
    };
    let holds = [
        hold(1, Status::Pending, noon, noon + hours(1)),
        hold(2, Status::Active, noon - hours(1), noon),
        hold(3, Status::Pending, noon - hours(1), noon + hours(1)),
        hold(4, Status::Active, noon - hours(1), noon),
        hold(5, Status::Canceled, noon - hours(9), noon),
        hold(6, Status::Pending, at("2199-01-01T00:00:00Z"), at("2199-01-02T00:00:00Z")),
        hold(7, Status::Pending, noon, noon + hours(1)),
        announced(8, Status::Active, noon - hours(2)),
        announced(9, Status::Pending, noon),
    ];
    transact(&mut session, &all_lanes(), |state| {
        holds.iter().for_each(|hold| drop(record(state, hold.clone(), EventType::Placed)));
    })
    .await;
    let (mut after, mut seen, mut pages): (Option<DueMark>, Vec<DueMark>, Vec<(usize, bool)>) = Default::default();
    loop {
        let wants = Wants { due: vec![DueWant { lane, after, limit: 2 }], ..lanes([lane]) };
        let loaded = session.open(&wants, Cache::new()).await.unwrap();
        session.rollback().await.unwrap();
        let page = &loaded.due[0];
        assert_eq!(page.lane, lane);
        assert!(page.due.iter().all(|mark| loaded.holds.iter().any(|hold| hold.id == mark.id)));
        pages.push((page.due.len(), page.is_full));
        seen.extend(&page.due);
        after = page.due.last().copied();
        if !page.is_full {
            break;
        }
    }
    let mark = |number, due_at, is_start| DueMark { due_at, is_start, id: id_of(lane, number) };
    let expected = [
        mark(8, noon - hours(2), false),
        mark(3, noon - hours(1), true),
        mark(2, noon, false),
        mark(4, noon, false),
        mark(1, noon, true),
        mark(7, noon, true),
        mark(9, noon, true),
    ];
    assert_eq!(seen, expected);
    assert_eq!(pages, [(2, true), (2, true), (2, true), (1, false)]);
    let (dues, now) = Reader::new(database).next_due().await.unwrap();
    assert_eq!(dues, [(lane, noon - hours(2))]);
    assert!(now > noon);
}

#[tokio::test]
async fn a_hold_that_is_named_and_due_is_loaded_once_and_pages_of_several_lanes_come_together() {
    let database = database().await;
    let mut session = Session::connect(&database).await.unwrap();
    let past = at("2026-02-01T12:00:00Z");
    let door = lock("door", Some(past));
    let elsewhere = Lane::all().find(|lane| *lane != door.id.lane()).unwrap();
    let gate = Hold { id: new_id(elsewhere), ..lock("gate", Some(past)) };
    transact(&mut session, &all_lanes(), |state| {
        for hold in [&door, &gate] {
            record(state, hold.clone(), EventType::Active);
        }
    })
    .await;
    let due = |lane| DueWant { lane, after: None, limit: 10 };
    let wants = Wants {
        holds: vec![door.id],
        locks: vec![lock_name("door"), lock_name("nothing")],
        due: vec![due(door.id.lane()), due(gate.id.lane())],
        ..all_lanes()
    };
    let loaded = session.open(&wants, Cache::new()).await.unwrap();
    assert_eq!(loaded.holds.len(), 2);
    let marks: Vec<_> = loaded.due.iter().map(|page| (page.lane, page.due.len())).collect();
    assert_eq!(marks, [(door.id.lane(), 1), (gate.id.lane(), 1)]);
}
