//! Where the stream ends, and what stands there above the cursors.

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{GetStreamError, GetStreamErrorKind};
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use futures::{StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};

use super::RelayError;
use super::publish::{BATCH_MESSAGES_MAX, EventStream, berth_seq};
use super::term::Cursors;
use crate::store::journal::Published;

/// By how many messages the cursors can lag: one batch acknowledged and one in flight.
const TAIL_MAX: u64 = 2 * BATCH_MESSAGES_MAX as u64;

/// How many messages are read before looking whether that was enough.
const CHUNK: u64 = 128;

/// How many requests for a message are under way at once.
const REQUESTS_MAX: usize = 64;

/// What the stream says.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) last_sequence: u64,
    /// What stands in the stream above the cursors.
    pub(super) above: Vec<Published>,
    /// The stream ends before the cursors: it lost events that it had acknowledged, or was made anew.
    pub(super) is_short: bool,
}

impl EventStream {
    /// Reads the stream backwards from its end to the first message that the cursors cover: what they do not cover is
    /// a whole number of batches, hence contiguous.
    ///
    /// Asks the stream's leader, because a replica may not know its end yet.
    pub(super) async fn tail(&self, saved: &Cursors) -> Result<Tail, RelayError> {
        let stream = self.context.get_stream(&self.name).await.map_err(|error| self.no_stream(error))?;
        let state = &stream.cached_info().state;
        let oldest = state.first_sequence.max(state.last_sequence.saturating_sub(TAIL_MAX) + 1);
        let is_covered = |event: &Published| saved.get(&event.lane).is_some_and(|cursor| event.seq <= *cursor);
        let mut is_short = state.last_sequence == 0 && saved.values().any(|seq| *seq > 0);
        let mut before = state.last_sequence + 1;
        let (mut newest, mut above) = (None, Vec::new());
        while before > oldest {
            let from = before.saturating_sub(CHUNK).max(oldest);
            let found = read(&stream, from..before).await?;
            newest = newest.or(found.last().copied());
            let is_enough = found.iter().any(is_covered);
            above.extend(found.into_iter().filter(|event| !is_covered(event)));
            if is_enough {
                break;
            }
            before = from;
        }
        is_short |= newest.is_some_and(|event| saved.get(&event.lane).is_some_and(|cursor| event.seq < *cursor));
        Ok(Tail { last_sequence: state.last_sequence, above, is_short })
    }

    fn no_stream(&self, error: GetStreamError) -> RelayError {
        match error.kind() {
            GetStreamErrorKind::JetStream(cause) if cause.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                RelayError::NoStream(self.name.clone())
            }
            _ => RelayError::of("ask where the event stream ends")(error),
        }
    }
}

/// berth's messages, in order; those that are gone are left out.
async fn read(stream: &Stream, sequences: std::ops::Range<u64>) -> Result<Vec<Published>, RelayError> {
    let found: Vec<_> = futures::stream::iter(sequences)
        .map(|sequence| async move {
            match stream.get_raw_message(sequence).await {
                Ok(message) => Ok(berth_seq(&message.headers).map(|(lane, seq)| {
                    let digest = Sha256::digest(&message.payload).into();
                    Published { lane, seq, digest }
                })),
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
                Err(error) => Err(RelayError::of("read the end of the event stream")(error)),
            }
        })
        .buffered(REQUESTS_MAX)
        .try_collect()
        .await?;
    Ok(found.into_iter().flatten().collect())
}
