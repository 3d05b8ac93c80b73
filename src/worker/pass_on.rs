//! Passes requests on to the worker that is at home in their lane, which answers them. What nobody takes there comes
//! back: the server says so (`no responders`) to a reply subject of this worker's, and the requester's travels in a
//! header. So nobody else may subscribe to these subjects, not by `>` either.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_nats::Client;
use async_nats::connection::State;
use tokio::sync::{RwLock, RwLockReadGuard};

use super::answer::Answerer;
use super::homes::{Homes, WorkerId};
use super::intake::Arrival;
use super::kept::Kept;
use crate::wire::subject::Subjects;

/// The reply subject that the message came with: of a submitted one, where it is acknowledged. Empty: it had none.
pub const REPLY_HEADER: &str = "Berth-Reply";
/// The key of a submitted message that brings none.
pub const OWN_KEY_HEADER: &str = "Berth-Own-Key";

/// What a message grows by at most when it is passed on, bytes: the subject and the header.
const GROWTH: usize = 1024;

/// A request on its way.
#[derive(Debug)]
pub struct Parcel {
    pub home: WorkerId,
    pub arrival: Arrival,
    pub answerer: Answerer,
}

#[derive(Clone, Debug)]
pub struct PassOn {
    pub homes: Homes,
    client: Client,
    subjects: Subjects,
    inbox: Arc<str>,
    /// Held for reading from the look where a lane is at home until a request is on its way there.
    sending: Arc<RwLock<()>>,
    /// What was sent, in case that nobody takes it.
    kept: Arc<Mutex<Kept<Parcel>>>,
}

impl PassOn {
    pub fn new(client: Client, subjects: Subjects) -> PassOn {
        let inbox = client.new_inbox().into();
        PassOn { homes: Homes::default(), client, subjects, inbox, sending: Arc::default(), kept: Arc::default() }
    }

    /// While it is held, what has been seen of the homes holds for what is sent.
    pub async fn begin(&self) -> RwLockReadGuard<'_, ()> {
        self.sending.read().await
    }

    /// Returns when nothing is being sent any more to where lanes were at home before.
    pub async fn settled(&self) {
        drop(self.sending.write().await);
    }

    /// Where the server says that nobody has taken a request.
    pub fn undelivered(&self) -> String {
        format!("{}.*", self.inbox)
    }

    /// Sends it to its home. What can't be sent is given back.
    pub async fn send(&self, parcel: Parcel) -> Result<(), Box<Parcel>> {
        let message = parcel.answerer.message();
        let is_connected = self.client.connection_state() == State::Connected;
        if !is_connected || message.length + GROWTH > self.client.max_payload() {
            return Err(Box::new(parcel));
        }
        let subject = format!("{}.{}", self.subjects.home(&parcel.home), message.subject);
        let mut headers = parcel.arrival.headers.clone();
        headers.insert(REPLY_HEADER, message.reply.as_deref().unwrap_or_default());
        if let Some(own_key) = &parcel.arrival.own_key {
            headers.insert(OWN_KEY_HEADER, own_key.as_str());
        }
        let payload = parcel.arrival.payload.clone();
        let number = self.with(|kept| kept.keep(parcel, payload.len(), Instant::now()))?;
        let undelivered = format!("{}.{number}", self.inbox);
        match self.client.publish_with_reply_and_headers(subject, undelivered, headers, payload).await {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::warn!(%error, "could not pass a request on");
                self.with(|kept| kept.take(number)).map_or(Ok(()), Err)
            }
        }
    }

    /// What was passed on under the number that is the last token of this subject.
    pub fn take_back(&self, subject: &str) -> Option<Box<Parcel>> {
        let number = subject.rsplit('.').next()?.parse().ok()?;
        self.with(|kept| kept.take(number))
    }

    /// Lets go of what has been taken by now.
    pub fn forget_old(&self, now: Instant) {
        self.with(|kept| kept.forget_old(now));
    }

    fn with<T>(&self, change: impl FnOnce(&mut Kept<Parcel>) -> T) -> T {
        change(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
