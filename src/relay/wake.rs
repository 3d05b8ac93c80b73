//! What ends a relay's wait: a commit of this worker, a word of another one, the time, or being told to stop.

use std::sync::Arc;

use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Most messages taken off the subscription at once.
const TAKEN_MAX: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    Locally,
    ByAnother,
    Timer,
    Stop,
}

#[derive(Debug)]
pub(super) struct Wakes {
    client: Client,
    subject: String,
    local: Arc<Notify>,
    /// `None` until it is first needed, and after the client closed it.
    others: Option<Subscriber>,
}

impl Wakes {
    pub(super) fn new(client: Client, subject: String, local: Arc<Notify>) -> Wakes {
        Wakes { client, subject, local, others: None }
    }

    /// Listens to the other workers, from now on. Without it the poll finds what they commit.
    pub(super) async fn listen(&mut self) {
        if self.others.is_none() {
            self.others = self.client.subscribe(self.subject.clone()).await.ok();
        }
    }

    pub(super) fn ignore_others(&mut self) {
        self.others = None;
    }

    /// Tells the holder of the lease that the journal has grown. A message that is lost costs one poll.
    pub(super) async fn pass_on(&self) {
        if let Err(error) = self.client.publish(self.subject.clone(), Bytes::new()).await {
            tracing::debug!(%error, "could not wake the relay of another worker");
        }
    }

    /// Takes what has arrived: everything committed before now is about to be read. A full subscription would count
    /// as a slow consumer.
    pub(super) fn take_all(&mut self) {
        let Some(others) = &mut self.others else { return };
        for _ in 0..TAKEN_MAX {
            match others.next().now_or_never() {
                Some(Some(_)) => {}
                Some(None) => return self.ignore_others(),
                None => return,
            }
        }
    }

    pub(super) async fn next(&mut self, until: Instant, stop: &CancellationToken) -> Woken {
        let others = async {
            match &mut self.others {
                Some(others) => others.next().await.is_some(),
                None => std::future::pending().await,
            }
        };
        let is_closed = tokio::select! {
            () = stop.cancelled() => return Woken::Stop,
            () = self.local.notified() => return Woken::Locally,
            () = tokio::time::sleep_until(until) => return Woken::Timer,
            is_open = others => !is_open,
        };
        if is_closed {
            self.ignore_others();
        }
        Woken::ByAnother
    }
}
