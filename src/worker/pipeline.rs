//! A decider: takes what waits in its queue as one batch, has loaded what that needs, decides, commits, and only then
//! lets the answers go.
//!
//! How a batch can come out, and what follows:
//!
//! | commit | the lanes in memory | the commands |
//! |---|---|---|
//! | acknowledged | as decided | answered |
//! | a lane that was not locked has been moved by another worker | as before | decided again, under locks |
//! | a receipt was stored meanwhile | as before | decided again |
//! | Postgres refused the data | as before | the batch is halved until the culprit is alone |
//! | the connection was lost before it | forgotten | decided again in two parts, then `unavailable` |
//! | its answer was lost | forgotten | [`settle`] tells which of the two it was |

#![allow(clippy::vec_box)] // a command is moved from queue to batch to answer: by its pointer

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::answer::Answer;
use super::batch::{Batch, Caution};
use super::decided::{Committed, Decided, Reply, decide_batch};
use super::dispatch::Dispatcher;
use super::lanes::{Lanes, Locked, put_back, take};
use super::queue::Queue;
use super::tenants::{Opened, Tenants};
use super::waiting::Waiting;
use crate::clock;
use crate::domain::command::Command;
use crate::domain::id::LaneSet;
use crate::domain::outcome::{FieldReason, Refusal};
use crate::domain::state::Changes;
use crate::domain::window::Instant as Moment;
use crate::relay::Recent;
use crate::store::batch::{DueMark, DuePage};
use crate::store::journal::Entry;
use crate::store::lane::CachedLane;
use crate::store::start::Database;
use crate::store::{BatchId, CommitError, Session, StoreError, Wants, settle};
use crate::telemetry::Metrics;
use crate::ticker::Alarm;
use crate::wire::reply;

/// How long a batch is tried again over a lost connection before its commands are answered as unavailable.
const PATIENCE: Duration = Duration::from_secs(8);
/// Between two attempts to reach Postgres.
const RECONNECT_DELAY: Duration = Duration::from_millis(100);
/// How often a batch is decided again because receipts were stored meanwhile.
const COLLISIONS_MAX: u32 = 16;

/// What the deciders of one worker share.
#[derive(Clone, Debug)]
pub struct Shared {
    pub database: Database,
    pub lanes: Lanes,
    pub tenants: Tenants,
    pub dispatcher: Dispatcher,
    pub metrics: Metrics,
    pub alarm: Alarm,
    /// Wakes the relay.
    pub journal_grew: Arc<Notify>,
    /// What the relay need not read back.
    pub recent: Recent,
    /// False once Postgres could not be reached.
    pub is_up: watch::Sender<bool>,
    pub batch_max: usize,
}

#[derive(Debug)]
pub struct Decider {
    shared: Shared,
    queue: Queue,
    session: Option<Session>,
    /// Lanes in which more is due than the batch could carry out.
    behind: LaneSet,
    /// Whether receipts are looked up first.
    lookups: Caution,
    /// Whether lanes are locked first.
    locks: Caution,
}

/// What became of an attempt.
enum Attempt {
    Done,
    Again(Batch),
    Halve(Batch, StoreError),
    Undecided(Batch, StoreError),
}

impl Decider {
    pub fn new(shared: Shared, queue: Queue) -> Decider {
        let behind = LaneSet::default();
        Decider { shared, queue, session: None, behind, lookups: Caution::default(), locks: Caution::default() }
    }

    /// Until `stop`; a batch that has begun is carried out.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let batch = tokio::select! {
                batch = self.queue.next(self.shared.batch_max, &self.shared.recent) => batch,
                () = stop.cancelled() => return,
            };
            match batch {
                Some(batch) => {
                    let (commands, ticks) = (batch.commands.len(), batch.ticks.len());
                    let span = tracing::info_span!("berth.batch", commands, ticks);
                    self.carry_out(batch).instrument(span).await;
                }
                None => return,
            }
        }
    }

    async fn carry_out(&mut self, batch: Batch) {
        let began = Instant::now();
        let ticks = batch.ticks;
        let mut batches = batch.with_puts_alone();
        let mut is_given_up = false;
        while let Some(batch) = batches.pop() {
            if is_given_up {
                self.give_up(batch.commands, &Refusal::Unavailable); // a part of what has been tried long enough
                continue;
            }
            match self.attempt(batch).await {
                Attempt::Done => (),
                Attempt::Again(batch) => batches.push(batch),
                Attempt::Halve(batch, error) => batches.extend(self.halve(batch, &error)),
                Attempt::Undecided(batch, error) if began.elapsed() < PATIENCE => {
                    tracing::warn!(error = full(&error), "a batch is tried again, in two parts");
                    tokio::time::sleep(RECONNECT_DELAY).await;
                    batches.extend(batch.parts()); // it may be the batch that is too slow
                }
                Attempt::Undecided(batch, error) => {
                    tracing::error!(error = full(&error), "a batch is given up");
                    self.give_up(batch.commands, &Refusal::Unavailable);
                    self.look_whether_up().await;
                    is_given_up = true;
                }
            }
        }
        let behind = std::mem::take(&mut self.behind);
        for lane in ticks.iter() {
            match behind.contains(lane) {
                true => self.queue.is_behind(lane),
                false => self.shared.alarm.ticked(lane),
            }
        }
    }

    async fn attempt(&mut self, mut batch: Batch) -> Attempt {
        batch.looks_up |= self.lookups.is_due();
        let lanes = batch.commands.iter().fold(batch.ticks, |lanes, waiting| lanes.union(waiting.request.lanes()));
        let mut locked = self.shared.lanes.lock(lanes).await;
        let wants = batch.wants(lanes, &locked);
        let began = Instant::now();
        let id = BatchId(clock::random_uuid());
        let reckoned_at = self.reckoned_at(&batch, &locked);
        let opened = match reckoned_at {
            Some(at) => self.open_unlocked(at, &wants, &mut locked).await,
            None => self.open(&wants, &mut locked, &batch.commands).await.map(Some),
        };
        let opened = match opened {
            Ok(Some(opened)) => opened,
            Ok(None) => return Attempt::Again(batch.under_locks()),
            Err(error) => return self.lost(batch, locked, error),
        };
        let decided = decide_batch(&batch.commands, opened);
        match batch.looks_up && decided.has_replays {
            true => self.lookups.was_missed(),
            false => self.lookups.was_for_nothing(),
        }
        if reckoned_at.is_some() && decided.is_empty() {
            // Nothing is written, so nothing would tell whether the lanes are as they were known.
            put_back(&mut locked, decided.rolled_back().0);
            return Attempt::Again(batch.under_locks());
        }
        if !batch.looks_up && batch.has_answer_without_receipt(&decided) {
            return self.look_up(batch, locked, decided).await;
        }
        if decided.is_empty() {
            return self.read_only(batch, locked, decided).await;
        }
        let Some(session) = self.session.as_mut() else { return Attempt::Again(batch) };
        match session.commit(id, &decided.writes()).await {
            Ok(()) => {
                let events = decided.payloads.len();
                self.shared.metrics.committed(batch.commands.len(), events, began.elapsed().as_secs_f64());
                self.committed(batch, locked, decided, id);
                Attempt::Done
            }
            Err(error) => self.not_committed(batch, locked, decided, id, error).await,
        }
    }

    /// The time of a batch that can be decided without locks.
    fn reckoned_at(&mut self, batch: &Batch, locked: &Locked) -> Option<Moment> {
        if batch.needs_locks() {
            return None;
        }
        if self.locks.is_due() {
            self.locks.was_for_nothing();
            return None;
        }
        let cached: Option<Vec<&CachedLane>> = locked.iter().map(|(_, slot)| slot.cached.as_ref()).collect();
        let tenants_batches = cached?.into_iter().map(|cached| cached.tenants_batch);
        let is_free = self.shared.tenants.are_free(tenants_batches, &batch.commands);
        self.session.as_ref().filter(|_| is_free)?.reckoned_now()
    }

    /// `None`: a tenant with a limit has to be locked, and so the lanes before it.
    async fn open_unlocked(
        &mut self,
        at: Moment,
        wants: &Wants,
        locked: &mut Locked,
    ) -> Result<Option<Opened>, StoreError> {
        let Some(session) = self.session.as_mut() else { return Ok(None) };
        let loaded = session.open_unlocked(at, wants, take(locked)).await?;
        if self.shared.tenants.owners_are_free(&loaded) {
            return Ok(Some(Opened::without_limits(loaded)));
        }
        put_back(locked, loaded.lanes);
        self.locks.was_missed(); // what they have seldom comes alone, and it was read for nothing
        Ok(None)
    }

    async fn open(
        &mut self,
        wants: &Wants,
        locked: &mut Locked,
        commands: &[Box<Waiting>],
    ) -> Result<Opened, StoreError> {
        let session = match self.session.take() {
            Some(session) => session,
            None => Session::connect(&self.shared.database).await?,
        };
        let session = self.session.insert(session);
        let loaded = session.open(wants, take(locked)).await?;
        self.shared.tenants.open(session, loaded, commands).await
    }

    /// An answer that leaves no receipt may contradict one that is stored: the batch is decided again, with a look.
    async fn look_up(&mut self, mut batch: Batch, mut locked: Locked, decided: Decided) -> Attempt {
        self.roll_back().await;
        put_back(&mut locked, decided.rolled_back().0);
        batch.looks_up = true;
        Attempt::Again(batch)
    }

    /// Nothing was changed and no receipt is due: the answers may leave at once.
    async fn read_only(&mut self, batch: Batch, mut locked: Locked, decided: Decided) -> Attempt {
        // The time of a batch that writes nothing is forgotten, so nothing may be marked as searched up to it.
        let mut marks = due_marks(&decided);
        marks.iter_mut().filter(|(page, _)| !page.is_full).for_each(|(_, mark)| *mark = None);
        self.roll_back().await;
        let (lanes, replies) = decided.rolled_back();
        put_back(&mut locked, lanes);
        self.set_marks(&mut locked, marks);
        drop(locked);
        self.answer(batch.commands, replies);
        Attempt::Done
    }

    fn committed(&mut self, batch: Batch, mut locked: Locked, decided: Decided, id: BatchId) {
        let marks = due_marks(&decided);
        let Committed { lanes, replies, changes, payloads } = decided.committed(id.0);
        put_back(&mut locked, lanes);
        self.set_marks(&mut locked, marks);
        let entries = changes.events.iter().zip(payloads).map(|(event, payload)| Entry::of(event, payload));
        self.shared.recent.add(self.queue.source(), entries);
        drop(locked); // only now: the next batch of these lanes has later events
        self.announce(&changes);
        self.answer(batch.commands, replies);
    }

    async fn not_committed(
        &mut self,
        mut batch: Batch,
        mut locked: Locked,
        decided: Decided,
        id: BatchId,
        error: CommitError,
    ) -> Attempt {
        self.shared.metrics.not_committed(why(&error));
        match error {
            CommitError::ReceiptTaken if batch.collisions < COLLISIONS_MAX => {
                put_back(&mut locked, decided.rolled_back().0);
                batch.collisions += 1;
                batch.looks_up = true;
                self.lookups.was_missed();
                Attempt::Again(batch)
            }
            CommitError::NeedsLocks => {
                put_back(&mut locked, decided.rolled_back().0);
                self.locks.was_missed();
                Attempt::Again(batch.under_locks())
            }
            CommitError::ReceiptTaken => {
                put_back(&mut locked, decided.rolled_back().0);
                self.give_up(batch.commands, &Refusal::Overloaded { retry_after_ms: 100 });
                Attempt::Done
            }
            CommitError::Refused(_) if !batch.looks_up => {
                put_back(&mut locked, decided.rolled_back().0);
                batch.looks_up = true; // what Postgres refuses may have been answered before
                Attempt::Again(batch)
            }
            CommitError::Refused(error) => {
                put_back(&mut locked, decided.rolled_back().0);
                Attempt::Halve(batch, error)
            }
            CommitError::Lost(error) => self.lost(batch, locked, error),
            CommitError::Unknown(error) => {
                tracing::warn!(error = full(&error), "asking whether a batch was committed");
                self.settle(batch, locked, decided, id).await
            }
        }
    }

    /// The connection is gone, and nothing of the batch was committed.
    fn lost(&mut self, batch: Batch, mut locked: Locked, error: StoreError) -> Attempt {
        self.session = None;
        locked.iter_mut().for_each(|(_, slot)| slot.evict());
        Attempt::Undecided(batch, error)
    }

    async fn settle(&mut self, batch: Batch, mut locked: Locked, mut decided: Decided, id: BatchId) -> Attempt {
        decided.forget_tenants();
        self.session = None;
        locked.iter_mut().for_each(|(_, slot)| slot.evict());
        let began = Instant::now();
        loop {
            match settle(&self.shared.database, id).await {
                Ok(true) => {
                    drop(locked);
                    self.announce(&decided.changes);
                    self.answer(batch.commands, decided.replies);
                    return Attempt::Done;
                }
                Ok(false) => return Attempt::Again(batch),
                Err(error) if began.elapsed() < PATIENCE => {
                    tracing::warn!(error = full(&error), "could not find out yet whether a batch was committed");
                    tokio::time::sleep(RECONNECT_DELAY).await;
                }
                Err(error) => {
                    tracing::error!(error = full(&error), "whether a batch was committed can't be found out");
                    self.look_whether_up().await;
                    self.give_up(batch.commands, &Refusal::UnknownOutcome);
                    return Attempt::Done;
                }
            }
        }
    }

    async fn roll_back(&mut self) {
        if let Some(session) = self.session.as_mut()
            && let Err(error) = session.rollback().await
        {
            tracing::warn!(error = full(&error), "a connection is given up");
            self.session = None;
        }
    }

    /// Two halves, or, where the culprit is alone, its refusal.
    fn halve(&self, batch: Batch, error: &StoreError) -> Vec<Batch> {
        tracing::warn!(error = full(error), commands = batch.commands.len(), "Postgres refused what a batch writes");
        if batch.commands.len() + batch.ticks.len() <= 1 {
            let refusal = match batch.commands.first().map(|waiting| &waiting.request.command) {
                Some(Command::PoolPut(_)) => kind_is_taken(),
                _ => Refusal::Unavailable,
            };
            self.give_up(batch.commands, &refusal);
            return Vec::new();
        }
        batch.parts()
    }

    /// A server that answers others is no reason to leave the queue group.
    async fn look_whether_up(&self) {
        if !self.shared.database.is_reachable().await {
            self.shared.is_up.send_replace(false);
        }
    }

    /// Tells the relay that there is something to publish, and the ticker when something is due.
    fn announce(&self, changes: &Changes) {
        if changes.events.is_empty() {
            return;
        }
        self.shared.journal_grew.notify_one();
        let holds = changes.inserted.iter().chain(&changes.updated);
        self.shared.alarm.set(holds.filter_map(|hold| Some((hold.id.lane(), hold.due_at()?))));
    }

    /// Lets the answers go, beside the next batch.
    fn answer(&self, commands: Vec<Box<Waiting>>, replies: Vec<Reply>) {
        let (put_off, decided): (Vec<_>, Vec<_>) =
            commands.into_iter().zip(replies).partition(|(_, reply)| reply.is_put_off());
        put_off.into_iter().for_each(|(waiting, _)| self.shared.dispatcher.put_off(waiting));
        for (waiting, reply) in &decided {
            if let Some(receipt) = waiting.receipt {
                self.shared.dispatcher.decided(receipt, reply.is_stored);
            }
        }
        let metrics = self.shared.metrics.clone();
        let (durable, direct): (Vec<_>, Vec<_>) =
            decided.into_iter().partition(|(waiting, _)| waiting.answerer.is_durable());
        tokio::spawn(async move {
            for (waiting, reply) in direct {
                send(waiting, reply, &metrics).await;
            }
            // Each waits for the stream, so they wait together and nobody behind them.
            let sent = durable.into_iter().map(|(waiting, reply)| send(waiting, reply, &metrics));
            futures::future::join_all(sent).await;
        });
    }

    /// Refuses commands of which nothing was decided, or nothing is known.
    fn give_up(&self, commands: Vec<Box<Waiting>>, refusal: &Refusal) {
        let encoded = reply::refusal(refusal);
        for waiting in commands {
            if let Some(receipt) = waiting.receipt {
                self.shared.dispatcher.decided(receipt, false);
            }
            self.shared.metrics.answered(waiting.verb, refusal.code(), waiting.arrived.elapsed().as_secs_f64());
            let trace = waiting.request.trace.clone();
            let answer = Answer { encoded: encoded.clone(), is_replay: false, trace };
            tokio::spawn(async move {
                waiting.answerer.send_undecided(answer).await;
                drop(waiting.permit);
            });
        }
    }

    fn set_marks(&mut self, locked: &mut Locked, marks: Vec<(DuePage, Option<DueMark>)>) {
        for (page, mark) in marks {
            if let (Some((_, slot)), Some(mark)) = (locked.iter_mut().find(|(lane, _)| *lane == page.lane), mark) {
                slot.set_mark(mark);
            }
            if page.is_full {
                self.behind.insert(page.lane);
            }
            if let Some(first) = page.due.first() {
                let lateness = (clock::now() - first.due_at).as_seconds_f64().max(0.0);
                self.shared.metrics.ticked(page.due.len(), lateness);
            }
        }
    }
}

async fn send(waiting: Box<Waiting>, reply: Reply, metrics: &Metrics) {
    let code = reply.answer.encoded.error.as_ref().map_or("ok", |(_, code)| code);
    metrics.answered(waiting.verb, code, waiting.arrived.elapsed().as_secs_f64());
    waiting.answerer.send(reply.answer).instrument(waiting.span).await;
    drop(waiting.permit);
}

/// Each page of due holds, and up to where the lane has been searched once they are carried out.
fn due_marks(decided: &Decided) -> Vec<(DuePage, Option<DueMark>)> {
    decided.due.iter().map(|page| (page.clone(), page.searched_to())).collect()
}

/// What the refusal of a second pool of one kind says.
pub(super) fn kind_is_taken() -> Refusal {
    let expected = "a kind that, with its region, no other pool has";
    Refusal::field("instance_type", FieldReason::OutOfRange, expected)
}

fn why(error: &CommitError) -> &'static str {
    match error {
        CommitError::ReceiptTaken => "receipt_taken",
        CommitError::NeedsLocks => "needs_locks",
        CommitError::Refused(_) => "refused",
        CommitError::Lost(_) => "lost",
        CommitError::Unknown(_) => "unknown",
    }
}

/// An error with its cause, in one line.
fn full(error: &StoreError) -> String {
    format!("{error}: {}", error.source)
}
