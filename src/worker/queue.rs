//! What a decider takes from its queue as one batch: commands that wait, or lanes in which something is due.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use super::batch::Batch;
use super::clock_work::ClockWork;
use super::waiting::Waiting;
use crate::domain::id::{Lane, LaneSet};
use crate::relay::{Recent, Source};

/// How many due holds a batch carries out at most. A command of their lanes waits for them, one of another lane does
/// not.
pub(super) const DUE_MAX: usize = 256;

/// How many lanes they are taken from at most.
const DUE_LANES_MAX: usize = 16;

/// The queue of a decider.
#[derive(Debug)]
pub enum Queue {
    Commands(Commands),
    Clock(Clock),
}

impl Queue {
    /// `None`: the worker stops.
    pub(super) async fn next(&mut self, batch_max: usize, recent: &Recent) -> Option<Batch> {
        match self {
            Queue::Commands(commands) => commands.next(batch_max, recent).await,
            Queue::Clock(clock) => clock.next(recent).await,
        }
    }

    pub(super) fn source(&self) -> Source {
        match self {
            Queue::Commands(_) => Source::Commands,
            Queue::Clock(_) => Source::Clock,
        }
    }

    /// More is due in this lane than its batch carried out.
    pub(super) fn is_behind(&mut self, lane: Lane) {
        if let Queue::Clock(clock) = self {
            clock.behind.insert(lane);
        }
    }
}

#[derive(Debug)]
pub struct Commands {
    queue: mpsc::Receiver<Box<Waiting>>,
    /// Taken from the queue, and too much for the batch before.
    carry: VecDeque<Box<Waiting>>,
    clock: ClockWork,
}

impl Commands {
    pub fn new(queue: mpsc::Receiver<Box<Waiting>>, clock: ClockWork) -> Commands {
        Commands { queue, carry: VecDeque::new(), clock }
    }

    /// What waits now, up to the bound of a batch: while the clock is not behind, nothing is delayed for the sake of a
    /// larger one.
    async fn next(&mut self, batch_max: usize, recent: &Recent) -> Option<Batch> {
        if self.carry.is_empty() {
            self.carry.push_back(self.queue.recv().await?);
        }
        recent.has_room(Source::Commands).await; // dropped meanwhile, it has lost nothing
        self.clock.company(self.carry.len() + self.queue.len()).await;
        let mut waiting = Vec::from(std::mem::take(&mut self.carry));
        while waiting.len() < batch_max
            && let Ok(next) = self.queue.try_recv()
        {
            waiting.push(next);
        }
        let mut weight = 0;
        let fitting = waiting.iter().position(|waiting| {
            weight += waiting.weight();
            weight >= batch_max
        });
        self.carry = waiting.split_off(fitting.map_or(waiting.len(), |last| last + 1)).into();
        Some(Batch { commands: waiting, ..Batch::default() })
    }
}

#[derive(Debug)]
pub struct Clock {
    queue: mpsc::Receiver<Lane>,
    /// Lanes in which something has become due.
    due: LaneSet,
    /// Lanes of which one batch was not enough. They come one at a time, beside the others: those have little.
    behind: LaneSet,
    /// The last lane of either that had its turn.
    last: [Option<Lane>; 2],
    work: ClockWork,
}

impl Clock {
    pub fn new(queue: mpsc::Receiver<Lane>, work: ClockWork) -> Clock {
        Clock { queue, due: LaneSet::default(), behind: LaneSet::default(), last: [None; 2], work }
    }

    /// Asked for once the batch before has been carried out.
    async fn next(&mut self, recent: &Recent) -> Option<Batch> {
        self.work.is_at(LaneSet::default());
        self.work.set_behind(!self.behind.is_empty());
        if self.due.is_empty() && self.behind.is_empty() {
            self.due.insert(self.queue.recv().await?);
        }
        recent.has_room(Source::Clock).await;
        while let Ok(lane) = self.queue.try_recv() {
            self.due.insert(lane);
        }
        let [last_due, last_behind] = &mut self.last;
        let behind = take_turns(&mut self.behind, last_behind, 1);
        let due = take_turns(&mut self.due, last_due, DUE_LANES_MAX - behind.len());
        let ticks = due.union(behind);
        self.work.is_at(ticks);
        Some(Batch { ticks, ..Batch::default() })
    }
}

/// Up to `count` lanes, those behind the last one that was taken first.
fn take_turns(lanes: &mut LaneSet, last: &mut Option<Lane>, count: usize) -> LaneSet {
    let (before, behind): (Vec<_>, Vec<_>) = lanes.iter().partition(|lane| Some(*lane) <= *last);
    let mut taken = LaneSet::default();
    for lane in behind.into_iter().chain(before).take(count) {
        taken.insert(lane);
        lanes.remove(lane);
        *last = Some(lane);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(numbers: impl IntoIterator<Item = u8>) -> LaneSet {
        numbers.into_iter().filter_map(Lane::new).collect()
    }

    fn clock(due: LaneSet, behind: LaneSet) -> (mpsc::Sender<Lane>, Clock) {
        let (ring, queue) = mpsc::channel(64);
        (ring, Clock { due, behind, ..Clock::new(queue, ClockWork::default()) })
    }

    #[tokio::test]
    async fn lanes_with_much_come_one_at_a_time_beside_those_with_little() {
        let (ring, mut clock) = clock(lanes([7]), lanes([3, 40]));
        let mut batches = Vec::new();
        for _ in 0..2 {
            batches.push(clock.next(&Recent::default()).await.unwrap().ticks);
        }
        assert_eq!(batches, [lanes([3, 7]), lanes([40])]);
        drop(ring);
        assert!(clock.next(&Recent::default()).await.is_none(), "nothing is left, and nobody rings any more");
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_says_where_it_is_and_whether_it_is_behind() {
        let (ring, mut clock) = clock(lanes([7]), lanes([3]));
        let work = clock.work.clone();
        let is_behind = async || {
            let began = tokio::time::Instant::now();
            work.company(1).await;
            !began.elapsed().is_zero()
        };
        clock.next(&Recent::default()).await;
        assert!(work.meets(lanes([7, 8])) && work.meets(lanes([3])) && !work.meets(lanes([8])));
        assert!(is_behind().await);
        drop(ring);
        clock.next(&Recent::default()).await;
        assert!(!work.meets(lanes([3, 7])) && !is_behind().await, "its batch is done");
    }

    #[tokio::test]
    async fn no_lane_waits_for_ever_for_the_lanes_before_it() {
        let (ring, mut clock) = clock(LaneSet::default(), LaneSet::default());
        let mut seen = LaneSet::default();
        for _ in 0..4 {
            // All that had their turn are due again at once.
            Lane::all().filter(|lane| !clock.due.contains(*lane)).for_each(|lane| ring.try_send(lane).unwrap());
            let ticks = clock.next(&Recent::default()).await.unwrap().ticks;
            assert_eq!(ticks.len(), DUE_LANES_MAX);
            seen = seen.union(ticks);
        }
        assert_eq!(seen, lanes(0..64));
    }

    #[tokio::test]
    async fn every_lane_that_is_behind_has_its_turn() {
        let (_ring, mut clock) = clock(LaneSet::default(), lanes([1, 2, 3]));
        let mut turns = Vec::new();
        for _ in 0..4 {
            let lane = clock.next(&Recent::default()).await.unwrap().ticks.iter().next().unwrap();
            clock.behind.insert(lane);
            turns.push(lane.number());
        }
        assert_eq!(turns, [1, 2, 3, 1]);
    }
}
