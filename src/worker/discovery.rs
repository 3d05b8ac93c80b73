//! NATS's service protocol, by which `nats micro` finds the workers and what they serve: `$SRV.PING`, `$SRV.INFO` and
//! `$SRV.STATS`, each of all services, of this one's name, and of this one (NATS ADR-32).
//!
//! It is not the client library's own, because that one's endpoints can't be ended without losing requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_nats::{Client, Message, Subscriber};
use futures::stream::{SelectAll, StreamExt, select_all};

use super::endpoint::{Endpoint, Inboxes};
use super::homes::WorkerId;
use crate::clock;
use crate::domain::window::Instant;
use crate::telemetry::Metrics;
use crate::wire::discovery::{EndpointInfo, EndpointName, EndpointStats, Identity, Info, Question, Stats, encode};

const DESCRIPTION: &str = "Reservations of capacity, and locks";

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
        let Some(question) = Question::of(&message.subject) else { return Ok(()) };
        let identity = self.identity(question);
        let answer = match question {
            Question::Ping => encode(&identity),
            Question::Info => encode(&self.info(identity)),
            Question::Stats => encode(&self.stats(identity)),
        };
        Ok(self.client.publish(reply, answer.into()).await?)
    }

    fn identity(&self, question: Question) -> Identity<'_> {
        let (kind, metadata) = (question.answer(), BTreeMap::new());
        Identity { kind, name: &self.name, id: &self.me, version: env!("CARGO_PKG_VERSION"), metadata }
    }

    fn info<'a>(&'a self, identity: Identity<'a>) -> Info<'a> {
        Info {
            identity,
            description: DESCRIPTION,
            endpoints: self.endpoints.iter().map(|endpoint| self.endpoint_info(endpoint)).collect(),
        }
    }

    fn endpoint_info<'a>(&'a self, endpoint: &'a Endpoint) -> EndpointInfo<'a> {
        EndpointInfo { endpoint: self.endpoint_name(endpoint), metadata: BTreeMap::new() }
    }

    fn endpoint_name<'a>(&'a self, endpoint: &'a Endpoint) -> EndpointName<'a> {
        EndpointName { name: endpoint.name, subject: &endpoint.subject, queue_group: &self.name }
    }

    fn stats<'a>(&'a self, identity: Identity<'a>) -> Stats<'a> {
        Stats {
            identity,
            started: self.started,
            endpoints: self.endpoints.iter().map(|endpoint| self.endpoint_stats(endpoint)).collect(),
        }
    }

    fn endpoint_stats<'a>(&'a self, endpoint: &'a Endpoint) -> EndpointStats<'a> {
        let counts = &endpoint.counts;
        let (requests, nanoseconds) = (counts.requests(), counts.nanoseconds());
        EndpointStats {
            endpoint: self.endpoint_name(endpoint),
            num_requests: requests,
            num_errors: counts.refusals(),
            last_error: counts.last_refusal(),
            processing_time: nanoseconds,
            average_processing_time: nanoseconds.checked_div(requests).unwrap_or_default(),
        }
    }
}
