//! Which decider a command goes to, and the rule that one key is decided once at a time.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::waiting::Waiting;
use crate::domain::id::{Lane, LaneSet, ReceiptId};

/// What a decider takes from its queue.
#[derive(Debug)]
pub enum Work {
    Command(Box<Waiting>),
    /// Carry out what is due in this lane.
    Tick(Lane),
}

/// The queues of the deciders. A lane belongs to one of them; the last one takes what spans several lanes.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    queues: Vec<mpsc::Sender<Work>>,
    /// The keys that are being decided, each with the requests that wait for it.
    keys: Arc<Mutex<HashMap<ReceiptId, VecDeque<Box<Waiting>>>>>,
}

impl Dispatcher {
    /// Gives the dispatcher, and the receiving end for each of the deciders. `capacity`: of each queue; it has to
    /// hold every request that can be in hand, and a tick for every lane.
    pub fn new(deciders: usize, capacity: usize) -> (Dispatcher, Vec<mpsc::Receiver<Work>>) {
        let (queues, receivers) = (0..=deciders).map(|_| mpsc::channel(capacity)).unzip();
        (Dispatcher { queues, keys: Arc::default() }, receivers)
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

    pub fn tick(&self, lane: Lane) {
        self.send(self.queue_of(LaneSet::from_iter([lane])), Work::Tick(lane));
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
        self.send(self.queue_of(waiting.request.lanes()), Work::Command(waiting));
    }

    fn queue_of(&self, lanes: LaneSet) -> usize {
        let deciders = self.queues.len() - 1;
        match (lanes.len(), lanes.iter().next()) {
            (1, Some(lane)) => usize::from(lane.number()) % deciders,
            _ => deciders,
        }
    }

    /// The queues are as long as everything that can be in them, so a full one is a closed one: the worker stops.
    fn send(&self, queue: usize, work: Work) {
        if let Some(Err(error)) = self.queues.get(queue).map(|queue| queue.try_send(work)) {
            tracing::debug!(%error, "a decider has stopped");
        }
    }
}
