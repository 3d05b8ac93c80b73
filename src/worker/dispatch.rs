//! Which decider a command goes to, and the rule that one key is decided once at a time.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::clock_work::ClockWork;
use super::queue::{Clock, Commands, Queue};
use super::waiting::Waiting;
use crate::domain::id::{LANES, Lane, LaneSet, ReceiptId};

/// The queues of the deciders. A lane belongs to one of the first; the last but one takes what spans several lanes or has
/// to wait for the clock, and the last the clock's part: what is due in great numbers holds up no command of another
/// lane.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    commands: Vec<mpsc::Sender<Box<Waiting>>>,
    clock: mpsc::Sender<Lane>,
    clock_work: ClockWork,
    /// The keys that are being decided, each with the requests that wait for it.
    keys: Arc<Mutex<HashMap<ReceiptId, VecDeque<Box<Waiting>>>>>,
}

impl Dispatcher {
    /// Gives the dispatcher, and the receiving end for each of the deciders. `in_flight_max`: every request that can be
    /// in hand, which may all be in one queue.
    pub fn new(deciders: usize, in_flight_max: usize) -> (Dispatcher, Vec<Queue>) {
        let (commands, receivers): (_, Vec<_>) = (0..=deciders).map(|_| mpsc::channel(in_flight_max)).unzip();
        let (clock, ticks) = mpsc::channel(usize::from(LANES));
        let clock_work = ClockWork::default();
        let of_commands = |queue| Queue::Commands(Commands::new(queue, clock_work.clone()));
        let mut queues: Vec<Queue> = receivers.into_iter().map(of_commands).collect();
        queues.push(Queue::Clock(Clock::new(ticks, clock_work.clone())));
        (Dispatcher { commands, clock, clock_work, keys: Arc::default() }, queues)
    }

    /// Hands a command to its decider, or holds it back while another with its key is being decided.
    pub fn command(&self, waiting: Box<Waiting>) {
        if let Some(receipt) = waiting.receipt {
            let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(held_back) = keys.get_mut(&receipt) {
                held_back.push_back(waiting);
                return;
            }
            keys.insert(receipt, VecDeque::new());
        }
        self.enqueue(waiting);
    }

    /// Has a command decided once more that its decider put off, now with the lanes of its siblings. It keeps its key.
    pub fn put_off(&self, mut waiting: Box<Waiting>) {
        waiting.request.siblings.are_locked = true;
        self.enqueue(waiting);
    }

    /// Something is due in this lane. No lane is told twice before it has been carried out.
    pub fn tick(&self, lane: Lane) {
        is_sent(self.clock.try_send(lane));
    }

    /// A command with this key has been decided. Where its reply is stored, all that waited for it can be answered
    /// with that; otherwise the next one takes its turn.
    pub fn decided(&self, receipt: ReceiptId, is_stored: bool) {
        let next = {
            let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(held_back) = keys.get_mut(&receipt) else { return };
            if is_stored {
                keys.remove(&receipt).unwrap_or_default()
            } else if let Some(next) = held_back.pop_front() {
                VecDeque::from([next])
            } else {
                keys.remove(&receipt);
                VecDeque::new()
            }
        };
        next.into_iter().for_each(|waiting| self.enqueue(waiting));
    }

    fn enqueue(&self, waiting: Box<Waiting>) {
        if let Some(queue) = self.commands.get(self.queue_of(waiting.request.lanes())) {
            is_sent(queue.try_send(waiting));
        }
    }

    fn queue_of(&self, lanes: LaneSet) -> usize {
        let spare = self.commands.len() - 1;
        if self.clock_work.meets(lanes) {
            return spare;
        }
        match (lanes.len(), lanes.iter().next()) {
            (1, Some(lane)) => usize::from(lane.number()) % spare,
            _ => spare,
        }
    }
}

/// The queues are as long as everything that can be in them, so a full one is a closed one: the worker stops.
fn is_sent<T>(sent: Result<(), TrySendError<T>>) {
    if let Err(error) = sent {
        tracing::debug!(%error, "a decider has stopped");
    }
}
