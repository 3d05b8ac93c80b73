//! One batch of events as one atomic publish (ADR-50 of NATS).
//!
//! The messages of a batch carry its id and their place in it; the last one commits it and is answered for all of
//! them. The first one carries the fence, `Nats-Expected-Last-Sequence`: the server compares it under its lock when
//! the batch is committed, and refuses it on any other message of a batch.
//!
//! Core subscribers see messages as they are sent, those of a batch that is refused too: only the stream tells what
//! happened.

use std::time::Duration;

use async_nats::header::{
    HeaderMap, HeaderName, NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL, NATS_BATCH_ID, NATS_BATCH_SEQUENCE,
    NATS_EXPECTED_LAST_SEQUENCE, NATS_MESSAGE_ID,
};
use async_nats::jetstream::Context;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use uuid::Uuid;

use super::RelayError;
use crate::clock;
use crate::domain::id::Lane;
use crate::store::journal::Entry;
use crate::wire::subject::Subjects;

/// The server's own limit to the messages of an atomic batch.
pub(super) const BATCH_MESSAGES_MAX: u32 = 1_000;

/// About how many bytes of payload go into a batch: the server keeps a batch in memory until it is committed.
pub(super) const BATCH_BYTES_MAX: usize = 8 << 20;

/// How long a batch may take, from its first message to its acknowledgement.
const BATCH_TIMEOUT: Duration = Duration::from_secs(3);

/// What the headers of an event take at most, below which a message may exceed the server's `max_payload`.
const HEADERS_BYTES_MAX: usize = 512;

// Made once: a header's name given as text is made into one for every message.
static BERTH_SEQ: HeaderName = HeaderName::from_static("Berth-Seq");
static CONTENT_TYPE: HeaderName = HeaderName::from_static("Content-Type");
const CLOUDEVENT: &str = "application/cloudevents+json";

/// The stream of events.
#[derive(Debug)]
pub(super) struct EventStream {
    pub(super) context: Context,
    pub(super) name: String,
    client: async_nats::Client,
    subjects: Subjects,
}

impl EventStream {
    pub(super) fn new(client: &async_nats::Client, subjects: &Subjects) -> EventStream {
        EventStream {
            context: ContextBuilder::new().timeout(BATCH_TIMEOUT).build(client.clone()),
            name: subjects.stream("EVENTS"),
            client: client.clone(),
            subjects: subjects.clone(),
        }
    }

    /// Would the server take a message with this payload? A larger one closes the connection.
    pub(super) fn takes(&self, payload: &[u8]) -> bool {
        payload.len() + HEADERS_BYTES_MAX <= self.client.max_payload()
    }

    /// Appends all of them or none to the stream that ends at `last_sequence`; after an error it is not known which.
    pub(super) async fn publish(&self, batch: Vec<Entry>, last_sequence: u64) -> Result<(), RelayError> {
        if batch.is_empty() {
            return Ok(());
        }
        if self.client.connection_state() != async_nats::connection::State::Connected {
            return Err(RelayError::Disconnected);
        }
        // Only messages are in the hands of this future, so that it may be dropped.
        match tokio::time::timeout(BATCH_TIMEOUT, self.send(batch, last_sequence)).await {
            Ok(sent) => sent,
            Err(elapsed) => Err(RelayError::of("publish a batch in time")(elapsed)),
        }
    }

    async fn send(&self, batch: Vec<Entry>, last_sequence: u64) -> Result<(), RelayError> {
        let batch_id = clock::random_uuid().simple().to_string();
        let size = batch.len();
        for (index, entry) in batch.into_iter().enumerate() {
            let subject = self.subjects.event(&entry.tenant, entry.kind, &entry.label, entry.event_type);
            let mut headers = headers(&entry, &batch_id, index + 1);
            if index == 0 {
                headers.insert(NATS_EXPECTED_LAST_SEQUENCE, last_sequence.to_string());
            }
            let payload = Bytes::from(entry.payload);
            if index + 1 < size {
                self.client
                    .publish_with_headers(subject, headers, payload)
                    .await
                    .map_err(RelayError::of("send an event"))?;
                continue;
            }
            headers.insert(NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL);
            let message = PublishMessage::build().headers(headers).payload(payload);
            let ack = self.context.send_publish(subject, message).await.map_err(RelayError::of("commit a batch"))?;
            let ack = ack.await.map_err(RelayError::of("publish a batch"))?;
            self.check(&ack.stream, ack.sequence, last_sequence + size as u64)?;
        }
        Ok(())
    }

    fn check(&self, stream: &str, sequence: u64, expected: u64) -> Result<(), RelayError> {
        if stream == self.name && sequence == expected {
            return Ok(());
        }
        let (found, expected) = (format!("{stream} {sequence}"), format!("{} {expected}", self.name));
        Err(RelayError::Acknowledged { found, expected })
    }
}

fn headers(entry: &Entry, batch_id: &str, place: usize) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_MESSAGE_ID, &*entry.event_id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
    headers.insert(BERTH_SEQ.clone(), format!("{}:{}", entry.lane.number(), entry.seq));
    headers.insert(CONTENT_TYPE.clone(), CLOUDEVENT);
    headers.insert(NATS_BATCH_ID, batch_id);
    headers.insert(NATS_BATCH_SEQUENCE, place.to_string());
    headers
}

/// The lane and seq of a message of the stream; `None` where it is not berth's.
pub(super) fn berth_seq(headers: &HeaderMap) -> Option<(Lane, i64)> {
    let (lane, seq) = headers.get(BERTH_SEQ.clone())?.as_str().split_once(':')?;
    Some((Lane::new(lane.parse().ok()?)?, seq.parse().ok()?))
}
