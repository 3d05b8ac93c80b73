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

/// The message that commits a batch, and its subject.
type Last = (String, PublishMessage);

/// A batch that waits for its last message to be sent.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) last: Last,
    pub(super) size: usize,
    /// The sequence at which the stream ends once it is committed.
    pub(super) ends_at: u64,
    /// The last `seq` of each of its lanes.
    pub(super) moved: Cursors,
    /// When its oldest event was decided.
    pub(super) oldest: DateTime<Utc>,
    /// There may be more to follow it.
    pub(super) is_full: bool,
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

    /// Sends all but the last of a batch that is to follow `last_sequence`: the server keeps them until the last one
    /// comes, and forgets them when it does not. `None`: the batch is empty.
    pub(super) async fn stage(&self, batch: Vec<Entry>, last_sequence: u64) -> Result<Option<Staged>, RelayError> {
        let Some(oldest) = batch.iter().map(|entry| entry.at).min() else { return Ok(None) };
        self.in_time("send a batch in time", self.send_all_but_last(batch, oldest, last_sequence)).await
    }

    async fn send_all_but_last(
        &self,
        batch: Vec<Entry>,
        oldest: DateTime<Utc>,
        last_sequence: u64,
    ) -> Result<Option<Staged>, RelayError> {
        let batch_id = clock::random_uuid().simple().to_string();
        let size = batch.len();
        let (moved, is_full) = (last_of_each_lane(&batch), is_full(&batch));
        let mut last = None;
        for (index, entry) in batch.into_iter().enumerate() {
            let subject = self.subjects.event(&entry.tenant, entry.kind, &entry.label, entry.event_type);
            let mut headers = headers(&entry, &batch_id, index + 1);
            if index == 0 {
                headers.insert(NATS_EXPECTED_LAST_SEQUENCE, last_sequence.to_string());
            }
            let payload = Bytes::from(entry.payload);
            if index + 1 == size {
                headers.insert(NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL);
                last = Some((subject, PublishMessage::build().headers(headers).payload(payload)));
                break;
            }
            self.client
                .publish_with_headers(subject, headers, payload)
                .await
                .map_err(RelayError::of("send an event"))?;
        }
        let staged = |last| Staged { last, size, ends_at: last_sequence + size as u64, moved, oldest, is_full };
        Ok(last.map(staged))
    }

    /// Sends the last message of a batch, upon which the server appends all of them or none; after an error it is not
    /// known which.
    pub(super) async fn commit(&self, (subject, message): Last, ends_at: u64) -> Result<(), RelayError> {
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

fn is_full(batch: &[Entry]) -> bool {
    batch.len() >= BATCH_MESSAGES_MAX as usize
        || batch.iter().map(|entry| entry.payload.len()).sum::<usize>() >= BATCH_BYTES_MAX
}

/// Entries are in order within their lane.
fn last_of_each_lane(batch: &[Entry]) -> Cursors {
    batch.iter().map(|entry| (entry.lane, entry.seq)).collect()
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
