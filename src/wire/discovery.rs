//! What a service says of itself: NATS's service protocol (ADR-32), by which `nats micro` finds it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::view;
use crate::domain::window::Instant;

/// What is asked of a service: the second token of `$SRV.PING.<name>.<id>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    Ping,
    Info,
    Stats,
}

/// Which service it is, at the head of each answer.
#[derive(Debug, Serialize)]
pub struct Identity<'a> {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub name: &'a str,
    pub id: &'a str,
    pub version: &'static str,
    pub metadata: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
pub struct Info<'a> {
    #[serde(flatten)]
    pub identity: Identity<'a>,
    pub description: &'static str,
    pub endpoints: Vec<EndpointInfo<'a>>,
}

/// Which endpoint it is, at the head of what is said of it.
#[derive(Debug, Serialize)]
pub struct EndpointName<'a> {
    pub name: &'static str,
    pub subject: &'a str,
    pub queue_group: &'a str,
}

#[derive(Debug, Serialize)]
pub struct EndpointInfo<'a> {
    #[serde(flatten)]
    pub endpoint: EndpointName<'a>,
    pub metadata: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
pub struct Stats<'a> {
    #[serde(flatten)]
    pub identity: Identity<'a>,
    pub started: Instant,
    pub endpoints: Vec<EndpointStats<'a>>,
}

/// Times in nanoseconds.
#[derive(Debug, Serialize)]
pub struct EndpointStats<'a> {
    #[serde(flatten)]
    pub endpoint: EndpointName<'a>,
    pub num_requests: u64,
    pub num_errors: u64,
    /// `409:insufficient_capacity`; empty: there was none.
    pub last_error: String,
    pub processing_time: u64,
    pub average_processing_time: u64,
}

impl Question {
    pub const ALL: [Question; 3] = [Question::Ping, Question::Info, Question::Stats];

    pub fn name(self) -> &'static str {
        match self {
            Question::Ping => "PING",
            Question::Info => "INFO",
            Question::Stats => "STATS",
        }
    }

    /// The `type` of its answer.
    pub fn answer(self) -> &'static str {
        match self {
            Question::Ping => "io.nats.micro.v1.ping_response",
            Question::Info => "io.nats.micro.v1.info_response",
            Question::Stats => "io.nats.micro.v1.stats_response",
        }
    }

    pub fn of(subject: &str) -> Option<Question> {
        let name = subject.split('.').nth(1)?;
        Question::ALL.into_iter().find(|question| question.name() == name)
    }
}

/// One of the answers, as it is sent.
pub fn encode(answer: &impl Serialize) -> Vec<u8> {
    view::bytes(answer)
}
