//! What the workers tell each other, so that each knows who is there: `here` four times a second, and `gone` before one
//! stops serving, which the others answer. And what comes back of what was passed on.

use std::time::{Duration, Instant};

use async_nats::{Client, Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tokio_util::sync::CancellationToken;

use super::homes::WorkerId;
use super::intake::Intake;
use crate::wire::subject::Presence;

/// How often a worker says that it is there. A quarter of what makes it silent.
const HERE_EVERY: Duration = Duration::from_millis(250);

/// How long a server that answers at all takes for it.
const ANSWER_MAX: Duration = Duration::from_secs(1);

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
                () = stop.cancelled() => return,
                _ = every.tick() => {
                    self.say_here().await;
                    let now = Instant::now();
                    self.intake.pass_on.homes.forget_silent(now);
                    self.intake.pass_on.forget_old(now);
                }
                Some(word) = self.words.next() => self.hear(&word).await,
                Some(message) = self.undelivered.next() => self.take_back(&message).await,
            }
        }
    }

    /// Passes nothing on any more and says that it is gone. When this returns, the others pass nothing on to it any more,
    /// and what it has passed on itself is taken or has come back.
    pub async fn leave(mut self) {
        let others = self.intake.pass_on.homes.others();
        self.intake.pass_on.homes.end();
        if !matches!(tokio::time::timeout(ANSWER_MAX, self.said_goodbye(others)).await, Ok(Ok(()))) {
            tracing::warn!("leaves without knowing that the other workers have heard it");
        }
        while let Some(Some(message)) = self.undelivered.next().now_or_never() {
            self.take_back(&message).await;
        }
    }

    /// The server takes one connection's words in order: behind the answer of each of the others comes nothing that it
    /// has passed on before, and behind the server's own nothing that nobody took.
    async fn said_goodbye(&mut self, others: usize) -> Result<(), async_nats::Error> {
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await?;
        let subject = self.intake.subjects.presence(Presence::Gone, &self.me);
        self.client.publish_with_reply(subject, inbox, Bytes::new()).await?;
        let mut answered = 0;
        while answered < others {
            tokio::select! {
                Some(_) = answers.next() => answered += 1,
                Some(word) = self.words.next() => self.hear(&word).await, // another one may be leaving too
            }
        }
        let ping = format!("$SRV.PING.{}.{}", self.intake.subjects.root(), self.me);
        self.client.request(ping, Bytes::new()).await?;
        Ok(())
    }

    async fn say_here(&self) {
        let subject = self.intake.subjects.presence(Presence::Here, &self.me);
        if let Err(error) = self.client.publish(subject, Bytes::new()).await {
            tracing::debug!(%error, "could not tell the other workers");
        }
    }

    async fn hear(&self, word: &Message) {
        let homes = &self.intake.pass_on.homes;
        let Some((presence, worker)) = self.intake.subjects.heard(&word.subject) else { return };
        match presence {
            // Who is new has not heard of this one, and waits for nobody's next time.
            Presence::Here if homes.heard(worker, Instant::now()) && worker != &*self.me => self.say_here().await,
            Presence::Here => (),
            Presence::Gone => {
                homes.gone(worker);
                let answered = async {
                    match &word.reply {
                        Some(reply) if worker != &*self.me => self.client.publish(reply.clone(), Bytes::new()).await,
                        _ => Ok(()),
                    }
                };
                if let Err(error) = answered.await {
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
            self.intake.take_back(parcel).await;
        }
    }
}
