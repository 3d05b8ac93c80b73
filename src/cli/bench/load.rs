//! One connection's share of the load: a fixed number of slots, each with one unanswered request, and one wildcard
//! subscription that tells by the last token of the reply's subject which slot was answered. A request and its
//! answer then cost no task, no timer and no subscription of their own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use hdrhistogram::Histogram;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::plan::{Plan, Requests};
use crate::cli::{CliError, ERROR_CODE_HEADER, KEY_HEADER};

/// How often slots are looked through for what has to be sent again.
const LOOK: Duration = Duration::from_millis(10);
/// Unanswered for so long, a request is sent again under its key.
const RESEND_AFTER: Duration = Duration::from_secs(5);
/// Unanswered for so long, its outcome is given up as unknown.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
/// A worker that says nothing about when to come again, or is not there.
const RETRY_DEFAULT: Duration = Duration::from_millis(100);
/// Latencies are kept in microseconds with three digits.
const LATENCY_MAX_MICROS: u64 = 600_000_000;

/// What all connections of a round share.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    next: AtomicU64,
    answers: AtomicU64,
}

impl Progress {
    pub fn new() -> Progress {
        Progress(Arc::default())
    }

    pub fn answers(&self) -> u64 {
        self.0.answers.load(Ordering::Relaxed)
    }
}

/// What became of the requests of one round.
#[derive(Debug)]
pub struct Tally {
    /// Round, number and id of what was granted.
    pub accepted: Vec<(&'static str, u64, Uuid)>,
    /// Answers that are final, grants and refusals.
    pub answers: u64,
    /// Those of them that came before the end of the time.
    pub answers_in_time: u64,
    pub refused: BTreeMap<String, u64>,
    /// Why requests were sent again.
    pub sent_again: BTreeMap<String, u64>,
    /// Requests whose outcome was never told.
    pub unknown: u64,
    /// From the first sending to the final answer, microseconds.
    pub latency: Histogram<u64>,
}

impl Tally {
    pub fn new() -> Result<Tally, CliError> {
        Ok(Tally {
            accepted: Vec::new(),
            answers: 0,
            answers_in_time: 0,
            refused: BTreeMap::new(),
            sent_again: BTreeMap::new(),
            unknown: 0,
            latency: Histogram::new_with_bounds(1, LATENCY_MAX_MICROS, 3).map_err(CliError::of("make a histogram"))?,
        })
    }

    pub fn add(&mut self, other: Tally) {
        self.accepted.extend(other.accepted);
        self.answers += other.answers;
        self.answers_in_time += other.answers_in_time;
        self.unknown += other.unknown;
        other.refused.into_iter().for_each(|(code, count)| *self.refused.entry(code).or_default() += count);
        other.sent_again.into_iter().for_each(|(code, count)| *self.sent_again.entry(code).or_default() += count);
        // Both have the same bounds, so adding can't fail.
        let _ = self.latency.add(&other.latency);
    }

    /// What went wrong, for a person.
    pub fn complaint(&self) -> String {
        let mut parts: Vec<String> = self.refused.iter().map(|(code, count)| format!("{count} {code}")).collect();
        parts.extend((self.unknown > 0).then(|| format!("{} without an answer", self.unknown)));
        if parts.is_empty() { "not all were sent".to_owned() } else { parts.join(", ") }
    }
}

/// A connection with its slots.
#[derive(Debug)]
pub struct Connection {
    client: Client,
    replies: Subscriber,
    inbox: String,
    slots: Vec<Slot>,
}

#[derive(Clone, Debug)]
struct Slot {
    /// `None`: idle.
    sent: Option<Sent>,
}

#[derive(Clone, Debug)]
struct Sent {
    number: u64,
    payload: Bytes,
    first_at: Instant,
    /// When it is to be sent again if no answer has come.
    again_at: Instant,
    /// Why it will be sent again.
    why: &'static str,
}

/// What one reply means.
enum Reply {
    Granted(Uuid),
    /// Nothing was asked to be granted.
    Shown,
    Refused(String),
    Again(&'static str, Duration),
}

impl Connection {
    pub async fn open(client: Client, in_flight: usize) -> Result<Connection, CliError> {
        let inbox = client.new_inbox();
        let replies = client.subscribe(format!("{inbox}.*")).await.map_err(CliError::of("subscribe to the replies"))?;
        Ok(Connection { client, replies, inbox, slots: vec![Slot { sent: None }; in_flight] })
    }

    /// Is anybody there?
    pub async fn probe(&self, subject: String) -> Result<(), CliError> {
        let request = async_nats::Request::new().payload("{}".into()).timeout(Some(RESEND_AFTER));
        match self.client.send_request(subject.clone(), request).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == async_nats::client::RequestErrorKind::NoResponders => {
                Err(CliError::told(format!("nobody serves {subject}: is a worker running?")))
            }
            Err(error) => Err(CliError::of(format!("get an answer from {subject}"))(error)),
        }
    }

    /// Keeps every slot busy until the plan or the time is at its end, then waits for what is unanswered.
    pub async fn run(
        mut self,
        plan: Plan,
        progress: Progress,
        until: Option<Instant>,
        stop: CancellationToken,
    ) -> Result<(Connection, Tally), CliError> {
        let mut round = Round { plan, progress, until, stop, tally: Tally::new()?, busy: 0 };
        for slot in 0..self.slots.len() {
            self.next(&mut round, slot).await?;
        }
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        while round.busy > 0 {
            tokio::select! {
                biased;
                _ = look.tick() => self.look(&mut round).await?,
                reply = self.replies.next() => {
                    let mut next = reply;
                    // Whatever else is there already costs no further round through the scheduler.
                    while let Some(reply) = next {
                        self.answered(&mut round, reply).await?;
                        next = self.replies.next().now_or_never().flatten();
                    }
                }
            }
        }
        Ok((self, round.tally))
    }

    /// Fills an idle slot with the next request, if there is to be one.
    async fn next(&mut self, round: &mut Round, slot: usize) -> Result<(), CliError> {
        let now = Instant::now();
        if round.stop.is_cancelled() || round.until.is_some_and(|until| now >= until) {
            return Ok(());
        }
        let number = round.progress.0.next.fetch_add(1, Ordering::Relaxed);
        if number >= round.plan.limit() {
            return Ok(());
        }
        let payload = round.plan.payload(number);
        self.send(&round.plan, slot, number, payload.clone()).await?;
        let sent = Sent { number, payload, first_at: now, again_at: now + RESEND_AFTER, why: "no_answer" };
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.sent = Some(sent);
            round.busy += 1;
        }
        Ok(())
    }

    async fn send(&self, plan: &Plan, slot: usize, number: u64, payload: Bytes) -> Result<(), CliError> {
        let (subject, reply) = (plan.subject().to_owned(), format!("{}.{slot}-{number}-{}", self.inbox, plan.round()));
        let sent = if plan.has_keys() && plan.kind() != Requests::Pools {
            let mut headers = HeaderMap::new();
            headers.insert(KEY_HEADER, plan.key(plan.round(), number));
            self.client.publish_with_reply_and_headers(subject, reply, headers, payload).await
        } else {
            self.client.publish_with_reply(subject, reply, payload).await
        };
        sent.map_err(CliError::of("send a request"))
    }

    /// Sends again what is due for it, and gives up what has been unanswered for too long.
    async fn look(&mut self, round: &mut Round) -> Result<(), CliError> {
        let now = Instant::now();
        for index in 0..self.slots.len() {
            let Some(slot) = self.slots.get_mut(index) else { continue };
            let Some(sent) = slot.sent.as_mut().filter(|sent| now >= sent.again_at) else { continue };
            // Without a key, a request that may have been carried out is not sent twice.
            let is_safe = round.plan.has_keys() || round.plan.kind() == Requests::Pools || sent.why != "no_answer";
            if !is_safe || now - sent.first_at >= GIVE_UP_AFTER {
                slot.sent = None;
                round.busy -= 1;
                round.tally.unknown += 1;
                self.next(round, index).await?;
                continue;
            }
            round.count_again(sent.why);
            sent.again_at = now + RESEND_AFTER;
            sent.why = "no_answer";
            let (number, payload) = (sent.number, sent.payload.clone());
            self.send(&round.plan, index, number, payload).await?;
        }
        Ok(())
    }

    async fn answered(&mut self, round: &mut Round, message: Message) -> Result<(), CliError> {
        let Some(index) = self.slot_of(&message, round.plan.round()) else { return Ok(()) };
        let Some(slot) = self.slots.get_mut(index) else { return Ok(()) };
        let Some(sent) = &mut slot.sent else { return Ok(()) };
        let now = Instant::now();
        match meaning(round.plan.kind(), &message) {
            Reply::Again(why, after) => {
                sent.why = why;
                sent.again_at = now + after;
                return Ok(());
            }
            Reply::Granted(id) => round.tally.accepted.push((round.plan.round(), sent.number, id)),
            Reply::Shown => (),
            Reply::Refused(code) => *round.tally.refused.entry(code).or_default() += 1,
        }
        let micros = u64::try_from((now - sent.first_at).as_micros()).unwrap_or(u64::MAX);
        round.tally.latency.saturating_record(micros);
        round.tally.answers += 1;
        round.tally.answers_in_time += u64::from(round.until.is_none_or(|until| now < until));
        round.progress.0.answers.fetch_add(1, Ordering::Relaxed);
        slot.sent = None;
        round.busy -= 1;
        self.next(round, index).await
    }

    /// The slot that a reply belongs to; `None` for a second answer to what has been answered.
    fn slot_of(&self, message: &Message, round: &str) -> Option<usize> {
        let token = message.subject.get(self.inbox.len() + 1..)?;
        let mut parts = token.split('-');
        let (slot, number): (usize, u64) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let is_current = self.slots.get(slot)?.sent.as_ref()?.number == number && parts.next()? == round;
        is_current.then_some(slot)
    }
}

/// One connection's part of a round.
struct Round {
    plan: Plan,
    progress: Progress,
    until: Option<Instant>,
    stop: CancellationToken,
    tally: Tally,
    /// Slots with an unanswered request.
    busy: usize,
}

impl Round {
    fn count_again(&mut self, why: &'static str) {
        match self.tally.sent_again.get_mut(why) {
            Some(count) => *count += 1,
            None => drop(self.tally.sent_again.insert(why.to_owned(), 1)),
        }
    }
}

fn meaning(kind: Requests, message: &Message) -> Reply {
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        return Reply::Again("nobody_serves", RETRY_DEFAULT);
    }
    if let Some(code) = message.headers.as_ref().and_then(|headers| headers.get(ERROR_CODE_HEADER)) {
        return match code.as_str() {
            "overloaded" => Reply::Again("overloaded", retry_after(&message.payload)),
            "unavailable" => Reply::Again("unavailable", RETRY_DEFAULT),
            // It may have been done: as with no answer at all, only a key makes it safe to send again.
            "unknown_outcome" => Reply::Again("no_answer", RETRY_DEFAULT),
            code => Reply::Refused(code.to_owned()),
        };
    }
    let name: &[u8] = match kind {
        Requests::Pools => return Reply::Granted(Uuid::nil()),
        Requests::Availability => return Reply::Shown,
        Requests::Reserve => b"\"reservation_id\":\"",
        Requests::Lock => b"\"lock_id\":\"",
    };
    match id_after(&message.payload, name) {
        Some(id) => Reply::Granted(id),
        None => Reply::Refused("no_id".to_owned()),
    }
}

/// A look at the bytes instead of a parse: the load shares the machine with what it measures.
fn id_after(payload: &[u8], name: &[u8]) -> Option<Uuid> {
    let at = payload.windows(name.len()).position(|window| window == name)? + name.len();
    Uuid::try_parse_ascii(payload.get(at..at + 36)?).ok()
}

fn retry_after(payload: &[u8]) -> Duration {
    let body: Value = serde_json::from_slice(payload).unwrap_or(Value::Null);
    body.pointer("/error/details/retry_after_ms").and_then(Value::as_u64).map_or(RETRY_DEFAULT, Duration::from_millis)
}
