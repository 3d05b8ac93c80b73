//! One connection's share of the load: a fixed number of slots, each with one unanswered request, and one wildcard
//! subscription that tells by the last token of the reply's subject which slot was answered. A request and its
//! answer then cost no task, no timer and no subscription of their own.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, Subscriber};
use futures::{FutureExt, StreamExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::pace::{Pace, Turn};
use super::plan::Plan;
use super::reply::{self, Said};
use super::slot::{Request, Sent, Slot};
use super::tally::Tally;
use crate::cli::{CliError, KEY_HEADER};
use crate::wire::verb::Verb;

/// How often slots are looked through for what has to be sent again.
const LOOK: Duration = Duration::from_millis(10);
/// Unanswered for so long, a request is sent again under its key.
const RESEND_AFTER: Duration = Duration::from_secs(5);
/// Unanswered for so long, its outcome is given up as unknown.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

/// A connection with its slots.
#[derive(Debug)]
pub struct Connection {
    client: Client,
    replies: Subscriber,
    inbox: String,
    slots: Vec<Slot>,
    /// Those with nothing unanswered, the one that became so last at the end.
    idle: Vec<usize>,
}

/// One connection's part of a round.
#[derive(Debug)]
pub struct Round {
    pub plan: Plan,
    pub pace: Pace,
    /// How many answers all connections have got.
    pub answers: Arc<AtomicU64>,
    pub stop: CancellationToken,
    pub tally: Tally,
}

impl Connection {
    pub async fn open(client: Client, in_flight: usize) -> Result<Connection, CliError> {
        let inbox = client.new_inbox();
        let replies = client.subscribe(format!("{inbox}.*")).await.map_err(CliError::of("subscribe to the replies"))?;
        let idle = (0..in_flight).rev().collect();
        Ok(Connection { client, replies, inbox, slots: vec![Slot::default(); in_flight], idle })
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

    /// Sends at its pace until that is at its end, then waits for what is unanswered.
    pub async fn run(mut self, mut round: Round) -> Result<(Connection, Tally), CliError> {
        let waker = round.pace.waker();
        self.fill(&mut round).await?;
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        while !round.pace.is_over() || self.idle.len() < self.slots.len() {
            tokio::select! {
                biased;
                _ = look.tick() => self.look(&mut round).await?,
                () = waker.due() => (),
                reply = self.replies.next() => {
                    let mut next = reply;
                    // Whatever else is there already costs no further round through the scheduler.
                    while let Some(reply) = next {
                        self.answered(&mut round, &reply)?;
                        self.fill(&mut round).await?;
                        next = self.replies.next().now_or_never().flatten();
                    }
                }
            }
            self.fill(&mut round).await?;
        }
        round.tally.behind = round.pace.behind();
        Ok((self, round.tally))
    }

    /// Gives idle slots their next requests, as far as it is time for them.
    async fn fill(&mut self, round: &mut Round) -> Result<(), CliError> {
        if round.stop.is_cancelled() {
            round.pace.end();
        }
        while let Some(index) = self.idle.last().copied() {
            let now = Instant::now();
            let Turn::Send { number, due } = round.pace.turn(now) else { break };
            self.idle.pop();
            let Some(slot) = self.slots.get_mut(index) else { continue };
            let request = round.plan.request(number, &slot.has);
            let sent = Sent { number, request, due, first_at: now, again_at: now + RESEND_AFTER, why: "no_answer" };
            let request = slot.sent.insert(sent).request.clone();
            self.send(&round.plan, index, number, request).await?;
        }
        Ok(())
    }

    async fn send(&self, plan: &Plan, slot: usize, number: u64, request: Request) -> Result<(), CliError> {
        let Some(subject) = plan.subject(&request).cloned() else { return Ok(()) };
        let mut reply = String::with_capacity(self.inbox.len() + 32);
        // Writing to a String can't fail.
        let _ = write!(reply, "{}.{slot}-{number}-{}", self.inbox, plan.round());
        let sent = if plan.run().has_keys && request.verb != Verb::PoolPut {
            let mut headers = HeaderMap::new();
            headers.insert(KEY_HEADER, plan.run().key(plan.round(), number));
            self.client.publish_with_reply_and_headers(subject, reply, headers, request.payload).await
        } else {
            self.client.publish_with_reply(subject, reply, request.payload).await
        };
        sent.map_err(CliError::of("send a request"))
    }

    /// Sends again what is due for it, and gives up what has been unanswered for too long.
    async fn look(&mut self, round: &mut Round) -> Result<(), CliError> {
        let now = Instant::now();
        for index in 0..self.slots.len() {
            let Some(Slot { sent: unanswered, has }) = self.slots.get_mut(index) else { continue };
            let Some(sent) = unanswered.as_mut().filter(|sent| now >= sent.again_at) else { continue };
            // Without a key, a request that may have been carried out is not sent twice, unless it does no harm.
            let is_harmless = matches!(sent.request.verb, Verb::PoolPut | Verb::Get | Verb::Availability);
            let is_safe = round.plan.run().has_keys || is_harmless || sent.why != "no_answer";
            if !is_safe || now - sent.first_at >= GIVE_UP_AFTER {
                round.tally.give_up(&sent.request, has);
                *unanswered = None;
                self.idle.push(index);
                continue;
            }
            round.tally.count_again(sent.why);
            sent.again_at = now + RESEND_AFTER;
            sent.why = "no_answer";
            let (number, request) = (sent.number, sent.request.clone());
            self.send(&round.plan, index, number, request).await?;
        }
        Ok(())
    }

    fn answered(&mut self, round: &mut Round, message: &Message) -> Result<(), CliError> {
        let Some(index) = self.slot_of(message, round.plan.round()) else { return Ok(()) };
        let Some(Slot { sent: unanswered, has }) = self.slots.get_mut(index) else { return Ok(()) };
        let now = Instant::now();
        let said = reply::said(message);
        if let (Some(sent), Said::Again(why, after)) = (unanswered.as_mut(), &said) {
            sent.why = why;
            sent.again_at = now + *after;
            return Ok(());
        }
        let Some(sent) = unanswered.take() else { return Ok(()) };
        round.tally.settle(round.plan.round(), &sent, has, message, &said)?;
        round.tally.time(&sent, now, round.pace.is_in_time(now))?;
        round.answers.fetch_add(sent.request.items.into(), Ordering::Relaxed);
        self.idle.push(index);
        Ok(())
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
