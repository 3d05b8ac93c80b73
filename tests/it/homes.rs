//! Several workers that share the lanes: who decides what, and what becomes of requests whose home goes away.

use std::time::Duration;

use async_nats::HeaderMap;
use futures::StreamExt;
use serde_json::{Value, json};

use crate::crashes::process::WorkerProcess;
use crate::harness::{Berth, Reply, hours_from_now, metric, within};

/// What workers say with `here`.
const VERSION: &str = env!("CARGO_PKG_VERSION");
const GRANTED: &str = r#"berth_requests_total{code="ok",verb="reserve"}"#;
const PASSED_ON: &str = "berth_passed_on_total";
const TAKEN_BACK: &str = "berth_taken_back_total";

async fn at_home(workers: usize) -> Berth {
    let mut berth = Berth::without_workers().await;
    berth.homes = true;
    for _ in 0..workers {
        berth.add_worker().await;
    }
    berth
}

fn reserve(pool: &str) -> Value {
    json!({"pool": pool, "start_time": hours_from_now(1), "end_time": hours_from_now(2), "quantity": 1})
}

/// The same metric of each worker.
async fn each(berth: &Berth, name: &str) -> Vec<f64> {
    futures::future::join_all(berth.workers.iter().map(|worker| metric(worker.http, name))).await
}

/// Asks until the workers know of each other, so that one of them has passed something on.
async fn until_acquainted(berth: &Berth) {
    berth.pool("first", 1000).await;
    let acquainted = async {
        while each(berth, PASSED_ON).await.iter().sum::<f64>() == 0.0 {
            berth.ask("reserve", reserve("first")).await.ok();
        }
    };
    within("a request that is passed on", acquainted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pool_is_asked_for_is_decided_by_one_worker_whoever_got_it_and_answered_once() {
    let berth = at_home(3).await;
    until_acquainted(&berth).await;
    berth.pool("gpu", 1000).await;
    let before = each(&berth, GRANTED).await;
    let inbox = berth.nats.new_inbox();
    let mut answers = berth.nats.subscribe(format!("{inbox}.*")).await.unwrap();
    for number in 0..300 {
        let (subject, reply) = (format!("{}.v1.acme.reserve", berth.root), format!("{inbox}.{number}"));
        let mut headers = HeaderMap::new();
        // Each key twice: whichever worker gets the second one, its answer is that of the first.
        headers.insert("Idempotency-Key", format!("k{}", number / 2));
        let payload = reserve("gpu").to_string().into();
        berth.nats.publish_with_reply_and_headers(subject, reply, headers, payload).await.unwrap();
    }
    let mut seen: Vec<Option<Reply>> = vec![None; 300];
    for _ in 0..300 {
        let message = within("an answer", answers.next()).await.unwrap();
        let number: usize = message.subject.rsplit('.').next().unwrap().parse().unwrap();
        assert!(seen[number].replace(Reply::of(message)).is_none(), "answered twice");
    }
    let seen: Vec<Reply> = seen.into_iter().flatten().collect();
    for two in seen.chunks(2) {
        assert_eq!(two[0].bytes, two[1].bytes);
        assert!(two[0].is_replay() != two[1].is_replay(), "one of the two is the first");
    }
    let after = each(&berth, GRANTED).await;
    let mut done: Vec<f64> = before.iter().zip(&after).map(|(before, after)| after - before).collect();
    done.sort_by(f64::total_cmp);
    assert_eq!(done, [0.0, 0.0, 300.0], "one of them is at home in the pool's lane");
    assert!(each(&berth, TAKEN_BACK).await.iter().all(|count| *count == 0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_submitted_is_decided_at_its_home_too_and_has_one_result() {
    let berth = at_home(2).await;
    until_acquainted(&berth).await;
    berth.pool("gpu", 1000).await;
    let (granted, passed_on) = (each(&berth, GRANTED).await, each(&berth, PASSED_ON).await);
    let context = async_nats::jetstream::new(berth.nats.clone());
    for number in 0..200 {
        let subject = format!("{}.submit.v1.acme.reserve", berth.root);
        let payload = reserve("gpu").to_string().into();
        // Every other one without a key of its sender's.
        let mut headers = HeaderMap::new();
        if number % 2 == 0 {
            headers.insert("Idempotency-Key", format!("k{number}"));
        }
        context.publish_with_headers(subject, headers, payload).await.unwrap().await.unwrap();
    }
    let submitted = context.get_stream(format!("{}_SUBMIT", berth.root.to_uppercase())).await.unwrap();
    let all_done = async { while submitted.get_info().await.unwrap().state.messages > 0 {} };
    within("an acknowledgement of each", all_done).await;
    let results = context.get_stream(format!("{}_RESULT", berth.root.to_uppercase())).await.unwrap();
    assert_eq!(results.cached_info().state.messages, 200);
    let of_each = async |name: &str, before: &[f64]| {
        let after = each(&berth, name).await;
        let mut counts: Vec<f64> = before.iter().zip(&after).map(|(before, after)| after - before).collect();
        counts.sort_by(f64::total_cmp);
        counts
    };
    assert_eq!(of_each(GRANTED, &granted).await, [0.0, 200.0], "one of them is at home in the pool's lane");
    let passed_on = of_each(PASSED_ON, &passed_on).await;
    assert!(passed_on[0] == 0.0 && passed_on[1] > 0.0, "{passed_on:?}");
}

/// A worker that says that it is there, and takes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_takes_at_its_home_is_decided_where_it_arrived() {
    let berth = at_home(1).await;
    let pools: Vec<String> = (0..16).map(|number| format!("p{number}")).collect();
    for pool in &pools {
        berth.pool(pool, 1000).await;
    }
    let http = berth.workers[0].http;
    let taken_back = async {
        while metric(http, TAKEN_BACK).await == 0.0 {
            for pool in &pools {
                berth.nats.publish(format!("{}.home.v1.here.nobody", berth.root), VERSION.into()).await.unwrap();
                berth.ask("reserve", reserve(pool)).await.ok();
            }
        }
    };
    within("a request that nobody took", taken_back).await;
    assert_eq!(metric(http, PASSED_ON).await, metric(http, TAKEN_BACK).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_leaves_for_no_subject_outside_the_inbox_space_whoever_passes_the_request_on() {
    let berth = at_home(1).await;
    berth.pool("gpu", 1000).await;
    let pong = berth.ask_subject(format!("$SRV.PING.{}", berth.root), &[], Vec::new()).await;
    let worker = pong.body["id"].as_str().unwrap();
    let passed_on = async |way: &str, reply: &str| {
        let subject = format!("{0}.home.v1.{worker}.{0}.{way}.acme.reserve", berth.root);
        let mut headers = HeaderMap::new();
        headers.insert("Berth-Reply", reply);
        headers.insert("Berth-Own-Key", "berth:1:1");
        let payload = reserve("gpu").to_string().into();
        berth.nats.publish_with_headers(subject, headers, payload).await.unwrap();
    };
    let inbox = berth.nats.new_inbox();
    let mut answers = berth.nats.subscribe(inbox.clone()).await.unwrap();
    passed_on("v1", "berth.event.v1.acme.forged").await;
    passed_on("submit.v1", "berth.event.v1.acme.forged").await; // it is no inbox, and must be where one acknowledges
    passed_on("v1", &inbox).await;
    let answer = Reply::of(within("an answer", answers.next()).await.unwrap()).ok();
    assert_eq!(answer["status"], "Pending");
    assert_eq!(metric(berth.workers[0].http, "berth_replies_dropped_total").await, 2.0);
    assert_eq!(metric(berth.workers[0].http, GRANTED).await, 1.0, "what could not be answered was not carried out");
}

/// The other worker is played here: it has passed a request on when it hears that the home of its lane is leaving.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_leaves_takes_what_was_passed_on_to_it_until_the_others_have_heard_that_it_is_gone() {
    let mut berth = at_home(1).await;
    berth.pool("gpu", 1000).await;
    let pong = berth.ask_subject(format!("$SRV.PING.{}", berth.root), &[], Vec::new()).await;
    let worker = pong.body["id"].as_str().unwrap().to_owned();
    let mut words = berth.nats.subscribe(format!("{}.home.v1.*.*", berth.root)).await.unwrap();
    let inbox = berth.nats.new_inbox();
    let mut answers = berth.nats.subscribe(inbox.clone()).await.unwrap();
    let mut word = async |presence: &str| {
        let subject = format!("{}.home.v1.{presence}.{worker}", berth.root);
        loop {
            let word = within("a word", words.next()).await.unwrap();
            if *word.subject == *subject {
                return word;
            }
        }
    };
    let (nats, other) = (berth.nats.clone(), format!("{}.home.v1.here.other", berth.root));
    let other = tokio::spawn(async move {
        let mut every = tokio::time::interval(Duration::from_millis(100));
        loop {
            every.tick().await;
            nats.publish(other.clone(), VERSION.into()).await.unwrap();
        }
    });
    // At once, because it has heard of a new one, or a little later; and once more, when it certainly has.
    word("here").await;
    word("here").await;
    let leaving = tokio::spawn(berth.workers.remove(0).stop());
    let gone = word("gone").await;
    other.abort();
    let mut headers = HeaderMap::new();
    headers.insert("Berth-Reply", inbox.as_str());
    let subject = format!("{0}.home.v1.{worker}.{0}.v1.acme.reserve", berth.root);
    let payload = reserve("gpu").to_string().into();
    berth.nats.publish_with_headers(subject, headers, payload).await.unwrap();
    berth.nats.publish(gone.reply.expect("it wants to know that it was heard"), "other".into()).await.unwrap();
    Reply::of(within("an answer", answers.next()).await.unwrap()).ok();
    within("the worker's end", leaving).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_in_the_lanes_of_a_worker_that_was_killed_is_carried_out_by_another() {
    let mut berth = Berth::without_workers().await;
    berth.homes = true;
    let workers = [WorkerProcess::start(&berth).await, WorkerProcess::start(&berth).await];
    let mut events = berth.events().await;
    for number in 0..16 {
        let pool = format!("p{number}");
        berth.pool(&pool, 1).await;
        let (start, end) = (hours_from_now(1), hours_from_now(2));
        let body = json!({"pool": pool, "start_time": start, "end_time": end, "quantity": 1, "hold_seconds": 2});
        berth.insist("reserve", &pool, &body).await.reply.ok();
    }
    let [killed, other] = workers;
    killed.kill().await;
    let mut expired = 0;
    while expired < 16 {
        expired += usize::from(events.next().await.kind() == "expired");
    }
    other.stop().await;
}
