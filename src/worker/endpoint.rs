//! Where requests come in: subscriptions of the worker's service that are ended without losing one, and what NATS's
//! service protocol wants to know of each.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::{Client, HeaderMap, Message, PublishError, Subject, Subscriber};
use bytes::Bytes;
use futures::{FutureExt, StreamExt};

/// How long a server that answers at all takes for it.
pub const ANSWER_MAX: Duration = Duration::from_secs(1);
/// How long a worker that leaves waits for it: what comes after that is lost.
const END_MAX: Duration = Duration::from_secs(5);

/// The reply subjects that answers may go to.
#[derive(Clone, Debug)]
pub struct Inboxes(Arc<[String]>);

impl Inboxes {
    /// Those below these prefixes.
    pub fn new(prefixes: &[String]) -> Inboxes {
        Inboxes(prefixes.iter().map(|prefix| format!("{prefix}.")).collect())
    }

    pub fn has(&self, reply: &str) -> bool {
        self.0.iter().any(|inbox| reply.starts_with(inbox.as_str()))
    }
}

/// One of the service's endpoints, and what it has done.
#[derive(Debug)]
pub struct Endpoint {
    pub name: &'static str,
    pub subject: String,
    client: Client,
    pub counts: Counts,
}

/// Since the service began; a request that wants no answer counts too.
#[derive(Debug, Default)]
pub struct Counts {
    requests: AtomicU64,
    refusals: AtomicU64,
    nanoseconds: AtomicU64,
    last_refusal: Mutex<String>,
}

/// A request, and where it came in.
#[derive(Debug)]
pub struct Request {
    pub message: Message,
    arrived: Instant,
    endpoint: Arc<Endpoint>,
}

/// An endpoint's requests.
#[derive(Debug)]
pub struct Requests {
    endpoint: Arc<Endpoint>,
    subscriber: Subscriber,
}

impl Endpoint {
    pub fn new(client: &Client, name: &'static str, subject: String) -> Arc<Endpoint> {
        Arc::new(Endpoint { name, subject, client: client.clone(), counts: Counts::default() })
    }

    /// Takes this one's share of what the queue group is sent.
    pub async fn subscribe(self: &Arc<Endpoint>, queue_group: &str) -> Result<Requests, async_nats::SubscribeError> {
        let subscriber = self.client.queue_subscribe(self.subject.clone(), queue_group.to_owned()).await?;
        Ok(Requests { endpoint: self.clone(), subscriber })
    }
}

impl Requests {
    /// `None`: the connection is closed.
    pub async fn next(&mut self) -> Option<Request> {
        let message = self.subscriber.next().await?;
        Some(Request { message, arrived: Instant::now(), endpoint: self.endpoint.clone() })
    }

    /// Has the server send nothing more. What it has sent by then has come when this returns.
    ///
    /// By `unsubscribe` or `drain` the client library forgets a subscription before the server has heard of it, and
    /// drops what comes in between: under load, a burst. One with a limit it keeps until so many messages have come. The
    /// server takes a number of more than nine digits for none, and ends the subscription at once.
    pub async fn end(&mut self) -> Result<(), async_nats::Error> {
        let client = &self.endpoint.client;
        if client.connection_state() != State::Connected {
            return Err("there is no connection".into());
        }
        let heard = async {
            self.subscriber.unsubscribe_after(u64::MAX).await?;
            echo(client).await
        };
        tokio::time::timeout(END_MAX, heard).await?
    }

    /// One that has come already.
    pub fn next_now(&mut self) -> Option<Request> {
        // Unconstrained: a task that has done much without a pause is told by the runtime that nothing is there.
        tokio::task::unconstrained(self.next()).now_or_never()?
    }
}

impl Request {
    /// Answers it: `refusal` is number and code of an answer that says no. One without a reply subject is not answered.
    pub async fn answer(
        &self,
        body: Bytes,
        headers: HeaderMap,
        refusal: Option<(u16, &str)>,
    ) -> Result<(), PublishError> {
        self.endpoint.counts.add(self.arrived.elapsed(), refusal);
        let Some(reply) = self.message.reply.clone() else { return Ok(()) };
        match headers.is_empty() {
            true => self.endpoint.client.publish(reply, body).await,
            false => self.endpoint.client.publish_with_headers(reply, headers, body).await,
        }
    }
}

impl Counts {
    fn add(&self, took: Duration, refusal: Option<(u16, &str)>) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
        if let Some((number, code)) = refusal {
            self.refusals.fetch_add(1, Ordering::Relaxed);
            *self.last_refusal.lock().unwrap_or_else(PoisonError::into_inner) = format!("{number}:{code}");
        }
    }

    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    pub fn nanoseconds(&self) -> u64 {
        self.nanoseconds.load(Ordering::Relaxed)
    }

    /// `409:insufficient_capacity`; empty: there was none.
    pub fn last_refusal(&self) -> String {
        self.last_refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Returns when the server has done all that this connection has asked of it until now, and what it has sent meanwhile
/// has come: it takes one connection's words in order. An error where that takes longer than a second.
pub async fn round_trip(client: &Client) -> Result<(), async_nats::Error> {
    tokio::time::timeout(ANSWER_MAX, echo(client)).await?
}

async fn echo(client: &Client) -> Result<(), async_nats::Error> {
    let inbox: Subject = client.new_inbox().into();
    let mut echo = client.subscribe(inbox.clone()).await?;
    client.publish(inbox, Bytes::new()).await?;
    match echo.next().await {
        Some(_) => Ok(()),
        None => Err("the connection is closed".into()),
    }
}
