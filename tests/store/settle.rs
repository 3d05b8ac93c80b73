//! What became of a batch whose commit was not answered.

use berth::domain::event::EventType;
use berth::store::{Session, settle};

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
    assert!(late.open(batch, &all_lanes(), Cache::new()).await.is_err());
}

#[tokio::test]
async fn asking_waits_for_a_transaction_that_is_under_way_and_commits() {
    let database = database().await;
    let mut session = Session::connect(&database).await.unwrap();
    let batch = batch();
    let decided = state(session.open(batch, &all_lanes(), Cache::new()).await.unwrap()).finish();
    let asked = tokio::spawn({
        let database = database.clone();
        async move { settle(&database, batch).await }
    });
    until_waiting(&database, 1).await;
    commit(&mut session, batch, &decided.changes).await.unwrap();
    assert!(asked.await.unwrap().unwrap());
}

#[tokio::test]
async fn asking_waits_for_a_transaction_that_is_under_way_and_rolls_back() {
    let database = database().await;
    let mut session = Session::connect(&database).await.unwrap();
    let batch = batch();
    session.open(batch, &all_lanes(), Cache::new()).await.unwrap();
    let asked = tokio::spawn({
        let database = database.clone();
        async move { settle(&database, batch).await }
    });
    until_waiting(&database, 1).await;
    session.rollback().await.unwrap();
    assert!(!asked.await.unwrap().unwrap());
}
