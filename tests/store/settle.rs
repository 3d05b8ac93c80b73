//! What became of a batch whose commit was not answered.

use berth::domain::event::EventType;
use berth::store::{CommitError, Session, settle};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::support::*;

#[tokio::test]
async fn a_batch_that_was_committed_is_settled_as_such() {
    let database = database().await;
    let mut session = Session::connect(&database).await.unwrap();
    let known = transact(&mut session, &all_lanes(), |state| {
        record(state, lock("door", None), EventType::Active);
    })
    .await;
    let batch = berth::store::BatchId(known.into_values().next().unwrap().last_batch.unwrap());
    assert!(settle(&database, batch).await.unwrap());
    assert!(settle(&database, batch).await.unwrap());
}

#[tokio::test]
async fn a_batch_that_never_came_is_not_committed_however_often_one_asks_and_can_never_be() {
    let database = database().await;
    let batch = batch();
    assert!(!settle(&database, batch).await.unwrap());
    assert!(!settle(&database, batch).await.unwrap());
    let mut late = Session::connect(&database).await.unwrap();
    let decided = state(late.open(&all_lanes(), Cache::new()).await.unwrap()).finish();
    assert!(commit(&mut late, batch, &decided.changes).await.is_err());
    assert_eq!(count(&database, "select count(*) from lane where last_batch is not null").await, 0);
}

/// Asks about a batch while it is being written: it waits for another that has a receipt of it, which then ends so.
async fn asked_meanwhile(end: &str) -> (Result<(), CommitError>, bool) {
    let database = database().await;
    let mut other = PgConnection::connect_with(database.options()).await.unwrap();
    let taken = receipt("k").id.uuid();
    let insert = format!("begin; insert into receipt (id, verb, request, body) values ('{taken}', 'lock', '', '')");
    other.execute(AssertSqlSafe(insert)).await.unwrap();
    let mut session = Session::connect(&database).await.unwrap();
    let batch = batch();
    let decided = state(session.open(&all_lanes(), Cache::new()).await.unwrap()).finish();
    let written =
        tokio::spawn(async move { commit_with(&mut session, batch, &decided.changes, &[receipt("k")]).await });
    until_waiting(&database, 1).await;
    let asked = tokio::spawn({
        let database = database.clone();
        async move { settle(&database, batch).await }
    });
    until_waiting(&database, 2).await;
    other.execute(AssertSqlSafe(end.to_owned())).await.unwrap();
    (written.await.unwrap(), asked.await.unwrap().unwrap())
}

#[tokio::test]
async fn asking_waits_for_a_transaction_that_is_under_way_and_commits() {
    let (written, is_committed) = asked_meanwhile("rollback").await;
    written.unwrap();
    assert!(is_committed);
}

#[tokio::test]
async fn asking_waits_for_a_transaction_that_is_under_way_and_rolls_back() {
    let (written, is_committed) = asked_meanwhile("commit").await;
    assert!(matches!(written, Err(CommitError::ReceiptTaken)), "{written:?}");
    assert!(!is_committed);
}
