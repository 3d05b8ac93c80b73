//! `berth bench`: its figures, what it sends again, and the checks that make it fail.

use std::collections::HashMap;

use super::*;

#[tokio::test]
async fn bench_without_a_worker_says_so_and_ends_with_1() {
    let nats = Nats::start();
    let ended = berth(&nats.url(), &["bench", "--seconds", "1"]).await;
    let told = "error: nobody serves berth.admin.v1.pool_list: is a worker running?\n";
    assert_eq!((ended.status, ended.stdout.as_str(), ended.stderr.as_str()), (1, "", told));
}

/// A worker that grants everything and publishes an event for each grant and change.
struct Fake {
    client: Client,
    /// What it does wrong, to one request.
    fault: &'static str,
    grants: u64,
    changes: u64,
    /// By id.
    versions: HashMap<String, u32>,
    /// By key.
    answers: HashMap<String, String>,
}

impl Fake {
    /// Gives the keys of what it is asked to grant and change.
    async fn start(client: &Client, fault: &'static str) -> mpsc::UnboundedReceiver<Option<String>> {
        make_stream(client, "BERTH_EVENTS", "berth.event.v1.>").await;
        let mut requests = client.subscribe("berth.*.>").await.unwrap();
        settled(client).await;
        let (versions, answers) = (HashMap::new(), HashMap::new());
        let mut fake = Fake { client: client.clone(), fault, grants: 0, changes: 0, versions, answers };
        let (seen, sees) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                let Some(reply) = request.reply.clone() else { continue };
                let verb = request.subject.rsplit('.').next().unwrap();
                let key = header(&request, "Idempotency-Key").map(str::to_owned);
                let is_first = fake.grants == 0 && verb == "reserve";
                let body = fake.answer(verb, &request, key.clone().unwrap_or_default()).await;
                if matches!(verb, "reserve" | "extend" | "lock" | "unlock") {
                    seen.send(key).unwrap();
                }
                let headers = match is_first && fault == "overloaded" {
                    true => headers_of(&[("Nats-Service-Error-Code", "429"), ("Nats-Service-Error", "overloaded")]),
                    false => HeaderMap::new(),
                };
                fake.client.publish_with_headers(reply, headers, body.into()).await.unwrap();
            }
        });
        sees
    }

    async fn answer(&mut self, verb: &str, request: &Message, key: String) -> String {
        let asked: serde_json::Value = serde_json::from_slice(&request.payload).unwrap();
        let tenant = request.subject.split('.').nth(2).unwrap();
        let end = format!(r#""end_time":{}"#, asked["end_time"]);
        let answer = match verb {
            "reserve" | "lock" => {
                self.grants += 1;
                if verb == "reserve" && self.grants == 1 && self.fault == "overloaded" {
                    return r#"{"error":{"code":"overloaded","details":{"retry_after_ms":1}}}"#.to_owned();
                }
                let id = format!("0198c5a0-0000-7000-8000-{:012}", self.grants);
                let by = if self.grants == 7 && self.fault == "version" { 2 } else { 1 };
                let kind = if verb == "lock" { "lock" } else { "reservation" };
                self.publish(tenant, kind, "placed", &id, by, &end).await;
                match verb {
                    "lock" => format!(r#"{{"status":"ACQUIRED","release_token":"{id}","lock_id":"{id}"}}"#),
                    _ => format!(r#"{{"reservation_id":"{id}"}}"#),
                }
            }
            "extend" => {
                self.changes += 1;
                let id = asked["reservation_id"].as_str().unwrap();
                let by = if self.changes == 7 && self.fault == "gap" { 2 } else { 1 };
                self.publish(tenant, "reservation", "extended", id, by, &end).await;
                format!(r#"{{"reservation_id":"{id}"}}"#)
            }
            "unlock" => {
                self.changes += 1;
                let kind = if self.changes == 7 && self.fault == "held" { "extended" } else { "ended" };
                self.publish(tenant, "lock", kind, asked["release_token"].as_str().unwrap(), 1, &end).await;
                format!(r#"{{"resource":{},"status":"RELINQUISHED"}}"#, asked["resource"])
            }
            "receipt" if self.fault != "receipt" => self.answers[asked["idempotency_key"].as_str().unwrap()].clone(),
            _ => "{}".to_owned(),
        };
        self.answers.insert(key, answer.clone());
        answer
    }

    /// An event, with a version that is higher by so much than that of the one before it.
    async fn publish(&mut self, tenant: &str, kind: &str, change: &str, id: &str, by: u32, data: &str) {
        let version = self.versions.entry(id.to_owned()).or_default();
        *version += by;
        let subject = format!("berth.event.v1.{tenant}.{kind}.p.{change}");
        self.client.publish(subject, event(tenant, kind, id, *version, data).into()).await.unwrap();
    }
}

const BENCH: [&str; 10] =
    ["bench", "--requests", "300", "--warmup", "0", "--pools", "5", "--in-flight", "16", "--connections"];

#[tokio::test]
async fn bench_prints_figures_that_agree_with_what_the_worker_did() {
    let nats = Nats::start();
    let mut keys = Fake::start(&nats.client().await, "none").await;
    let ended = berth(&nats.url(), &[&BENCH[..], &["2", "--json"]].concat()).await;
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""), "{}", ended.stdout);
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    for (name, expected) in [("answers", 300), ("granted", 300), ("events", 300), ("asked_again", 100)] {
        assert_eq!(report[name], expected, "{name}: {report}");
    }
    assert!(report["rate"].as_f64().unwrap() > 0.0 && report["latency_ms"]["p99"].as_f64().unwrap() > 0.0);
    let mut distinct = std::collections::HashSet::new();
    while let Ok(key) = keys.try_recv() {
        assert!(distinct.insert(key.unwrap()));
    }
    assert_eq!(distinct.len(), 300);
}

#[tokio::test]
async fn bench_sends_what_was_overloaded_again_under_the_same_key() {
    let nats = Nats::start();
    let mut keys = Fake::start(&nats.client().await, "overloaded").await;
    let ended = berth(&nats.url(), &[&BENCH[..], &["1"]].concat()).await;
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""), "{}", ended.stdout);
    assert!(ended.stdout.contains("sent again  1 overloaded"), "{}", ended.stdout);
    let refused = keys.recv().await.unwrap();
    let mut again = 0;
    while let Ok(key) = keys.try_recv() {
        again += u32::from(key == refused);
    }
    assert_eq!(again, 1);
}

#[tokio::test]
async fn bench_fails_where_events_or_receipts_are_not_what_was_answered() {
    for (fault, verb, told) in [
        ("version", "reserve", "1 events do not carry the version after the last one"),
        ("gap", "reserve=1,extend=3", "1 events do not carry the version after the last one"),
        ("held", "lock-unlock", "1 locks that were given back have no event that ends them"),
        ("receipt", "reserve", "100 of 100 grants were not answered again as they had been"),
    ] {
        let nats = Nats::start();
        let _keys = Fake::start(&nats.client().await, fault).await;
        let ended = berth(&nats.url(), &[&BENCH[..], &["1", "--verb", verb]].concat()).await;
        let told = format!("error: the check failed: {told}\n");
        assert_eq!((ended.status, ended.stderr), (1, told), "{}", ended.stdout);
    }
}

#[tokio::test]
async fn bench_of_a_mix_shows_each_verb_and_a_lock_is_given_back_under_a_key_of_its_own() {
    let nats = Nats::start();
    let mut keys = Fake::start(&nats.client().await, "none").await;
    let mix = "reserve=2,extend=2,lock-unlock=4";
    let ended = berth(&nats.url(), &[&BENCH[..], &["1", "--verb", mix, "--tenants", "3"]].concat()).await;
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""), "{}", ended.stdout);
    let head = format!("{mix} with keys, 16 in flight, 5 pools, 3 tenants, 1 connections\nrate ");
    assert!(ended.stdout.starts_with(&head), "{}", ended.stdout);
    let answers = |verb: &str| -> u64 {
        let mut lines = ended.stdout.lines().map(str::split_whitespace);
        let mut line = lines.find(|line| line.clone().next() == Some(verb)).expect(verb);
        line.nth(1).unwrap().parse().unwrap()
    };
    assert_eq!(answers("reserve") + answers("extend") + answers("lock-unlock"), 300);
    let mut distinct = std::collections::HashSet::new();
    while let Ok(key) = keys.try_recv() {
        assert!(distinct.insert(key.unwrap()));
    }
    assert_eq!(distinct.len(), 300);
}

#[tokio::test]
async fn bench_refuses_a_mix_of_what_it_does_not_know() {
    let ended = berth("nats://127.0.0.1:1", &["bench", "--verb", "reserve=1,reserv=2"]).await;
    assert_eq!(ended.status, 1);
    assert!(ended.stderr.contains("'reserv' is none of reserve, extend,"), "{}", ended.stderr);
}

#[tokio::test]
async fn bench_says_what_it_can_not_do_before_it_loads_anything() {
    let nats = Nats::start(); // nobody answers there
    let nowhere = ["bench", "--database-url", "postgres://berth@127.0.0.1:1/berth"];
    let ended = berth(&nats.url(), &nowhere).await;
    assert_eq!(ended.status, 1);
    assert!(ended.stderr.starts_with("error: could not read the database: "), "{}", ended.stderr);
    let ended = berth(&nats.url(), &["bench", "--items", "16"]).await;
    assert_eq!((ended.status, ended.stderr.as_str()), (1, "error: --items is for lock and lock-unlock\n"));
}
