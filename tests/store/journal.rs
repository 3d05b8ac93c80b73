//! What the relay reads, and the lease under which it moves on.

use std::time::Duration;

use berth::clock;
use berth::domain::event::EventType;
use berth::domain::hold::{Hold, Kind, Status};
use berth::domain::id::Lane;
use berth::store::Session;
use berth::store::journal::{Entry, Journal, Lease};
use berth::store::start::Database;

use crate::support::*;

const HISTORY_KEPT: Duration = Duration::from_secs(86_400);

/// Events of a lock each, so many in each of some lanes, in one batch.
async fn fill(database: &Database, wanted: &[(Lane, usize)]) {
    let mut session = Session::connect(database).await.unwrap();
    transact(&mut session, &all_lanes(), |state| {
        for (lane, count) in wanted {
            for _ in 0..*count {
                let hold = lock(&clock::random_uuid().to_string(), None);
                record(state, Hold { id: new_id(*lane), ..hold }, EventType::Active);
            }
        }
    })
    .await;
}

fn places(entries: &[Entry]) -> Vec<(u8, i64)> {
    entries.iter().map(|entry| (entry.lane.number(), entry.seq)).collect()
}

fn lane(number: u8) -> Lane {
    Lane::new(number).unwrap()
}

#[tokio::test]
async fn an_entry_carries_what_its_event_was_written_with() {
    let database = database().await;
    let journal = Journal::new(database.clone());
    let mut session = Session::connect(&database).await.unwrap();
    let name = pool_name("p");
    let (from, to) = (at("2027-01-01T00:00:00Z"), at("2027-01-02T00:00:00Z"));
    let hold = reservation(new_id(Lane::of_pool(&name)), &name, Status::Pending, from, to, 1);
    let mut placed_at = from;
    transact(&mut session, &all_lanes(), |state| {
        placed_at = state.now(Lane::of_pool(&name)).unwrap();
        let placed = record(state, hold.clone(), EventType::Placed);
        record(state, Hold { status: Status::Canceled, ..placed }, EventType::Canceled);
    })
    .await;
    let entries = journal.above(&journal.cursors().await.unwrap(), 10, 1 << 20).await.unwrap();
    let lane = Lane::of_pool(&name).number();
    assert_eq!(places(&entries), [(lane, 1), (lane, 2)]);
    let last = &entries[1];
    assert_eq!((last.event_id, &last.tenant, last.kind), (hold.id.event_id(2), &tenant(), Kind::Reservation));
    assert_eq!((last.label.as_str(), last.event_type, last.at), ("p", EventType::Canceled, placed_at));
    assert_eq!(last.payload, format!("{lane}:2").into_bytes());
    assert_eq!(journal.backlog().await.unwrap(), 2);
}

#[tokio::test]
async fn numbers_have_no_gaps_however_batches_of_several_connections_mix() {
    let database = database().await;
    let journal = Journal::new(database.clone());
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let database = database.clone();
            tokio::spawn(async move {
                let mut session = Session::connect(&database).await.unwrap();
                for round in 0..10 {
                    let hold = lock(&clock::random_uuid().to_string(), None);
                    let wants = lanes([hold.id.lane(), lane(7)]);
                    let batch = batch();
                    let mut decided = state(session.open(&wants, Cache::new()).await.unwrap());
                    record(&mut decided, hold, EventType::Active);
                    match round % 3 {
                        0 => session.rollback().await.unwrap(),
                        _ => commit(&mut session, batch, &decided.finish().changes).await.unwrap(),
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let gaps = "select count(*) from (select seq - row_number() over (partition by lane order by seq) as off
                from journal) as numbered where off <> 0";
    assert_eq!(count(&database, gaps).await, 0);
    let entries = journal.above(&journal.cursors().await.unwrap(), 1000, usize::MAX).await.unwrap();
    assert_eq!((entries.len(), journal.backlog().await.unwrap()), (24, 24));
}

#[tokio::test]
async fn a_page_is_bounded_and_gives_every_lane_a_share() {
    let database = database().await;
    let journal = Journal::new(database.clone());
    fill(&database, &[(lane(0), 40), (lane(1), 2), (lane(2), 30)]).await;
    let cursors = journal.cursors().await.unwrap();
    let shares = |entries: &[Entry]| {
        [0, 1, 2].map(|number| entries.iter().filter(|entry| entry.lane.number() == number).count())
    };
    let page = journal.above(&cursors, 20, 1 << 20).await.unwrap();
    assert_eq!(shares(&page), [9, 2, 9]);
    let all = journal.above(&cursors, 1000, 1 << 20).await.unwrap();
    assert_eq!(shares(&all), [40, 2, 30]);
    assert!(all.is_sorted_by_key(|entry| (entry.lane, entry.seq)));
    // A payload is 3 or 4 bytes.
    let small = journal.above(&cursors, 1000, 10).await.unwrap();
    assert_eq!(places(&small), [(0, 1), (1, 1), (2, 1)]);
    let one = journal.above(&cursors, 1000, 0).await.unwrap();
    assert_eq!(places(&one), [(0, 1)]);
    assert_eq!(shares(&journal.above(&[(lane(0), 38), (lane(1), 2)], 20, 1 << 20).await.unwrap()), [2, 0, 0]);
}

#[tokio::test]
async fn a_page_ends_before_a_gap() {
    let database = database().await;
    let journal = Journal::new(database.clone());
    fill(&database, &[(lane(0), 5), (lane(1), 2)]).await;
    execute(&database, "delete from journal where lane = 0 and seq = 3").await;
    let entries = journal.above(&journal.cursors().await.unwrap(), 100, 1 << 20).await.unwrap();
    assert_eq!(places(&entries), [(0, 1), (0, 2), (1, 1), (1, 2)]);
}

#[tokio::test]
async fn one_holder_has_the_lease_until_it_runs_out_or_is_given_up() {
    let database = database().await;
    let journal = Journal::new(database.clone());
    let (a, b) = (clock::random_uuid(), clock::random_uuid());
    assert_eq!(journal.lease(a, 60).await.unwrap(), Some(Lease { holder: a, epoch: 1 }));
    assert_eq!(journal.lease(b, 60).await.unwrap(), None);
    // For no time at all: run out as soon as it is written, and still its own while nobody takes it.
    assert_eq!(journal.lease(a, 0).await.unwrap(), Some(Lease { holder: a, epoch: 1 }));
    assert_eq!(journal.lease(a, 0).await.unwrap(), Some(Lease { holder: a, epoch: 1 }));
    let b_lease = journal.lease(b, 60).await.unwrap().unwrap();
    assert_eq!(b_lease.epoch, 2);
    assert_eq!(journal.lease(a, 60).await.unwrap(), None);
    journal.release(Lease { holder: a, epoch: 1 }).await.unwrap();
    assert_eq!(journal.lease(a, 60).await.unwrap(), None, "only the holder gives it up");
    journal.release(b_lease).await.unwrap();
    assert_eq!(journal.lease(b, 60).await.unwrap(), Some(Lease { holder: b, epoch: 3 }));
}

#[tokio::test]
async fn cursors_move_forwards_only_and_only_under_the_lease() {
    let database = database().await;
    let journal = Journal::new(database.clone());
    let (a, b) = (clock::random_uuid(), clock::random_uuid());
    let a_lease = journal.lease(a, 60).await.unwrap().unwrap();
    assert!(journal.advance(a_lease, &[(lane(0), 5), (lane(9), 3)]).await.unwrap());
    assert!(journal.advance(a_lease, &[(lane(0), 2), (lane(9), 4)]).await.unwrap());
    assert!(journal.advance(a_lease, &[]).await.unwrap());
    let moved = |cursors: Vec<(Lane, i64)>| cursors.into_iter().filter(|(_, seq)| *seq > 0).collect::<Vec<_>>();
    let expected = [(lane(0), 5), (lane(9), 4)];
    assert_eq!(moved(journal.cursors().await.unwrap()), expected);
    journal.lease(a, 0).await.unwrap();
    assert!(!journal.advance(a_lease, &[(lane(0), 6)]).await.unwrap(), "it has run out");
    let b_lease = journal.lease(b, 60).await.unwrap().unwrap();
    assert!(!journal.advance(a_lease, &[(lane(0), 7)]).await.unwrap(), "another has it");
    assert!(!journal.advance(Lease { epoch: 1, ..b_lease }, &[(lane(0), 8)]).await.unwrap(), "an older epoch");
    assert_eq!(moved(journal.cursors().await.unwrap()), expected);
    assert!(journal.advance(b_lease, &[(lane(0), 6)]).await.unwrap());
}

#[tokio::test]
async fn a_lease_is_not_taken_while_cursors_move_under_it() {
    let database = database().await;
    let journal = Journal::new(database.clone());
    let lease = journal.lease(clock::random_uuid(), 60).await.unwrap().unwrap();
    // As another relay's advance would hold it, in the middle of its statement.
    let mut other = database.pool().acquire().await.unwrap();
    sqlx::raw_sql("begin; select from lease for share").execute(&mut *other).await.unwrap();
    let taking = tokio::spawn({
        let journal = journal.clone();
        async move { journal.lease(lease.holder, 60).await }
    });
    until_waiting(&database, 1).await;
    assert!(journal.advance(lease, &[(lane(0), 1)]).await.unwrap());
    sqlx::raw_sql("commit").execute(&mut *other).await.unwrap();
    assert_eq!(taking.await.unwrap().unwrap(), Some(lease));
}

#[tokio::test]
async fn sweeping_takes_what_is_old_and_published_and_leaves_each_lane_its_last_event() {
    let database = database().await;
    let journal = Journal::new(database.clone());
    fill(&database, &[(lane(0), 5), (lane(1), 3), (lane(2), 2)]).await;
    execute(
        &database,
        "insert into receipt (id, verb, request, body, at) select gen_random_uuid(), '', '', '', now() - age * interval '1 hour'
         from generate_series(1, 9) as age;
         insert into batch (id, at) select gen_random_uuid(), now() - age * interval '1 hour' from generate_series(1, 9) as age;
         update journal set at = now() - interval '1 hour' where lane < 2",
    )
    .await;
    let lease = journal.lease(clock::random_uuid(), 60).await.unwrap().unwrap();
    journal.advance(lease, &[(lane(0), 4), (lane(1), 3), (lane(2), 2)]).await.unwrap();
    let (kept, journal_kept) = (Duration::from_secs(5 * 3600 + 60), Duration::from_secs(60));
    let first = database.sweep(kept, journal_kept, HISTORY_KEPT, 3).await.unwrap();
    assert_eq!((first.receipts, first.batches, first.journal), (3, 3, 2));
    let mut rest = 0;
    while let swept = database.sweep(kept, journal_kept, HISTORY_KEPT, 3).await.unwrap()
        && swept.receipts + swept.batches + swept.journal > 0
    {
        rest += swept.journal;
    }
    assert_eq!(rest, 4);
    assert_eq!(count(&database, "select count(*) from receipt").await, 5);
    // One of them is the batch that filled the journal.
    assert_eq!(count(&database, "select count(*) from batch").await, 6);
    let left = "select count(*) from journal where (lane, seq) in ((0, 5), (1, 3), (2, 1), (2, 2))";
    assert_eq!(count(&database, left).await, 4);
    assert_eq!(count(&database, "select count(*) from journal").await, 4);
    let (minute, day) = (Duration::from_secs(60), Duration::from_secs(86_400));
    let swept = database.sweep(minute, day, HISTORY_KEPT, 10).await.unwrap();
    assert_eq!((swept.receipts, swept.batches), (5, 0), "lanes are read up from batches as long as there is a journal");
}
