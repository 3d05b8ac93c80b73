//! A worker that is told to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::json;

use super::process::{WorkerProcess, until};
use super::{make_pool, one_hour};
use crate::checker::check;
use crate::harness::{Berth, start_stack, within};
use crate::tap::{Step, Tap};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_told_to_end_under_load_answers_all_that_it_took_and_ends_in_order() {
    let berth = Berth::without_workers().await;
    let mut postgres = Tap::before(&berth.database_url).await;
    let worker = WorkerProcess::start_on(&berth, &postgres.url, &berth.nats_url).await;
    make_pool(&berth).await;
    postgres.set_at(Step::Commit);
    let body = one_hour();
    let mut sent = Vec::new();
    for number in 0..150 {
        sent.push(berth.send("reserve", Some(&format!("k{number}")), &body).await);
    }
    let held = postgres.caught().await;
    // The server sends in order: with this answer, for which no decider is asked, the worker has been given all before it.
    berth.ask("list", json!({})).await.ok();
    worker.signal("TERM");
    for number in 150..200 {
        sent.push(berth.send("reserve", Some(&format!("k{number}")), &body).await);
    }
    worker.until_ready(false).await;
    held.release();
    let told = std::time::Instant::now();
    let (status, log) = worker.ended().await;
    assert!(status.success(), "{status}\n{log}");
    assert!(told.elapsed() < std::time::Duration::from_secs(8), "{:?}\n{log}", told.elapsed());
    assert!(!log.contains("requests unanswered"), "{log}");

    berth.all_arrived().await;
    let first: Vec<_> = sent.iter_mut().map(|sent| sent.arrived()).collect();
    let unanswered = first[..150].iter().filter(|first| first.is_none()).count();
    assert_eq!(unanswered, 0, "of 150 that the worker had before the signal");
    let _next = WorkerProcess::start(&berth).await;
    let again = (0..200).map(|number| {
        let (berth, body) = (&berth, &body);
        async move { berth.insist("reserve", &format!("k{number}"), body).await }
    });
    let again = futures::future::join_all(again).await;
    for (first, again) in first.iter().zip(&again) {
        assert_eq!(first.is_some(), again.reply.is_replay(), "decided and answered, or neither: {again:?}");
    }
    check(&berth, &first.into_iter().flatten().chain(again).collect::<Vec<_>>()).await;
}

/// Requests that are on their way to a worker as it is told to end.
const IN_FLIGHT: usize = 64;
/// How often one of the two workers ends, and is followed by another one.
const STOPS: u64 = 8;
/// Answers between two of them.
const ANSWERS_BETWEEN: u64 = 500;

#[tokio::test(flavor = "multi_thread")]
async fn while_workers_are_replaced_under_load_every_request_is_answered_the_first_time() {
    replaced_under_load(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_where_workers_pass_requests_on_to_each_other() {
    replaced_under_load(true).await;
}

async fn replaced_under_load(homes: bool) {
    let mut berth = Berth::without_workers().await;
    berth.homes = homes;
    let berth = Arc::new(berth);
    let mut workers = vec![WorkerProcess::start(&berth).await, WorkerProcess::start(&berth).await];
    for pool in 0..8 {
        berth.pool(&format!("p{pool}"), 1_000_000).await;
    }
    let (answers, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let clients = (0..IN_FLIGHT).map(|client| {
        let (berth, answers, is_over) = (berth.clone(), answers.clone(), is_over.clone());
        tokio::spawn(async move {
            let mut body = one_hour();
            body["pool"] = json!(format!("p{}", client % 8));
            while !is_over.load(Ordering::Relaxed) {
                berth.ask("reserve", body.clone()).await.ok();
                answers.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    for _ in 0..STOPS {
        let before = answers.load(Ordering::Relaxed);
        within("answers", until(async || answers.load(Ordering::Relaxed) >= before + ANSWERS_BETWEEN)).await;
        let leaving = workers.remove(0);
        leaving.signal("TERM");
        let (status, log) = leaving.ended().await;
        assert!(status.success() && !log.contains("leaves without knowing"), "{status}\n{log}");
        workers.push(WorkerProcess::start(&berth).await);
    }
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("every request was answered, and granted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_told_to_end_while_nats_is_away_ends_nevertheless() {
    let mut stack = start_stack().await;
    let berth = Berth::on(stack.database_url(), stack.nats_url(), "berth".to_owned()).await;
    let worker = WorkerProcess::start(&berth).await;
    stack.kill_nats().await.unwrap();
    worker.signal("TERM");
    let (status, log) = worker.ended().await;
    assert!(status.success() && log.contains("leaves without knowing"), "{status}\n{log}");
    stack.stop().await.unwrap();
}
