//! Bad requests over the wire, each among good ones that are sent at the same instant and share its batch: it gets its
//! refusal, and nobody else notices.

mod addressed;
mod form;
mod fuzz;
mod others;
mod raw;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{Berth, Reply, hours_from_now};

/// One bad request, and what it is told: a refusal's code, with field and reason where it names one.
struct Case {
    verb: &'static str,
    headers: Vec<(&'static str, String)>,
    payload: Vec<u8>,
    told: &'static str,
}

fn case(verb: &'static str, payload: impl Into<Vec<u8>>, told: &'static str) -> Case {
    Case { verb, headers: Vec::new(), payload: payload.into(), told }
}

fn case_with(
    verb: &'static str,
    header: (&'static str, &str),
    payload: impl Into<Vec<u8>>,
    told: &'static str,
) -> Case {
    Case { headers: vec![(header.0, header.1.to_owned())], ..case(verb, payload, told) }
}

/// A berth with a roomy pool and, of each tenant, a reservation and a lock that stand before anything bad comes.
struct Scene {
    berth: Berth,
    sql: sqlx::PgPool,
    start: String,
    end: String,
    /// Of the tenant `acme`, who sends everything.
    own: Value,
    own_lock: Value,
    /// Of the tenant `rival`.
    others: Value,
    others_lock: Value,
}

impl Scene {
    async fn set() -> Scene {
        let berth = Berth::start().await;
        berth.admin("pool_put", json!({"pool": "good", "capacity": 1_000_000})).await.ok();
        let (start, end) = (hours_from_now(24), hours_from_now(25));
        let body = json!({"pool": "good", "start_time": start, "end_time": end, "quantity": 3, "tags": {"a": "ä"}});
        let lock = json!({"requester": "me", "resource": "door", "ttl_seconds": 3600});
        let mine = ["acme", "rival"].map(async |tenant| {
            let reservation = berth.ask_as(tenant, "reserve", &[], &body.to_string()).await.ok();
            (reservation, berth.ask_as(tenant, "lock", &[], &lock.to_string()).await.ok())
        });
        let [(own, own_lock), (others, others_lock)] = futures::future::join_all(mine).await.try_into().unwrap();
        let sql = berth.sql().await;
        Scene { berth, sql, start, end, own, own_lock, others, others_lock }
    }

    /// A reserve that is good but for its last members.
    fn reserve(&self, members: &str) -> String {
        let (start, end) = (&self.start, &self.end);
        format!(r#"{{"pool":"good","start_time":"{start}","end_time":"{end}","quantity":1{members}}}"#)
    }

    /// A reserve that is good but for the text of its quantity.
    fn quantity(&self, quantity: &str) -> String {
        self.reserve("").replace(r#""quantity":1"#, &format!(r#""quantity":{quantity}"#))
    }

    fn window(&self, start: &str, end: &str) -> String {
        format!(r#"{{"pool":"good","start_time":"{start}","end_time":"{end}","quantity":1}}"#)
    }

    /// Minute `minute` of the hour that [`Scene::reserve`] asks for.
    fn at(&self, minute: u32) -> String {
        self.start.replace(":00:00Z", &format!(":{minute:02}:00Z"))
    }

    /// Every hold as the text of its row.
    async fn rows(&self) -> BTreeMap<String, String> {
        let rows = sqlx::query_as("select id::text, hold::text from hold").fetch_all(&self.sql).await.unwrap();
        rows.into_iter().collect()
    }

    async fn receipts(&self) -> i64 {
        sqlx::query_scalar("select count(*) from receipt").fetch_one(&self.sql).await.unwrap()
    }

    /// Sends all cases at once, each between two good requests, and holds everybody to what the contract says.
    async fn hold_to(&self, cases: Vec<Case>) {
        let (before, receipts) = (self.rows().await, self.receipts().await);
        let count = cases.len();
        let good = async || self.berth.ask_as("acme", "reserve", &[], &self.reserve("")).await;
        let burst = cases.iter().map(async |case| {
            let headers: Vec<(&str, &str)> = case.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let subject = match case.verb.starts_with("pool_") {
                true => format!("{}.admin.v1.{}", self.berth.root, case.verb),
                false => format!("{}.v1.acme.{}", self.berth.root, case.verb),
            };
            let bad = self.berth.ask_subject(subject, &headers, case.payload.clone());
            tokio::join!(good(), bad, good())
        });
        let answers = futures::future::join_all(burst).await;
        for (case, (first, bad, second)) in cases.iter().zip(answers) {
            check_refusal(case, &bad);
            assert_eq!((first.code(), second.code()), ("ok", "ok"), "beside {}", shown(case));
        }
        let after = self.rows().await;
        assert_eq!(after.len(), before.len() + 2 * count, "only what the good ones made");
        for (id, row) in before {
            assert_eq!(after[&id], row, "no refused request has touched it");
        }
        assert_eq!(self.receipts().await, receipts, "nothing of it is remembered under a key");
        let own = self.berth.ask("get", json!({"reservation_id": self.own["reservation_id"]})).await.ok();
        assert_eq!(own, self.own);
    }
}

fn shown(case: &Case) -> String {
    let payload = String::from_utf8_lossy(&case.payload);
    format!("{} {:?} {}", case.verb, case.headers, payload.chars().take(200).collect::<String>())
}

/// The numbers of the contract.
fn number(code: &str) -> u16 {
    match code {
        "invalid_json" | "invalid_request" | "payload_too_large" | "invalid_idempotency_key" => 400,
        "tenant_mismatch" => 403,
        "not_found" | "unknown_pool" | "unknown_verb" => 404,
        "idempotency_key_conflict" | "invalid_state" | "insufficient_capacity" | "price_above_max" | "hold_expired" => {
            409
        }
        "lead_time_violation"
        | "duration_out_of_policy"
        | "not_cancellable"
        | "not_extendable"
        | "not_reducible"
        | "pool_disabled" => 422,
        "overloaded" => 429,
        "unavailable" => 503,
        "deadline_exceeded" | "unknown_outcome" => 504,
        _ => panic!("no code of the contract: {code}"),
    }
}

/// A refusal's parts, complete and in agreement with its headers.
#[track_caller]
fn check_form(reply: &Reply) {
    let error = &reply.body["error"];
    let code = error["code"].as_str().unwrap();
    let header = |name: &str| reply.headers.get(name).map(|value| value.as_str().to_owned());
    assert_eq!(header("Nats-Service-Error").as_deref(), Some(code));
    assert_eq!(header("Nats-Service-Error-Code"), Some(number(code).to_string()));
    let members: Vec<&String> = error.as_object().unwrap().keys().collect();
    assert_eq!(members, ["code", "details", "message", "retryable"], "{error}");
    assert!(error["message"].as_str().unwrap().ends_with('.'), "{error}");
    assert!(error["details"].is_object(), "{error}");
}

#[track_caller]
fn check_refusal(case: &Case, reply: &Reply) {
    assert_ne!(reply.code(), "ok", "{} was answered {}", shown(case), reply.body);
    check_form(reply);
    let details = reply.details();
    let mut told = vec![reply.code()];
    told.extend(["field", "reason"].iter().filter_map(|name| details[name].as_str()));
    let told = told.join(" ");
    assert_eq!(told.strip_prefix("invalid_request ").unwrap_or(&told), case.told, "{}", shown(case));
    assert_eq!(reply.body["error"]["retryable"], false);
}
