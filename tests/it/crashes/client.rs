//! A client as the contract asks for one: it repeats a request with its key until it gets a decided answer.

use std::time::Duration;

use async_nats::{Client, HeaderMap, Request, Subscriber};
use futures::{FutureExt, StreamExt};
use serde_json::Value;

use crate::checker::Answered;
use crate::harness::{Berth, Reply, within};

/// How long it waits for one answer.
const ANSWER_MAX: Duration = Duration::from_millis(1500);
/// What it waits before it asks again.
const PAUSE: Duration = Duration::from_millis(50);

const UNDECIDED: [&str; 4] = ["overloaded", "unavailable", "unknown_outcome", "deadline_exceeded"];

/// Asks as the tenant `acme`, with the same key, until it is decided.
pub async fn insist(nats: &Client, root: &str, verb: &str, key: &str, body: &Value) -> Answered {
    let subject = format!("{root}.v1.acme.{verb}");
    let decided = async {
        loop {
            let request = Request::new().payload(body.to_string().into()).headers(headers(Some(key)));
            if let Ok(message) = nats.send_request(subject.clone(), request.timeout(Some(ANSWER_MAX))).await {
                let reply = Reply::of(message);
                if !UNDECIDED.contains(&reply.code()) {
                    return reply;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let reply = within("a decided answer", decided).await;
    Answered { verb: verb.to_owned(), key: Some(key.to_owned()), reply }
}

impl Berth {
    pub async fn insist(&self, verb: &str, key: &str, body: &Value) -> Answered {
        insist(&self.nats, &self.root, verb, key, body).await
    }

    /// Sends a request once, and gives what waits for its answer.
    pub async fn send(&self, verb: &str, key: Option<&str>, body: &Value) -> Sent {
        let inbox = self.nats.new_inbox();
        let answers = self.nats.subscribe(inbox.clone()).await.unwrap();
        let subject = format!("{}.v1.acme.{verb}", self.root);
        let (headers, payload) = (headers(key), body.to_string().into());
        self.nats.publish_with_reply_and_headers(subject, inbox, headers, payload).await.unwrap();
        Sent { verb: verb.to_owned(), key: key.map(str::to_owned), answers }
    }

    /// Returns when everything that the server has sent to this client before now has arrived.
    pub async fn all_arrived(&self) {
        let inbox = self.nats.new_inbox();
        let mut own = self.nats.subscribe(inbox.clone()).await.unwrap();
        self.nats.publish(inbox, "".into()).await.unwrap();
        within("the own message", own.next()).await.unwrap();
    }
}

/// A request under way; its answer may never come.
pub struct Sent {
    verb: String,
    key: Option<String>,
    answers: Subscriber,
}

impl Sent {
    pub async fn answer(&mut self) -> Answered {
        let message = within("an answer", self.answers.next()).await.unwrap();
        Answered { verb: self.verb.clone(), key: self.key.clone(), reply: Reply::of(message) }
    }

    /// The answer, where it has arrived. That nobody took the request is none.
    pub fn arrived(&mut self) -> Option<Answered> {
        // Unconstrained: after some 128 looks in a row the runtime would say that nothing is there.
        let message = tokio::task::unconstrained(self.answers.next()).now_or_never()??;
        let is_answer = message.status != Some(async_nats::StatusCode::NO_RESPONDERS);
        is_answer.then(|| Answered { verb: self.verb.clone(), key: self.key.clone(), reply: Reply::of(message) })
    }
}

pub fn headers(key: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(key) = key {
        headers.insert("Idempotency-Key", key);
    }
    headers
}
