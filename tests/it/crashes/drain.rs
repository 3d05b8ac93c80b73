//! A worker that is told to end.

use serde_json::json;

use super::process::WorkerProcess;
use super::{make_pool, one_hour};
use crate::checker::check;
use crate::harness::Berth;
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
