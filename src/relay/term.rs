//! One relay's time as the holder of the lease.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::publish::{BATCH_BYTES_MAX, BATCH_MESSAGES_MAX, EventStream};
use super::wake::{Wakes, Woken};
use super::{LEASE_SECONDS, RENEW_EVERY, Relay, RelayError, Watch};
use crate::clock;
use crate::domain::id::{Lane, LaneSet};
use crate::store::StoreError;
use crate::store::journal::{Entry, Lease};

/// How often the journal is read while nobody says that it has grown.
const POLL: Duration = Duration::from_millis(50);

/// So many events at hand are a batch that is worth sending: the journal need not be read for more.
const BATCH_WORTHWHILE: usize = 128;

/// Of each lane, the last `seq` that stands in the stream.
pub(super) type Cursors = BTreeMap<Lane, i64>;

/// How long a smaller one is kept from following another: each is a sync of the stream and a write of cursors, which
/// the requests of the same machine pay for. An event that comes after a pause leaves at once.
const PACE: Duration = Duration::from_millis(10);

/// How a term ended, other than by an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Told,
    Lost,
}

pub(super) struct Term<'a> {
    relay: &'a Relay,
    stream: &'a EventStream,
    lease: Lease,
    renew_at: Instant,
    /// When the journal is read at the latest: other workers' events are only there.
    read_at: Instant,
    /// Where the stream ends.
    last_sequence: u64,
    cursors: Cursors,
    /// Cursors that moved and are not stored yet: those of one batch at most.
    unsaved: Cursors,
    /// What goes out next.
    page: Vec<Entry>,
    /// Not before it is the next page read: the one that went out last was small.
    rests_until: Instant,
    /// Lanes with an entry that cannot be published: nothing behind it may go out.
    stuck: LaneSet,
}

/// What one step found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Busy,
    Idle,
    Lost,
}

impl<'a> Term<'a> {
    /// Finds out where the stream and the journal are. The cursors are read after the lease was taken: from then on
    /// nobody else can move them.
    pub(super) async fn begin(relay: &'a Relay, stream: &'a EventStream, lease: Lease) -> Result<Term<'a>, RelayError> {
        let renew_at = Instant::now() + RENEW_EVERY;
        let mut saved: Cursors = Lane::all().map(|lane| (lane, 0)).collect();
        saved.extend(relay.journal.cursors().await?);
        let tail = stream.tail(saved.clone()).await?;
        if tail.is_short {
            tracing::error!(
                stream = stream.name,
                last_sequence = tail.last_sequence,
                "the stream ends before the last event that it had acknowledged: it lost events or was made anew; \
                 what it lost is still in the journal, publishing goes on behind it"
            );
        }
        let unsaved = tail.cursors.iter().filter(|(lane, seq)| saved.get(lane) != Some(seq));
        Ok(Term {
            relay,
            stream,
            lease,
            renew_at,
            read_at: Instant::now(),
            last_sequence: tail.last_sequence,
            unsaved: unsaved.map(|(lane, seq)| (*lane, *seq)).collect(),
            cursors: tail.cursors,
            page: Vec::new(),
            rests_until: Instant::now(),
            stuck: LaneSet::default(),
        })
    }

    /// Publishes until the lease is lost or it is told to stop.
    pub(super) async fn publish(
        mut self,
        wakes: &mut Wakes,
        watch: &mut Watch<'_>,
        stop: &CancellationToken,
    ) -> Result<Ended, RelayError> {
        wakes.listen().await;
        let ended = self.publish_until(wakes, watch, stop).await;
        wakes.ignore_others();
        ended
    }

    async fn publish_until(
        &mut self,
        wakes: &mut Wakes,
        watch: &mut Watch<'_>,
        stop: &CancellationToken,
    ) -> Result<Ended, RelayError> {
        while !stop.is_cancelled() {
            if !self.renew().await? {
                return Ok(Ended::Lost);
            }
            wakes.take_all();
            match self.step().await? {
                Step::Busy => {
                    watch.works();
                    tokio::select! { () = stop.cancelled() => break, () = tokio::time::sleep_until(self.rests_until) => {} }
                }
                Step::Lost => return Ok(Ended::Lost),
                Step::Idle => {
                    watch.works();
                    watch.count().await?;
                    if wakes.next(Instant::now() + POLL, stop).await == Woken::Stop {
                        break;
                    }
                }
            }
            watch.count().await?;
        }
        let is_saved = save(self.relay, self.lease, &self.unsaved).await?;
        Ok(if is_saved { Ended::Told } else { Ended::Lost })
    }

    /// Renews the lease, if it is time to; `false`: it is another's, or was in between.
    async fn renew(&mut self) -> Result<bool, StoreError> {
        let now = Instant::now();
        if now < self.renew_at {
            return Ok(true);
        }
        self.renew_at = now + RENEW_EVERY;
        Ok(self.relay.journal.lease(self.lease.holder, LEASE_SECONDS).await? == Some(self.lease))
    }

    /// At once: publishes the page at hand, stores the cursors of the page before it, and reads the next page where
    /// there is more. The cursors of the page before are stored before the page after is published, so that never
    /// more than two batches stand in the stream above the stored cursors.
    async fn step(&mut self) -> Result<Step, RelayError> {
        let batch = std::mem::take(&mut self.page);
        let saving = std::mem::take(&mut self.unsaved);
        let moved = last_of_each_lane(&batch);
        let (size, oldest) = (batch.len(), batch.iter().map(|entry| entry.at).min());
        if (1..BATCH_WORTHWHILE).contains(&size) {
            self.rests_until = Instant::now() + PACE;
        }
        let reads = batch.is_empty() || is_full(&batch);
        let mut cursors = self.cursors.clone();
        cursors.extend(&moved);
        let wanted = if reads { self.wanted(&cursors) } else { Vec::new() };

        let (published, saved, page) = tokio::join!(
            self.stream.publish(batch, self.last_sequence),
            save(self.relay, self.lease, &saving),
            read(self.relay, wanted, &mut self.read_at),
        );
        published?;
        self.last_sequence += size as u64;
        self.cursors = cursors;
        self.unsaved = moved;
        if let Some(oldest) = oldest {
            let lag = clock::now().signed_duration_since(oldest).as_seconds_f64().max(0.0);
            self.relay.metrics.relayed(size, lag);
        }
        if !saved? {
            return Ok(Step::Lost);
        }
        let page = page?;
        let is_idle = size == 0 && page.is_empty();
        self.page = self.admit(page);
        Ok(if is_idle { Step::Idle } else { Step::Busy })
    }

    /// The cursors of the lanes that are read.
    fn wanted(&self, cursors: &Cursors) -> Vec<(Lane, i64)> {
        cursors.iter().map(|(lane, seq)| (*lane, *seq)).filter(|(lane, _)| !self.stuck.contains(*lane)).collect()
    }

    /// Takes out an event that is too large, and everything behind it in its lane. There is none while requests are
    /// at most 512 KiB ([`crate::wire::request::PAYLOAD_MAX`]) and the server's `max_payload` is its default of
    /// 1 MiB; but a gap in the stream would never show, and a lane that stands still does.
    fn admit(&mut self, page: Vec<Entry>) -> Vec<Entry> {
        let mut admitted = Vec::with_capacity(page.len());
        for entry in page {
            if self.stuck.contains(entry.lane) {
                continue;
            }
            if self.stream.takes(&entry.payload) {
                admitted.push(entry);
                continue;
            }
            let (lane, seq, bytes) = (entry.lane.number(), entry.seq, entry.payload.len());
            tracing::error!(lane, seq, bytes, "an event is larger than the server's max_payload; its lane is held");
            self.stuck.insert(entry.lane);
        }
        admitted
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

/// `false`: the lease is another's.
async fn save(relay: &Relay, lease: Lease, cursors: &Cursors) -> Result<bool, StoreError> {
    if cursors.is_empty() {
        return Ok(true);
    }
    let cursors: Vec<_> = cursors.iter().map(|(lane, seq)| (*lane, *seq)).collect();
    relay.journal.advance(lease, &cursors).await
}

/// The next page: what this worker has at hand, then what the journal has above that, unless it was read just now.
async fn read(relay: &Relay, mut wanted: Vec<(Lane, i64)>, journal_at: &mut Instant) -> Result<Vec<Entry>, StoreError> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let limit = BATCH_MESSAGES_MAX as usize;
    let mut page = relay.recent.take(&mut wanted, limit, BATCH_BYTES_MAX);
    let bytes = page.iter().map(|entry| entry.payload.len()).sum::<usize>();
    let rest = u32::try_from(limit - page.len()).unwrap_or_default();
    let is_worthwhile = page.len() >= BATCH_WORTHWHILE && Instant::now() < *journal_at;
    if rest > 0 && bytes < BATCH_BYTES_MAX && !is_worthwhile {
        *journal_at = Instant::now() + POLL;
        page.extend(relay.journal.above(&wanted, rest, BATCH_BYTES_MAX - bytes).await?);
    }
    Ok(page)
}
