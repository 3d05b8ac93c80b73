//! Two workers on one pool, and commits that are cut off or held up: what each remembers of the pool is never stale
//! when it decides.

use serde_json::json;

use super::make_pool;
use super::process::WorkerProcess;
use crate::checker::check;
use crate::harness::{Berth, hours_from_now};
use crate::tap::{Step, Tap, Way};

#[tokio::test(flavor = "multi_thread")]
async fn commits_cut_off_between_two_workers_never_let_more_in_than_there_is() {
    let berth = Berth::without_workers().await;
    let mut taps = [Tap::before(&berth.database_url).await, Tap::before(&berth.database_url).await];
    let mut workers = Vec::new();
    for tap in &taps {
        workers.push(WorkerProcess::start_on(&berth, &tap.url, &berth.nats_url).await);
    }
    make_pool(&berth).await;
    let ten = json!({"pool": "gpu", "start_time": hours_from_now(1), "end_time": hours_from_now(2), "quantity": 10});
    let mut answered = Vec::new();
    for round in 0..16 {
        // Before the commit, or between it and its acknowledgement; cut off, or only late.
        let step = if round % 2 == 0 { Step::Commit } else { Step::Committed };
        taps.iter().for_each(|tap| tap.set_at(step));
        let mut sent = berth.send("reserve", Some(&format!("held-{round}")), &ten).await;
        let [one, other] = &mut taps;
        let held = tokio::select! { held = one.caught() => held, held = other.caught() => held };
        taps.iter().for_each(|tap| tap.set(Way::Out, "nothing like this ever passes"));
        match round % 4 {
            0 | 1 => held.cut(),
            _ => held.release(),
        }
        answered.push(sent.answer().await);
        // The other worker, or the same one, goes on from what is there now.
        answered.push(berth.insist("reserve", &format!("next-{round}"), &ten).await);
        let granted = answered.iter().filter(|answer| answer.reply.code() == "ok").count();
        assert_eq!(granted, answered.len().min(10), "in round {round}");
    }
    check(&berth, &answered).await;
    for worker in workers {
        worker.stop().await;
    }
}
