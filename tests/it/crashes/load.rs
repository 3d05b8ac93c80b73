//! Many clients at once, while workers, Postgres and nats-server are killed.

use async_nats::Client;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::client::insist;
use super::process::WorkerProcess;
use crate::checker::{Answered, check};
use crate::harness::{Berth, hours_from_now, seconds_from_now, start_stack};
use crate::quota;

/// The quota of the tenant that all of them are.
const UNITS_MAX: i64 = 28;
const CLIENTS: usize = 60;
/// So many answers into a round, something is killed.
const ANSWERS_BEFORE_KILL: usize = 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    Worker,
    Postgres,
    Nats,
    WorkerAndPostgres,
    AllWorkers,
}

const ROUNDS: [Round; 5] = [Round::Worker, Round::Postgres, Round::Nats, Round::WorkerAndPostgres, Round::AllWorkers];
/// Rounds that follow until a committed answer has been lost, which is what a kill is for.
const ROUNDS_MORE: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_under_load_every_answer_is_kept_and_every_key_has_one_effect() {
    killed_under_load(false, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_for_a_tenant_with_limits_and_they_do_too() {
    killed_under_load(true, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_where_workers_pass_requests_on_to_each_other() {
    killed_under_load(false, true).await;
}

async fn killed_under_load(has_limits: bool, homes: bool) {
    let mut stack = start_stack().await;
    let mut berth = Berth::on(stack.database_url(), stack.nats_url(), "berth".to_owned()).await;
    berth.homes = homes;
    let mut workers = vec![WorkerProcess::start(&berth).await, WorkerProcess::start(&berth).await];
    for (pool, capacity, grain) in [("tight-a", 16, 1), ("tight-b", 16, 1), ("short", 8, 1), ("long", 1000, 900)] {
        berth.admin("pool_put", json!({"pool": pool, "capacity": capacity, "grain_seconds": grain})).await.ok();
    }
    let limits = json!({"tenant": "acme", "quotas": {"units": UNITS_MAX, "locks": 12}});
    if has_limits {
        berth.admin("tenant_put", limits).await.ok();
    }
    let mut answered: Vec<Answered> = Vec::new();
    let more = std::iter::repeat_n(Round::AllWorkers, ROUNDS_MORE);
    for (number, round) in ROUNDS.into_iter().chain(more).enumerate() {
        if number >= ROUNDS.len() && answered.iter().any(|answer| answer.reply.is_replay()) {
            break;
        }
        let (sender, mut progress) = watch::channel(0);
        let load = (0..CLIENTS).map(|client| {
            let life = Life { nats: berth.nats.clone(), client, round: number, progress: sender.clone() };
            tokio::spawn(life.run())
        });
        let load: Vec<_> = load.collect();
        progress.wait_for(|answers| *answers >= ANSWERS_BEFORE_KILL).await.unwrap();
        if matches!(round, Round::Worker | Round::WorkerAndPostgres | Round::AllWorkers) {
            workers.remove(0).kill().await;
        }
        if round == Round::AllWorkers {
            workers.remove(0).kill().await;
        }
        if matches!(round, Round::Postgres | Round::WorkerAndPostgres) {
            stack.kill_postgres().await.unwrap();
            stack.start_postgres().await.unwrap();
        }
        if round == Round::Nats {
            stack.kill_nats().await.unwrap();
            stack.start_nats().await.unwrap();
        }
        while workers.len() < 2 {
            workers.push(WorkerProcess::start(&berth).await);
        }
        for life in load {
            answered.extend(life.await.unwrap());
        }
    }
    let count = |code: &str| answered.iter().filter(|answer| answer.reply.code() == code).count();
    println!("{} requests, {} granted", answered.len(), count("ok"));
    assert!(count("insufficient_capacity") > 0, "nobody wanted more than there is");
    assert_eq!(count("quota_exceeded") > 0, has_limits, "whether anybody wanted more than the tenant may have");
    assert!(answered.iter().any(|answer| answer.reply.is_replay()), "no answer was lost");
    check(&berth, &answered).await;
    if has_limits {
        quota::assert_kept(&berth, UNITS_MAX).await;
    }
    for worker in workers {
        worker.stop().await;
    }
    stack.stop().await.unwrap();
}

/// One client in one round: a reservation and a lock, each from its beginning to its end.
struct Life {
    nats: Client,
    client: usize,
    round: usize,
    progress: watch::Sender<usize>,
}

impl Life {
    async fn run(self) -> Vec<Answered> {
        let mut answered = match self.client % 4 {
            0 => self.short().await,
            1 => self.running().await,
            _ => self.future().await,
        };
        answered.extend(self.lock().await);
        answered
    }

    async fn ask(&self, verb: &str, body: &Value) -> Answered {
        let key = format!("{}-{}-{verb}", self.round, self.client);
        let answer = insist(&self.nats, "berth", verb, &key, body).await;
        self.progress.send_modify(|answers| *answers += 1);
        answer
    }

    /// Reserves, extends and perhaps cancels; the pool is full after a round or two.
    async fn future(&self) -> Vec<Answered> {
        let pool = ["tight-a", "tight-b"][self.client / 4 % 2];
        let hour = 1 + (self.client / 8) as i64 % 2;
        let (start, end) = (hours_from_now(hour), hours_from_now(hour + 1));
        let body = json!({"pool": pool, "start_time": start, "end_time": end, "quantity": 1 + self.client % 3});
        let mut answered = vec![self.ask("reserve", &body).await];
        let id = answered[0].reply.body["reservation_id"].clone();
        if !id.is_null() {
            let longer = json!({"reservation_id": id, "end_time": hours_from_now(hour + 2)});
            answered.push(self.ask("extend", &longer).await);
            if self.client % 8 == 2 {
                answered.push(self.ask("cancel", &json!({"reservation_id": id})).await);
            }
        }
        answered
    }

    /// Reserves from now on, and terminates.
    async fn running(&self) -> Vec<Answered> {
        let body = json!({"pool": "long", "start_time": this_quarter(), "end_time": hours_from_now(3), "quantity": 2});
        let mut answered = vec![self.ask("reserve", &body).await];
        let id = answered[0].reply.body["reservation_id"].clone();
        if !id.is_null() {
            answered.push(self.ask("terminate", &json!({"reservation_id": id})).await);
        }
        answered
    }

    /// What the clock begins and ends, whoever is there to see to it.
    async fn short(&self) -> Vec<Answered> {
        let (start, end) = (seconds_from_now(2), seconds_from_now(4));
        let body = json!({"pool": "short", "start_time": start, "end_time": end, "quantity": 1});
        vec![self.ask("reserve", &body).await]
    }

    /// Asks for a lock that others want too, and gives it back.
    async fn lock(&self) -> Vec<Answered> {
        let resource = format!("job-{}", self.client % 16);
        let requester = format!("client-{}", self.client);
        let mut answered = vec![self.ask("lock", &json!({"requester": requester, "resource": resource})).await];
        let token = answered[0].reply.body["release_token"].clone();
        if answered[0].reply.body["status"] == "ACQUIRED" {
            let body = json!({"requester": requester, "resource": resource, "release_token": token});
            answered.push(self.ask("unlock", &body).await);
        }
        answered
    }
}

/// The start of the quarter of an hour that runs now.
#[allow(clippy::disallowed_methods)] // tests live in the machine's time
fn this_quarter() -> String {
    let now = chrono::Utc::now().timestamp();
    let at = chrono::DateTime::from_timestamp(now - now % 900, 0).unwrap();
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
