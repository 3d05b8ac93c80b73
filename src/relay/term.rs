//! One relay's time as the holder of the lease.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::publish::{EventStream, Room, Staged};
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

/// So long after a batch the next one leaves: each is a sync of the stream and a write of cursors, which the requests of
/// the same machine pay for. An event that comes after a pause leaves at once.
const PACE: Duration = Duration::from_millis(40);

/// A batch of so many events waits for nothing.
const BATCH_LARGE: usize = 512;

/// One of fewer than these waits less: it would share its cost with hardly any.
const BATCH_SMALL: usize = 64;
const PACE_SMALL: Duration = Duration::from_millis(10);

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
    /// Where the stream ends.
    last_sequence: u64,
    pages: Pages,
    /// Cursors that moved and are not stored yet: those of one batch at most.
    unsaved: Cursors,
    /// What is committed next.
    staged: Option<Staged>,
    /// May what is at hand be added to it? Not what waits behind something that can't be published.
    has_more: bool,
    /// When the last batch left.
    left_at: Option<Instant>,
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
        let mut cursors: Cursors = Lane::all().map(|lane| (lane, 0)).collect();
        cursors.extend(relay.journal.cursors().await?);
        let tail = stream.tail(&cursors).await?;
        if tail.is_short {
            tracing::error!(
                stream = stream.name,
                last_sequence = tail.last_sequence,
                "the stream ends before the last event that it had acknowledged: it lost events or was made anew; \
                 what it lost is still in the journal, publishing goes on behind it"
            );
        }
        let known = relay.journal.known(&tail.above).await?;
        let lost = tail.above.len() - known.len();
        if lost > 0 {
            tracing::error!(
                stream = stream.name,
                events = lost,
                "the stream ends with events that the journal has not: the database was restored or made anew, or has \
                 failed over to a replica without its last commits; what it decides now is published behind them"
            );
        }
        let unsaved = raised(&cursors, &known, lost > 0);
        cursors.extend(unsaved.iter().map(|(lane, seq)| (*lane, *seq)));
        Ok(Term {
            relay,
            stream,
            lease,
            renew_at,
            last_sequence: tail.last_sequence,
            unsaved,
            pages: Pages { cursors, read_at: Instant::now(), stuck: LaneSet::default() },
            staged: None,
            has_more: true,
            left_at: None,
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
        // What the tail has told can be two batches: it is stored before a third one stands above the stored cursors.
        if !save(self.relay, self.lease, &std::mem::take(&mut self.unsaved)).await? {
            return Ok(Ended::Lost);
        }
        while !stop.is_cancelled() {
            if !self.renew().await? {
                return Ok(Ended::Lost);
            }
            match self.step().await? {
                Step::Busy => {
                    watch.works();
                    tokio::select! { () = stop.cancelled() => break, () = self.rest() => {} }
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
        // What has been decided is published by this worker rather than by the next that starts.
        self.fill(self.last_sequence).await?;
        if self.commit().await? == Step::Lost {
            return Ok(Ended::Lost);
        }
        let is_saved = save(self.relay, self.lease, &self.unsaved).await?;
        Ok(if is_saved { Ended::Told } else { Ended::Lost })
    }

    /// Renews the lease, if it is time to; `false`: it is lost.
    async fn renew(&mut self) -> Result<bool, StoreError> {
        let now = Instant::now();
        if now < self.renew_at {
            return Ok(true);
        }
        self.renew_at = now + RENEW_EVERY;
        self.relay.journal.renew(self.lease, LEASE_SECONDS).await
    }

    /// When the next batch is to leave; `None`: at once.
    fn leaves_at(&self) -> Option<Instant> {
        let size = self.staged.as_ref().map_or(0, |staged| staged.size);
        if size >= BATCH_LARGE || Room::of(self.staged.as_ref()).is_none() {
            return None;
        }
        let pace = if size < BATCH_SMALL { PACE_SMALL } else { PACE };
        self.left_at.map(|left_at| left_at + pace).filter(|leaves_at| Instant::now() < *leaves_at)
    }

    /// Returns when the next batch is to leave, or there is more for it.
    async fn rest(&self) {
        let Some(leaves_at) = self.leaves_at() else { return };
        tokio::select! {
            () = tokio::time::sleep_until(leaves_at) => (),
            () = self.relay.recent.has(BATCH_WORTHWHILE), if self.has_more => (),
        }
    }

    /// Adds to the next batch, and commits it if it is to leave.
    async fn step(&mut self) -> Result<Step, RelayError> {
        self.fill(self.last_sequence).await?;
        if self.staged.is_none() {
            let unsaved = std::mem::take(&mut self.unsaved);
            let is_saved = save(self.relay, self.lease, &unsaved).await?;
            return Ok(if is_saved { Step::Idle } else { Step::Lost });
        }
        match self.leaves_at() {
            None => self.commit().await,
            Some(_) => Ok(Step::Busy),
        }
    }

    /// At once: commits the batch at hand, stores the cursors of the batch before it, and sends what comes meanwhile for
    /// the batch after it, all but the message that commits that. It leaves in a later step, when the batch before is
    /// acknowledged: until then nobody knows where the stream ends. The cursors of the batch before are stored
    /// before the batch after is committed, so that never more than two stand in the stream above the stored cursors.
    async fn commit(&mut self) -> Result<Step, RelayError> {
        let Some(staged) = self.staged.take() else { return Ok(Step::Idle) };
        let (relay, stream, lease) = (self.relay, self.stream, self.lease);
        let (size, ends_at, oldest, moved) = (staged.size, staged.ends_at, staged.oldest, staged.moved.clone());
        let saving = std::mem::take(&mut self.unsaved);
        // Behind a full one there may be more in the journal: it is looked for once.
        let mut is_full = Room::of(Some(&staged)).is_none();
        (self.left_at, self.has_more) = (Some(Instant::now()), true);
        let mut committing = pin!(async { tokio::join!(stream.commit(staged), save(relay, lease, &saving)) });
        let (committed, saved) = loop {
            tokio::select! {
                biased;
                done = &mut committing => break done,
                () = relay.recent.has(if is_full { 0 } else { BATCH_WORTHWHILE }), if self.has_more => {
                    self.fill(ends_at).await?;
                    self.has_more |= is_full;
                    is_full = false;
                }
            }
        };
        self.has_more = true;
        committed?;
        (self.last_sequence, self.unsaved) = (ends_at, moved);
        let lag = clock::now().signed_duration_since(oldest).as_seconds_f64().max(0.0);
        relay.metrics.relayed(size, lag);
        Ok(if saved? { Step::Busy } else { Step::Lost })
    }

    /// Sends more of the batch that is to follow `last_sequence`.
    async fn fill(&mut self, last_sequence: u64) -> Result<(), RelayError> {
        let room = Room::of(self.staged.as_ref());
        let page = if room.is_none() { Vec::new() } else { self.pages.next(self.relay, room).await? };
        let page = self.pages.admit(self.stream, page);
        self.has_more = !page.is_empty();
        self.staged = self.stream.stage(self.staged.take(), page, last_sequence).await?;
        Ok(())
    }
}

/// The cursors that these events of the stream raise, in the order of each lane. Where the journal has lost some, only
/// those that follow on the cursor: a relay that did not know may have published a number behind ones given anew.
fn raised(cursors: &Cursors, known: &[(Lane, i64)], has_lost: bool) -> Cursors {
    let mut raised = Cursors::new();
    for (lane, seq) in known {
        let last = raised.get(lane).or(cursors.get(lane)).copied().unwrap_or_default();
        if !has_lost || *seq == last + 1 {
            raised.insert(*lane, last.max(*seq));
        }
    }
    raised
}

/// Where the next batch comes from.
struct Pages {
    /// Behind what was taken.
    cursors: Cursors,
    /// When the journal is read at the latest: what other workers did not tell, or was lost, is only there.
    read_at: Instant,
    /// Lanes with an entry that cannot be published: nothing behind it may go out.
    stuck: LaneSet,
}

impl Pages {
    /// What is at hand, then what the journal has above that, unless it was read just now.
    async fn next(&mut self, relay: &Relay, room: Room) -> Result<Vec<Entry>, StoreError> {
        let mut wanted: Vec<_> = self.wanted().collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let mut page = relay.recent.take(&mut wanted, room.messages, room.bytes);
        let bytes = page.iter().map(|entry| entry.payload.len()).sum::<usize>();
        let rest = u32::try_from(room.messages - page.len()).unwrap_or_default();
        let is_worthwhile = page.len() >= BATCH_WORTHWHILE && Instant::now() < self.read_at;
        if rest > 0 && bytes < room.bytes && !is_worthwhile {
            self.read_at = Instant::now() + POLL;
            page.extend(relay.journal.above(&wanted, rest, room.bytes - bytes).await?);
        }
        Ok(page)
    }

    /// The cursors of the lanes that are read.
    fn wanted(&self) -> impl Iterator<Item = (Lane, i64)> {
        self.cursors.iter().map(|(lane, seq)| (*lane, *seq)).filter(|(lane, _)| !self.stuck.contains(*lane))
    }

    /// Takes out an event that is too large, and everything behind it in its lane. There is none while requests are
    /// at most 512 KiB ([`crate::wire::request::PAYLOAD_MAX`]) and the server's `max_payload` is its default of
    /// 1 MiB; but a gap in the stream would never show, and a lane that stands still does.
    fn admit(&mut self, stream: &EventStream, page: Vec<Entry>) -> Vec<Entry> {
        let mut admitted = Vec::with_capacity(page.len());
        for entry in page {
            if self.stuck.contains(entry.lane) {
                continue;
            }
            if stream.takes(&entry.payload) {
                self.cursors.insert(entry.lane, entry.seq);
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

/// `false`: the lease is another's.
async fn save(relay: &Relay, lease: Lease, cursors: &Cursors) -> Result<bool, StoreError> {
    if cursors.is_empty() {
        return Ok(true);
    }
    let cursors: Vec<_> = cursors.iter().map(|(lane, seq)| (*lane, *seq)).collect();
    relay.journal.advance(lease, &cursors).await
}
