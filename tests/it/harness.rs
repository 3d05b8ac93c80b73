//! One stack for the run; a berth of its own for each test.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::{self, consumer};
use berth::cli::stack::{Servers, Stack, StackOptions};
use berth::config::WorkerConfig;
use berth::store::start::Database;
use berth::worker::{self, WorkerError};
use clap::Parser;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::servers::SHARED;

/// How long anything in a test may take before it is a failure.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Awaits, or fails the test: nothing waits for ever.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("{what}: nothing within {LIMIT:?}"))
}

/// A durable stack of its own, for a test that kills servers.
pub async fn start_stack() -> Stack {
    Stack::start(StackOptions::ephemeral(Servers::find().unwrap())).await.unwrap()
}

static NEXT: AtomicU32 = AtomicU32::new(1);

/// A name that no other test of the run has: of a database and of a subject space.
pub fn fresh_name() -> String {
    format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

#[derive(Parser)]
struct Defaults {
    #[command(flatten)]
    worker: WorkerConfig,
}

/// The defaults of a worker, on these servers.
pub fn config(database_url: &str, nats_url: &str, root: &str) -> WorkerConfig {
    let arguments = ["berth", "--database-url", database_url, "--nats-url", nats_url, "--subject-root", root];
    let mut config = Defaults::parse_from(arguments).worker;
    config.http_addr = SocketAddr::from(([127, 0, 0, 1], 0));
    config.deciders = 2;
    config.homes = false; // the workers of a test meet in every lane, unless it is about homes
    config
}

/// A worker that runs in this process.
pub struct Worker {
    pub http: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), WorkerError>>,
}

impl Worker {
    /// Starts one and waits until it takes requests.
    pub async fn start(config: WorkerConfig) -> Result<Worker, WorkerError> {
        let (readiness, mut ready) = watch::channel(None);
        let stop = CancellationToken::new();
        let mut task = tokio::spawn(worker::run(config, readiness, stop.clone()));
        let http = tokio::select! {
            ended = &mut task => return Err(ended.unwrap().expect_err("a worker ends only when it is told to")),
            // Where it has none any more the worker has ended, and says why.
            Ok(http) = within("a worker's start", ready.wait_for(Option::is_some)) => http.unwrap(),
        };
        Ok(Worker { http, stop, task })
    }

    /// Stops it as SIGTERM does.
    pub async fn stop(self) {
        self.stop.cancel();
        within("a worker's end", self.task).await.unwrap().unwrap();
    }
}

/// A berth: a database, a subject space, and workers.
pub struct Berth {
    pub root: String,
    pub database_url: String,
    pub nats_url: String,
    pub nats: async_nats::Client,
    pub workers: Vec<Worker>,
    /// Whether its workers have homes.
    pub homes: bool,
}

/// An answer, as a client sees it.
#[derive(Clone, Debug)]
pub struct Reply {
    pub body: Value,
    pub bytes: Vec<u8>,
    pub headers: HeaderMap,
}

impl Reply {
    pub fn of(message: async_nats::Message) -> Reply {
        let body = serde_json::from_slice(&message.payload).unwrap();
        Reply { body, bytes: message.payload.to_vec(), headers: message.headers.unwrap_or_default() }
    }

    /// The refusal's code, or `ok`.
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or("ok")
    }

    pub fn details(&self) -> &Value {
        &self.body["error"]["details"]
    }

    pub fn is_replay(&self) -> bool {
        self.headers.get("Berth-Replayed").is_some_and(|value| value.as_str() == "true")
    }

    /// The body, for an answer that has to be one.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.code(), "ok", "{}", self.body);
        assert!(self.headers.get("Nats-Service-Error-Code").is_none(), "{:?}", self.headers);
        self.body
    }

    #[track_caller]
    pub fn refused(self, code: &str) -> Value {
        assert_eq!(self.code(), code, "{}", self.body);
        assert_eq!(self.headers.get("Nats-Service-Error").map(|value| value.as_str()), Some(code));
        self.body["error"]["details"].clone()
    }
}

impl Berth {
    /// One worker on a database of its own.
    pub async fn start() -> Berth {
        Berth::with_workers(1).await
    }

    pub async fn with_workers(count: usize) -> Berth {
        let mut berth = Berth::without_workers().await;
        for _ in 0..count {
            berth.add_worker().await;
        }
        berth
    }

    /// Database, migrated, and subject space only.
    pub async fn without_workers() -> Berth {
        let root = fresh_name();
        let name = root.clone();
        let (database_url, nats_url) =
            tokio::task::spawn_blocking(move || (SHARED.database(&name), SHARED.nats_url.clone())).await.unwrap();
        Berth::on(database_url, nats_url, root).await
    }

    /// On servers of the test's own.
    pub async fn on(database_url: String, nats_url: String, root: String) -> Berth {
        Database::connect(&database_url, 2).await.unwrap().migrate().await.unwrap();
        let nats = async_nats::connect(&nats_url).await.unwrap();
        Berth { root, database_url, nats_url, nats, workers: Vec::new(), homes: false }
    }

    pub fn config(&self) -> WorkerConfig {
        let config = config(&self.database_url, &self.nats_url, &self.root);
        WorkerConfig { homes: self.homes, ..config }
    }

    pub async fn add_worker(&mut self) {
        self.workers.push(Worker::start(self.config()).await.unwrap());
    }

    pub async fn sql(&self) -> sqlx::PgPool {
        sqlx::PgPool::connect(&self.database_url).await.unwrap()
    }

    /// Asks as the tenant `acme`.
    pub async fn ask(&self, verb: &str, body: Value) -> Reply {
        self.ask_as("acme", verb, &[], &body.to_string()).await
    }

    pub async fn ask_with_key(&self, verb: &str, key: &str, body: Value) -> Reply {
        self.ask_as("acme", verb, &[("Idempotency-Key", key)], &body.to_string()).await
    }

    pub async fn ask_as(&self, tenant: &str, verb: &str, headers: &[(&str, &str)], payload: &str) -> Reply {
        let subject = format!("{}.v1.{tenant}.{verb}", self.root);
        self.ask_subject(subject, headers, payload.as_bytes().to_vec()).await
    }

    /// Asks as the operator.
    pub async fn admin(&self, verb: &str, body: Value) -> Reply {
        self.ask_subject(format!("{}.admin.v1.{verb}", self.root), &[], body.to_string().into_bytes()).await
    }

    pub async fn ask_subject(&self, subject: String, headers: &[(&str, &str)], payload: Vec<u8>) -> Reply {
        let mut map = HeaderMap::new();
        headers.iter().for_each(|(name, value)| map.insert(*name, *value));
        let request = async_nats::Request::new().payload(payload.into()).headers(map).timeout(Some(LIMIT));
        Reply::of(self.nats.send_request(subject, request).await.unwrap())
    }

    /// A pool with so many units and a grain of a second, so that a test can see it run.
    pub async fn pool(&self, name: &str, capacity: u32) {
        self.admin("pool_put", json!({"pool": name, "capacity": capacity, "grain_seconds": 1})).await.ok();
    }

    /// The lifecycle events as they come, from the first one on.
    pub async fn events(&self) -> Events {
        let context = jetstream::new(self.nats.clone());
        let stream = context.get_stream(format!("{}_EVENTS", self.root.to_uppercase())).await.unwrap();
        let config = consumer::pull::OrderedConfig::default();
        let messages = stream.create_consumer(config).await.unwrap().messages().await.unwrap();
        Events { messages }
    }
}

pub struct Events {
    messages: consumer::pull::Ordered,
}

/// One lifecycle event.
#[derive(Clone, Debug)]
pub struct Event {
    pub subject: String,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Event {
    /// `placed`, `active` …
    pub fn kind(&self) -> &str {
        self.subject.rsplit('.').next().unwrap()
    }

    pub fn hold(&self) -> &str {
        self.body["subject"].as_str().unwrap()
    }

    pub fn version(&self) -> u64 {
        self.body["data"]["version"].as_u64().unwrap()
    }
}

impl Events {
    pub async fn next(&mut self) -> Event {
        let message = within("an event", self.messages.next()).await.unwrap().unwrap();
        let body = serde_json::from_slice(&message.payload).unwrap();
        Event { subject: message.subject.to_string(), headers: message.headers.clone().unwrap_or_default(), body }
    }

    /// The next so many.
    pub async fn take(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::with_capacity(count);
        while events.len() < count {
            events.push(self.next().await);
        }
        events
    }

    /// The types of the next so many, for one hold after another in the order in which they came.
    pub async fn kinds(&mut self, count: usize) -> Vec<String> {
        self.take(count).await.iter().map(|event| event.kind().to_owned()).collect()
    }
}

/// A whole second, so many from now, as RFC 3339.
#[allow(clippy::disallowed_methods)] // tests live in the machine's time
pub fn seconds_from_now(seconds: i64) -> String {
    let at = chrono::Utc::now() + chrono::TimeDelta::seconds(seconds);
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The start of an hour, so many hours from now.
#[allow(clippy::disallowed_methods)] // tests live in the machine's time
pub fn hours_from_now(hours: i64) -> String {
    let at = chrono::Utc::now() + chrono::TimeDelta::hours(hours);
    at.format("%Y-%m-%dT%H:00:00Z").to_string()
}

/// `GET <path>` of a worker: the status and the body.
pub async fn http_get(address: SocketAddr, path: &str) -> (u16, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("an HTTP answer", stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The value of a metric of a worker, by its name with its labels as they are exposed; 0 where it is not yet there.
pub async fn metric(address: SocketAddr, name: &str) -> f64 {
    let (_, text) = http_get(address, "/metrics").await;
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    text.lines().find_map(value).unwrap_or(0.0)
}
