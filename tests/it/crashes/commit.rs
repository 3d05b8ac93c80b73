//! The steps around the commit, and the answer behind it.

use super::process::WorkerProcess;
use super::{count_holds, make_pool, one_hour, stop_before_commit, under_locks};
use crate::checker::check;
use crate::harness::Berth;
use crate::tap::{Step, Tap, Way};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_before_its_commit_has_done_nothing_and_the_retry_does_it_once() {
    for is_locked in [true, false] {
        killed_before_its_commit(is_locked).await;
    }
}

async fn killed_before_its_commit(is_locked: bool) {
    let berth = Berth::without_workers().await;
    let mut postgres = Tap::before(&berth.database_url).await;
    let worker = WorkerProcess::start_on(&berth, &postgres.url, &berth.nats_url).await;
    make_pool(&berth).await;
    let mut answered = stop_before_commit(&berth, &postgres, is_locked).await;
    let mut first = berth.send("reserve", Some("k"), &one_hour()).await;
    let _held = postgres.caught().await;
    worker.kill().await;
    assert_eq!(count_holds(&berth.sql().await).await, 0);
    let _next = WorkerProcess::start(&berth).await;
    let retried = berth.insist("reserve", "k", &one_hour()).await;
    assert!(!retried.reply.is_replay(), "it had not been done");
    answered.push(retried);
    check(&berth, &answered).await;
    assert!(first.arrived().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_between_its_commit_and_the_reply_has_left_the_answer_to_the_retry() {
    let berth = Berth::without_workers().await;
    let mut postgres = Tap::before(&berth.database_url).await;
    let worker = WorkerProcess::start_on(&berth, &postgres.url, &berth.nats_url).await;
    make_pool(&berth).await;
    postgres.set_at(Step::Committed);
    let mut first = berth.send("reserve", Some("k"), &one_hour()).await;
    let _held = postgres.caught().await;
    worker.kill().await;
    assert_eq!(count_holds(&berth.sql().await).await, 1);

    let mut nats = Tap::before(&berth.nats_url).await;
    let worker = WorkerProcess::start_on(&berth, &berth.database_url, &nats.url).await;
    let retried = berth.insist("reserve", "k", &one_hour()).await;
    assert!(retried.reply.is_replay());
    assert!(first.arrived().is_none());

    // The same once more, with the reply already on its way.
    nats.set(Way::Out, "PUB _INBOX.");
    let mut second = berth.send("reserve", Some("l"), &one_hour()).await;
    let _held = nats.caught().await;
    worker.kill().await;
    assert_eq!(count_holds(&berth.sql().await).await, 2);
    let _next = WorkerProcess::start(&berth).await;
    let again = berth.insist("reserve", "l", &one_hour()).await;
    assert!(again.reply.is_replay());
    check(&berth, &[retried, again]).await;
    assert!(second.arrived().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_was_lost_is_found_out_and_answered_as_it_was_decided() {
    let berth = Berth::without_workers().await;
    let mut postgres = Tap::before(&berth.database_url).await;
    let _worker = WorkerProcess::start_on(&berth, &postgres.url, &berth.nats_url).await;
    make_pool(&berth).await;
    let (mut answered, mut done) = (Vec::new(), 0);
    // Committed, or not, without locks and under them: with a key, and without one, where no receipt would forgive a
    // second time.
    let cases = [Step::Committed, Step::Commit, Step::Committed, Step::Commit];
    for (number, step) in cases.into_iter().enumerate() {
        if number == 2 {
            answered.extend(under_locks(&berth).await);
        }
        for key in [Some(format!("k{number}")), None] {
            postgres.set_at(step);
            let mut sent = berth.send("reserve", key.as_deref(), &one_hour()).await;
            postgres.caught().await.cut();
            let answer = sent.answer().await;
            assert_eq!(answer.reply.code(), "ok", "{}", answer.reply.body);
            assert!(!answer.reply.is_replay(), "it was decided once");
            answered.push(answer);
            done += 1;
            assert_eq!(count_holds(&berth.sql().await).await, done);
        }
    }
    check(&berth, &answered).await;
}
