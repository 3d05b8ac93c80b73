//! NATS's service protocol, by which `nats micro` finds the workers and what they serve: `$SRV.PING`, `$SRV.INFO` and
//! `$SRV.STATS`, each of all services, of this one's name, and of this one (NATS ADR-32).
//!
//! It is not the client library's own, because that one's endpoints can't be ended without losing requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_nats::{Client, Message, Subscriber};
use futures::stream::{SelectAll, StreamExt, select_all};
use serde::Serialize;

use super::endpoint::{Endpoint, Inboxes};
use super::homes::WorkerId;
use crate::clock;
use crate::domain::window::Instant;
use crate::telemetry::Metrics;

const DESCRIPTION: &str = "Reservations of capacity, and locks";

/// What is asked of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Ping,
    Info,
    Stats,
}

#[derive(Debug)]
pub struct Discovery {
    client: Client,
    inboxes: Inboxes,
    /// The service's name, which is its queue group too.
    name: String,
    me: WorkerId,
    started: Instant,
    endpoints: Vec<Arc<Endpoint>>,
    metrics: Metrics,
}

/// Which service it is, at the head of each answer.
#[derive(Serialize)]
struct Identity<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    id: &'a str,
    version: &'static str,
    metadata: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Info<'a> {
    #[serde(flatten)]
    identity: Identity<'a>,
    description: &'static str,
    endpoints: Vec<EndpointInfo<'a>>,
}

#[derive(Serialize)]
struct EndpointInfo<'a> {
    name: &'static str,
    subject: &'a str,
    queue_group: &'a str,
    metadata: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Stats<'a> {
    #[serde(flatten)]
    identity: Identity<'a>,
    started: Instant,
    endpoints: Vec<EndpointStats<'a>>,
}

/// Times in nanoseconds.
#[derive(Serialize)]
struct EndpointStats<'a> {
    name: &'static str,
    subject: &'a str,
    queue_group: &'a str,
    num_requests: u64,
    num_errors: u64,
    last_error: String,
    processing_time: u64,
    average_processing_time: u64,
}

impl Discovery {
    pub fn new(
        client: &Client,
        inboxes: Inboxes,
        name: &str,
        me: WorkerId,
        endpoints: Vec<Arc<Endpoint>>,
        metrics: Metrics,
    ) -> Discovery {
        let (client, name, started) = (client.clone(), name.to_owned(), clock::now());
        Discovery { client, inboxes, name, me, started, endpoints, metrics }
    }

    pub async fn subscribe(&self) -> Result<SelectAll<Subscriber>, async_nats::SubscribeError> {
        let mut subscribers = Vec::new();
        for question in Question::ALL {
            let all = format!("$SRV.{}", question.name());
            let name = format!("{all}.{}", self.name);
            let id = format!("{name}.{}", self.me);
            for subject in [all, name, id] {
                subscribers.push(self.client.subscribe(subject).await?);
            }
        }
        Ok(select_all(subscribers))
    }

    /// Answers until the connection is closed.
    pub async fn answer(&self, mut asked: SelectAll<Subscriber>) {
        while let Some(message) = asked.next().await {
            if let Err(error) = self.answer_one(message).await {
                tracing::warn!(%error, "could not say which service this is");
            }
        }
    }

    async fn answer_one(&self, message: Message) -> Result<(), async_nats::Error> {
        let Some(reply) = message.reply else { return Ok(()) };
        if !self.inboxes.has(&reply) {
            self.metrics.foreign_reply();
            return Ok(());
        }
        let answer = match Question::of(&message.subject) {
            Some(Question::Ping) => serde_json::to_vec(&self.identity("io.nats.micro.v1.ping_response"))?,
            Some(Question::Info) => serde_json::to_vec(&self.info())?,
            Some(Question::Stats) => serde_json::to_vec(&self.stats())?,
            None => return Ok(()),
        };
        Ok(self.client.publish(reply, answer.into()).await?)
    }

    fn identity(&self, kind: &'static str) -> Identity<'_> {
        let metadata = BTreeMap::new();
        Identity { kind, name: &self.name, id: &self.me, version: env!("CARGO_PKG_VERSION"), metadata }
    }

    fn info(&self) -> Info<'_> {
        Info {
            identity: self.identity("io.nats.micro.v1.info_response"),
            description: DESCRIPTION,
            endpoints: self.endpoints.iter().map(|endpoint| self.endpoint_info(endpoint)).collect(),
        }
    }

    fn endpoint_info<'a>(&'a self, endpoint: &'a Endpoint) -> EndpointInfo<'a> {
        EndpointInfo {
            name: endpoint.name,
            subject: &endpoint.subject,
            queue_group: &self.name,
            metadata: BTreeMap::new(),
        }
    }

    fn stats(&self) -> Stats<'_> {
        Stats {
            identity: self.identity("io.nats.micro.v1.stats_response"),
            started: self.started,
            endpoints: self.endpoints.iter().map(|endpoint| self.endpoint_stats(endpoint)).collect(),
        }
    }

    fn endpoint_stats<'a>(&'a self, endpoint: &'a Endpoint) -> EndpointStats<'a> {
        let counts = &endpoint.counts;
        let (requests, nanoseconds) = (counts.requests(), counts.nanoseconds());
        EndpointStats {
            name: endpoint.name,
            subject: &endpoint.subject,
            queue_group: &self.name,
            num_requests: requests,
            num_errors: counts.refusals(),
            last_error: counts.last_refusal(),
            processing_time: nanoseconds,
            average_processing_time: nanoseconds.checked_div(requests).unwrap_or_default(),
        }
    }
}

impl Question {
    const ALL: [Question; 3] = [Question::Ping, Question::Info, Question::Stats];

    fn name(self) -> &'static str {
        match self {
            Question::Ping => "PING",
            Question::Info => "INFO",
            Question::Stats => "STATS",
        }
    }

    fn of(subject: &str) -> Option<Question> {
        let name = subject.split('.').nth(1)?;
        Question::ALL.into_iter().find(|question| question.name() == name)
    }
}
