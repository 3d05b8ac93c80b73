//! What ends a relay's wait: a commit of this worker or of another one, the time, or being told to stop. And how workers
//! tell the relay that publishes what they have committed.

use std::sync::Arc;

use async_nats::connection::State;
use async_nats::{Client, Subscriber};
use futures::StreamExt;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::recent::{Recent, Source};
use super::{Relay, word};
use crate::store::journal::Entry;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    Grown,
    Timer,
    Stop,
}

#[derive(Debug)]
pub(super) struct Wakes {
    client: Client,
    subject: String,
    grown: Arc<Notify>,
    recent: Recent,
    others: Option<AbortOnDropHandle<()>>,
}

impl Wakes {
    pub(super) fn new(relay: &Relay) -> Wakes {
        let (client, subject) = (relay.client.clone(), relay.subjects.wake());
        Wakes { client, subject, grown: Arc::clone(&relay.wake), recent: relay.recent.clone(), others: None }
    }

    /// Listens to the other workers, from now on. Without it the poll finds what they commit.
    pub(super) async fn listen(&mut self) {
        if let Ok(words) = self.client.subscribe(self.subject.clone()).await {
            let hearing = hear(words, self.recent.clone(), Arc::clone(&self.grown));
            self.others = Some(AbortOnDropHandle::new(tokio::spawn(hearing)));
        }
    }

    pub(super) fn ignore_others(&mut self) {
        self.others = None;
    }

    /// Tells the holder of the lease what the journal has grown by, in so many words as it takes; without any of it
    /// that it has. A word that is lost costs one poll.
    pub(super) async fn tell(&self, entries: Vec<Entry>) {
        if self.client.connection_state() != State::Connected {
            return; // they would only pile up
        }
        for word in word::encode(&entries, self.client.max_payload()) {
            if let Err(error) = self.client.publish(self.subject.clone(), word).await {
                tracing::debug!(%error, "could not wake the relay of another worker");
            }
        }
    }

    pub(super) async fn next(&mut self, until: Instant, stop: &CancellationToken) -> Woken {
        tokio::select! {
            () = stop.cancelled() => Woken::Stop,
            () = self.grown.notified() => Woken::Grown,
            () = tokio::time::sleep_until(until) => Woken::Timer,
        }
    }
}

async fn hear(mut words: Subscriber, recent: Recent, grown: Arc<Notify>) {
    while let Some(word) = words.next().await {
        recent.add(Source::Others, word::decode(word.payload).into_iter());
        grown.notify_one();
    }
}
