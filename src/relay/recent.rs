//! The events that have just been committed, for the relay: what is at hand need not be read back. This worker's own, and
//! what the others tell of theirs; where another worker's relay publishes, it is told of this one's.
//!
//! It is only ever a shorter way to what stands in the journal: a lane whose events here do not follow its cursor
//! without a gap (a word was lost, a commit's answer was lost, the queue was full) is read from there.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::domain::id::Lane;
use crate::store::journal::Entry;

/// Most events that are kept; beyond it they are forgotten, and read from the journal.
const KEPT_MAX: usize = 16_384;
/// Beyond so many, what others tell is not kept: it must not push out this worker's own.
const OTHERS_KEPT_MAX: usize = 8_192;

/// Who has events published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Commands,
    Clock,
    /// Other workers.
    Others,
}

impl Source {
    /// With so many of its events unpublished it waits: what is decided faster than it is published only makes events
    /// late. For each by itself, because nobody waits for the clock, and commands need not wait for it.
    fn unpublished_max(self) -> usize {
        match self {
            Source::Commands => 256,
            Source::Clock => 4_096,
            Source::Others => usize::MAX,
        }
    }
}

/// How long it waits at most: a relay that stands still holds up nobody.
const WAIT_MAX: Duration = Duration::from_millis(50);

#[derive(Clone, Debug, Default)]
pub struct Recent(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    inner: Mutex<Inner>,
    /// Events were taken.
    taken: Notify,
    /// Events were added.
    added: Notify,
}

/// What becomes of the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Use {
    /// They are not kept.
    #[default]
    None,
    /// The relay of another worker is told of them.
    Told,
    /// They are published here.
    Published,
}

#[derive(Debug, Default)]
struct Inner {
    used: Use,
    lanes: BTreeMap<Lane, VecDeque<(Source, Entry)>>,
    /// How many of them there are, of each source.
    counts: [usize; 3],
    /// The lane that is taken from first: where the last ones were not reached, it is their turn.
    first: Option<Lane>,
}

impl Recent {
    /// Committed events, in the order of each lane.
    pub fn add(&self, source: Source, entries: impl Iterator<Item = Entry>) {
        let mut inner = self.lock();
        if inner.used == Use::None || source == Source::Others && inner.kept() >= OTHERS_KEPT_MAX {
            return;
        }
        for entry in entries {
            inner.counts[source as usize] += 1;
            inner.lanes.entry(entry.lane).or_default().push_back((source, entry));
        }
        if inner.kept() > KEPT_MAX {
            inner.forget();
            self.0.taken.notify_waiters();
        }
        drop(inner);
        self.0.added.notify_waiters();
    }

    /// Returns when what this source decides next can soon be published, or has waited long enough.
    pub async fn has_room(&self, source: Source) {
        let room = async {
            loop {
                let taken = self.0.taken.notified();
                if self.lock().has_room(source) {
                    return;
                }
                taken.await;
            }
        };
        let _ = tokio::time::timeout(WAIT_MAX, room).await; // then without
    }

    /// Returns when so many are kept.
    pub(super) async fn has(&self, count: usize) {
        loop {
            let added = self.0.added.notified();
            if self.lock().kept() >= count {
                return;
            }
            added.await;
        }
    }

    pub(super) fn set_use(&self, used: Use) {
        let mut inner = self.lock();
        inner.used = used;
        inner.forget();
        drop(inner);
        self.0.taken.notify_waiters();
    }

    /// All of them, in the order of each lane.
    pub(super) fn take_all(&self) -> Vec<Entry> {
        let mut inner = self.lock();
        let lanes = std::mem::take(&mut inner.lanes);
        inner.forget();
        lanes.into_values().flatten().map(|(_, entry)| entry).collect()
    }

    /// Up to `limit` events and about `bytes_max` bytes that follow the cursors without a gap, by lane, the lanes
    /// taking turns; the cursors move behind them.
    pub(super) fn take(&self, cursors: &mut [(Lane, i64)], limit: usize, bytes_max: usize) -> Vec<Entry> {
        let mut inner = self.lock();
        let (mut taken, mut bytes) = (Vec::new(), 0);
        let (before, from) = cursors.split_at_mut(cursors.partition_point(|(lane, _)| Some(*lane) < inner.first));
        for (lane, cursor) in from.iter_mut().chain(before) {
            if taken.len() >= limit || bytes >= bytes_max {
                inner.first = Some(*lane);
                break;
            }
            let Some(mut entries) = inner.lanes.remove(lane) else { continue };
            while let Some(next) = entries.front().map(|(_, entry)| entry.seq)
                && next <= *cursor + 1
                && taken.len() < limit
                && bytes < bytes_max
            {
                let Some((source, entry)) = entries.pop_front() else { break };
                inner.counts[source as usize] -= 1;
                if next == *cursor + 1 {
                    *cursor = next;
                    bytes += entry.payload.len();
                    taken.push(entry);
                }
            }
            inner.lanes.insert(*lane, entries);
        }
        drop(inner);
        self.0.taken.notify_waiters();
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn kept(&self) -> usize {
        self.counts.iter().sum()
    }

    /// Only what is published here can be waited for.
    fn has_room(&self, source: Source) -> bool {
        self.used != Use::Published || self.counts[source as usize] < source.unpublished_max()
    }

    fn forget(&mut self) {
        self.lanes.clear();
        self.counts = [0; 3];
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::clock;
    use crate::domain::event::EventType;
    use crate::domain::hold::Kind;
    use crate::domain::id::Tenant;

    /// With events `1..=count` of each of these lanes.
    fn recent(source: Source, lanes: &[u8], count: i64) -> Recent {
        let recent = Recent::default();
        recent.set_use(Use::Published);
        for number in lanes {
            recent.add(source, (1..=count).map(|seq| entry(*number, seq)));
        }
        recent
    }

    fn entry(lane: u8, seq: i64) -> Entry {
        Entry {
            lane: Lane::new(lane).unwrap(),
            seq,
            event_id: Uuid::nil(),
            tenant: Tenant::parse("acme").unwrap(),
            kind: Kind::Lock,
            label: String::new(),
            event_type: EventType::Placed,
            at: clock::now(),
            payload: vec![b'x'],
        }
    }

    fn cursors() -> Vec<(Lane, i64)> {
        Lane::all().map(|lane| (lane, 0)).collect()
    }

    fn taken(recent: &Recent, cursors: &mut [(Lane, i64)], limit: usize) -> Vec<(u8, i64)> {
        recent.take(cursors, limit, usize::MAX).iter().map(|entry| (entry.lane.number(), entry.seq)).collect()
    }

    #[test]
    fn lanes_take_turns_where_there_is_more_than_a_batch() {
        let (recent, mut cursors) = (recent(Source::Commands, &[2, 9], 3), cursors());
        assert_eq!(taken(&recent, &mut cursors, 2), [(2, 1), (2, 2)]);
        assert_eq!(taken(&recent, &mut cursors, 2), [(9, 1), (9, 2)], "and not the rest of the first");
        assert_eq!(taken(&recent, &mut cursors, 2), [(2, 3), (9, 3)]);
    }

    #[test]
    fn what_does_not_follow_the_cursor_is_left_for_the_journal() {
        let (recent, mut cursors) = (recent(Source::Commands, &[2], 1), cursors());
        recent.add(Source::Commands, [entry(2, 3)].into_iter());
        assert_eq!(taken(&recent, &mut cursors, 9), [(2, 1)]);
        cursors[2].1 = 3; // read from the journal
        assert_eq!(taken(&recent, &mut cursors, 9), []);
        assert_eq!(recent.lock().counts, [0; 3], "and is forgotten when it was read there");
    }

    #[tokio::test(start_paused = true)]
    async fn commands_do_not_wait_for_what_the_clock_has_to_publish() {
        let recent = recent(Source::Clock, &[2], 4_096);
        let began = tokio::time::Instant::now();
        recent.has_room(Source::Commands).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        recent.has_room(Source::Clock).await;
        assert_eq!(began.elapsed(), WAIT_MAX, "a relay that stands still holds it up for so long");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_what_is_published_elsewhere_and_all_of_it_is_told() {
        let recent = recent(Source::Commands, &[9, 2], 256);
        recent.set_use(Use::Told);
        recent.add(Source::Commands, (1..=300).map(|seq| entry(9, seq)));
        recent.add(Source::Clock, [entry(2, 1)].into_iter());
        let began = tokio::time::Instant::now();
        recent.has_room(Source::Commands).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        let told: Vec<_> = recent.take_all().iter().map(|entry| (entry.lane.number(), entry.seq)).collect();
        let expected: Vec<_> = [(2, 1)].into_iter().chain((1..=300).map(|seq| (9, seq))).collect();
        assert_eq!(told, expected);
        assert!(recent.take_all().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_events_is_told_when_there_are_enough() {
        let recent = recent(Source::Commands, &[2], 1);
        let began = tokio::time::Instant::now();
        let add = async {
            tokio::time::sleep(WAIT_MAX).await;
            recent.add(Source::Clock, [entry(2, 2)].into_iter());
        };
        tokio::join!(recent.has(2), add);
        assert_eq!(began.elapsed(), WAIT_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_any_longer_for_a_relay_that_ends() {
        let recent = recent(Source::Commands, &[2], 256);
        let began = tokio::time::Instant::now();
        tokio::join!(recent.has_room(Source::Commands), async { recent.set_use(Use::None) });
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_there_as_soon_as_events_are_taken() {
        let recent = recent(Source::Commands, &[2], 256);
        let began = tokio::time::Instant::now();
        let take = async { recent.take(&mut cursors(), 1, usize::MAX) };
        tokio::join!(recent.has_room(Source::Commands), take);
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
