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
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::RelayError;
use super::term::Cursors;
use crate::clock;
use crate::domain::id::Lane;
use crate::store::journal::Entry;
use crate::wire::subject::Subjects;

/// The server's own limit to the messages of an atomic batch.
pub(super) const BATCH_MESSAGES_MAX: usize = 1_000;

/// About how many bytes of payload go into a batch: the server keeps a batch in memory until it is committed.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// How long a batch may take, from its first message to its acknowledgement.
const BATCH_TIMEOUT: Duration = Duration::from_secs(3);

/// What the headers of an event take at most, below which a message may exceed the server's `max_payload`.
const HEADERS_BYTES_MAX: usize = 512;

// Made once: a header's name given as text is made into one for every message.
static BERTH_SEQ: HeaderName = HeaderName::from_static("Berth-Seq");
static CONTENT_TYPE: HeaderName = HeaderName::from_static("Content-Type");
const CLOUDEVENT: &str = "application/cloudevents+json";

/// A batch of which all messages were sent but the last: with that one the server commits it.
#[derive(Debug)]
pub(super) struct Staged {
    batch_id: String,
    last: Message,
    pub(super) size: usize,
    bytes: usize,
    /// The sequence at which the stream ends once it is committed.
    pub(super) ends_at: u64,
    /// The last `seq` of each of its lanes.
    pub(super) moved: Cursors,
    /// When its oldest event was decided.
    pub(super) oldest: DateTime<Utc>,
}

#[derive(Debug)]
struct Message {
    subject: String,
    headers: HeaderMap,
    payload: Bytes,
}

/// How much more a batch takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl Room {
    pub(super) fn of(staged: Option<&Staged>) -> Room {
        let (messages, bytes) = staged.map_or((0, 0), |staged| (staged.size, staged.bytes));
        Room { messages: BATCH_MESSAGES_MAX.saturating_sub(messages), bytes: BATCH_BYTES_MAX.saturating_sub(bytes) }
    }

    pub(super) fn is_none(self) -> bool {
        self.messages == 0 || self.bytes == 0
    }
}

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

    /// Adds these events to a batch that is to follow `last_sequence`, and sends all of it but the last one: the server
    /// keeps them until that one comes, and forgets them when it does not. `None`: the batch is empty.
    pub(super) async fn stage(
        &self,
        staged: Option<Staged>,
        entries: Vec<Entry>,
        last_sequence: u64,
    ) -> Result<Option<Staged>, RelayError> {
        if entries.is_empty() {
            return Ok(staged);
        }
        self.in_time("send a batch in time", self.send_all_but_last(staged, entries, last_sequence)).await
    }

    async fn send_all_but_last(
        &self,
        mut staged: Option<Staged>,
        entries: Vec<Entry>,
        last_sequence: u64,
    ) -> Result<Option<Staged>, RelayError> {
        for entry in entries {
            staged = Some(match staged {
                None => self.first(entry, last_sequence),
                Some(staged) => {
                    let (before, staged) = self.followed(staged, entry);
                    let sent = self.client.publish_with_headers(before.subject, before.headers, before.payload).await;
                    sent.map_err(RelayError::of("send an event"))?;
                    staged
                }
            });
        }
        Ok(staged)
    }

    fn first(&self, entry: Entry, last_sequence: u64) -> Staged {
        let batch_id = clock::random_uuid().simple().to_string();
        let (bytes, oldest, moved) = (entry.payload.len(), entry.at, Cursors::from([(entry.lane, entry.seq)]));
        let mut last = self.message(entry, &batch_id, 1);
        last.headers.insert(NATS_EXPECTED_LAST_SEQUENCE, last_sequence.to_string());
        Staged { batch_id, last, size: 1, bytes, ends_at: last_sequence + 1, moved, oldest }
    }

    /// What was its last message, and the batch with another in that place.
    fn followed(&self, mut staged: Staged, entry: Entry) -> (Message, Staged) {
        staged.size += 1;
        staged.ends_at += 1;
        staged.bytes += entry.payload.len();
        staged.oldest = staged.oldest.min(entry.at);
        staged.moved.insert(entry.lane, entry.seq); // entries are in order within their lane
        let last = self.message(entry, &staged.batch_id, staged.size);
        (std::mem::replace(&mut staged.last, last), staged)
    }

    fn message(&self, entry: Entry, batch_id: &str, place: usize) -> Message {
        let subject = self.subjects.event(&entry.tenant, entry.kind, &entry.label, entry.event_type);
        Message { subject, headers: headers(&entry, batch_id, place), payload: Bytes::from(entry.payload) }
    }

    /// Sends the last message of a batch, upon which the server appends all of them or none; after an error it is not
    /// known which.
    pub(super) async fn commit(&self, staged: Staged) -> Result<(), RelayError> {
        let Staged { last: Message { subject, mut headers, payload }, ends_at, .. } = staged;
        headers.insert(NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL);
        let message = PublishMessage::build().headers(headers).payload(payload);
        self.in_time("publish a batch in time", async {
            let ack = self.context.send_publish(subject, message).await.map_err(RelayError::of("commit a batch"))?;
            let ack = ack.await.map_err(RelayError::of("publish a batch"))?;
            self.check(&ack.stream, ack.sequence, ends_at)
        })
        .await
    }

    /// Only messages are in the hands of `sending`, so that it may be dropped.
    async fn in_time<T>(
        &self,
        attempt: &'static str,
        sending: impl Future<Output = Result<T, RelayError>>,
    ) -> Result<T, RelayError> {
        if self.client.connection_state() != async_nats::connection::State::Connected {
            return Err(RelayError::Disconnected);
        }
        match tokio::time::timeout(BATCH_TIMEOUT, sending).await {
            Ok(sent) => sent,
            Err(elapsed) => Err(RelayError::of(attempt)(elapsed)),
        }
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
