//! Where an answer goes: back to the requester's inbox, or into the stream of results.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::{self, AckKind};

use super::endpoint::Request;
use crate::domain::command::Trace;
use crate::domain::id::IdempotencyKey;
use crate::wire::reply::Encoded;

/// How long a submitted message rests before it is delivered again, where it could not be decided.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// What the headers of an answer may take of the server's `max_payload`, bytes.
const HEADERS_MAX: usize = 4 * 1024;

/// An answer, ready to leave.
#[derive(Clone, Debug)]
pub struct Answer {
    pub encoded: Encoded,
    /// The body is that of an earlier request under the same key.
    pub is_replay: bool,
    pub trace: Option<Trace>,
}

#[derive(Debug)]
pub enum Answerer {
    Inbox(Box<Request>),
    Result(Box<Submitted>),
}

/// A message of the durable path. It is acknowledged when its result is in the stream.
#[derive(Debug)]
pub struct Submitted {
    pub message: jetstream::Message,
    pub context: jetstream::Context,
    /// The subject of the result.
    pub subject: String,
    pub key: IdempotencyKey,
    /// Of this message alone, whatever key it brought.
    pub own_key: IdempotencyKey,
}

impl Answerer {
    /// The message that it answers; headers and payload may have been taken out.
    pub fn message(&self) -> &async_nats::Message {
        match self {
            Answerer::Inbox(request) => &request.message,
            Answerer::Result(submitted) => &submitted.message.message,
        }
    }

    /// Does sending it wait for a stream?
    pub fn is_durable(&self) -> bool {
        matches!(self, Answerer::Result(_))
    }

    /// Sends it. What can't be sent is logged: the requester asks again with its key.
    pub async fn send(self, answer: Answer) {
        match self {
            Answerer::Inbox(request) => reply(&request, answer).await,
            Answerer::Result(submitted) => submitted.finish(answer).await,
        }
    }

    /// Says that nothing was decided: an inbox gets the refusal, a submitted message is delivered again.
    pub async fn send_undecided(self, answer: Answer) {
        match self {
            Answerer::Inbox(request) => reply(&request, answer).await,
            Answerer::Result(submitted) => put_back(&submitted.message).await,
        }
    }
}

fn headers(answer: &Answer) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some((number, code)) = &answer.encoded.error {
        headers.insert("Nats-Service-Error-Code", number.to_string());
        headers.insert("Nats-Service-Error", code.as_str());
    }
    if answer.is_replay {
        headers.insert("Berth-Replayed", "true");
    }
    if let Some(trace) = &answer.trace {
        headers.insert("traceparent", trace.traceparent.as_str());
        if let Some(tracestate) = &trace.tracestate {
            headers.insert("tracestate", tracestate.as_str());
        }
    }
    headers
}

async fn reply(request: &Request, answer: Answer) {
    let headers = headers(&answer);
    let refusal = answer.encoded.error.as_ref().map(|(number, code)| (*number, code.as_str()));
    if let Err(error) = request.answer(answer.encoded.body.into(), headers, refusal).await {
        tracing::warn!(%error, "could not send an answer");
    }
}

impl Submitted {
    async fn finish(self, answer: Answer) {
        let mut headers = headers(&answer);
        headers.insert("Idempotency-Key", self.key.as_str());
        // A redelivery's result is stored once. Its code is part of the id, because what had been refused without a
        // receipt may be decided otherwise then.
        let code = answer.encoded.error.as_ref().map_or("ok", |(_, code)| code);
        headers.insert("Nats-Msg-Id", format!("{}:{code}", self.own_key.as_str()));
        let body = answer.encoded.body;
        let published = match self.context.publish_with_headers(self.subject.clone(), headers, body.into()).await {
            Ok(acknowledged) => acknowledged.await,
            Err(error) => Err(error),
        };
        let acknowledged = match published {
            Ok(_) => self.message.ack().await,
            Err(error) => {
                tracing::warn!(%error, subject = self.subject, "could not publish a result: it is delivered again");
                self.message.ack_with(AckKind::Nak(Some(RETRY_DELAY))).await
            }
        };
        if let Err(error) = acknowledged {
            tracing::warn!(%error, "could not acknowledge a submitted message: it is delivered again");
        }
    }
}

/// Has a submitted message delivered again, after a rest.
pub async fn put_back(message: &jetstream::Message) {
    if let Err(error) = message.ack_with(AckKind::Nak(Some(RETRY_DELAY))).await {
        tracing::warn!(%error, "could not put a submitted message back");
    }
}

/// Does a body of this size fit into one message?
pub fn fits(body_bytes: usize, payload_bytes_max: usize) -> bool {
    body_bytes + HEADERS_MAX <= payload_bytes_max
}
