//! What the workers tell each other, so that each knows who is there: `here` four times a second, and `gone` before one
//! stops serving, which the others answer. And what comes back of what was passed on.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::{Client, Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tokio_util::sync::CancellationToken;

use super::endpoint::{ANSWER_MAX, round_trip};
use super::homes::WorkerId;
use super::intake::Intake;
use crate::wire::subject::Presence;

/// How often a worker says that it is there. A quarter of what makes it silent.
const HERE_EVERY: Duration = Duration::from_millis(250);

/// What a worker says with `here`: only those of one version pass requests on to each other.
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Debug)]
pub struct Neighbours<'a> {
    client: &'a Client,
    intake: &'a Intake,
    me: WorkerId,
    words: Subscriber,
    undelivered: Subscriber,
}

impl<'a> Neighbours<'a> {
    /// Listens to the others. This worker takes what is passed on to it from before it says that it is there.
    pub async fn listen(
        client: &'a Client,
        intake: &'a Intake,
        me: WorkerId,
    ) -> Result<Neighbours<'a>, async_nats::Error> {
        let words = client.subscribe(intake.subjects.presence_all()).await?;
        let undelivered = client.subscribe(intake.pass_on.undelivered()).await?;
        intake.pass_on.homes.begin(me.clone());
        Ok(Neighbours { client, intake, me, words, undelivered })
    }

    /// Says that it is there, and listens, until `stop`.
    pub async fn keep(&mut self, stop: &CancellationToken) {
        let mut every = tokio::time::interval(HERE_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased; // what has arrived counts before anything is found to be old
                () = stop.cancelled() => return,
                Some(message) = self.undelivered.next() => self.take_back(&message).await,
                Some(word) = self.words.next() => self.hear(&word).await,
                _ = every.tick() => {
                    self.say_here().await;
                    let now = Instant::now();
                    self.intake.pass_on.homes.forget_silent(now);
                    self.intake.pass_on.forget_old(now);
                }
            }
        }
    }

    /// Passes nothing on any more and says that it is gone. When all others have heard it, they pass nothing on to it any
    /// more; it waits a second for that.
    pub async fn leave(&mut self) {
        let others = self.intake.pass_on.homes.others();
        self.intake.pass_on.homes.end();
        self.intake.pass_on.settled().await;
        if !matches!(tokio::time::timeout(ANSWER_MAX, self.said_goodbye(others)).await, Ok(Ok(()))) {
            tracing::warn!("leaves without knowing that the other workers have heard it");
        }
    }

    /// The server takes one connection's words in order: behind the answer of a worker comes nothing that it has passed
    /// on before.
    async fn said_goodbye(&mut self, mut others: BTreeSet<WorkerId>) -> Result<(), async_nats::Error> {
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await?;
        let subject = self.intake.subjects.presence(Presence::Gone, &self.me);
        self.client.publish_with_reply(subject, inbox, Bytes::new()).await?;
        while !others.is_empty() {
            tokio::select! {
                biased; // another one may be leaving too, and waits for this one's answer
                Some(word) = self.words.next() => {
                    self.hear(&word).await;
                    if let Some((Presence::Gone, worker)) = self.intake.subjects.heard(&word.subject) {
                        others.remove(worker);
                    }
                }
                Some(answer) = answers.next() => {
                    others.remove(std::str::from_utf8(&answer.payload).unwrap_or_default());
                }
                else => return Err("the connection is closed".into()),
            }
        }
        Ok(())
    }

    /// The last of what it has passed on and nobody took: behind the server's answer comes no more of it.
    pub async fn take_all_back(mut self) {
        if let Err(error) = round_trip(self.client).await {
            tracing::warn!(%error, "leaves without knowing whether all that it passed on was taken");
        }
        // Unconstrained, as for what was submitted.
        while let Some(Some(message)) = tokio::task::unconstrained(self.undelivered.next()).now_or_never() {
            self.take_back(&message).await;
        }
    }

    async fn say_here(&self) {
        if self.client.connection_state() != State::Connected {
            return; // it would be said late, and often
        }
        let subject = self.intake.subjects.presence(Presence::Here, &self.me);
        if let Err(error) = self.client.publish(subject, VERSION.into()).await {
            tracing::debug!(%error, "could not tell the other workers");
        }
    }

    async fn hear(&self, word: &Message) {
        let homes = &self.intake.pass_on.homes;
        let Some((presence, worker)) = self.intake.subjects.heard(&word.subject) else { return };
        match presence {
            // One of another version may not know what this one takes.
            Presence::Here if word.payload != VERSION => (),
            // Who is new has not heard of this one, and waits for nobody's next time.
            Presence::Here if homes.heard(worker, Instant::now()) && worker != &*self.me => self.say_here().await,
            Presence::Here => (),
            Presence::Gone => {
                homes.gone(worker);
                self.intake.pass_on.settled().await;
                if let Some(reply) = word.reply.clone().filter(|_| worker != &*self.me)
                    && let Err(error) = self.client.publish(reply, self.me.to_string().into()).await
                {
                    tracing::debug!(%error, "could not answer a worker that leaves");
                }
            }
        }
    }

    async fn take_back(&self, message: &Message) {
        if message.status != Some(StatusCode::NO_RESPONDERS) {
            return;
        }
        if let Some(parcel) = self.intake.pass_on.take_back(&message.subject) {
            self.intake.metrics.taken_back();
            self.intake.pass_on.homes.gone(&parcel.home);
            self.intake.take_back(*parcel).await;
        }
    }
}
