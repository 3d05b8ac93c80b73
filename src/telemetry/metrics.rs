//! What a worker counts. The names, as they are scraped:
//!
//! | name | what |
//! |---|---|
//! | `berth_requests_total{verb,code}` | requests answered; `code` is `ok` or the refusal's |
//! | `berth_request_duration_seconds{verb}` | from arrival to reply |
//! | `berth_requests_in_flight` | requests in hand |
//! | `berth_batches_total`, `berth_batch_requests`, `berth_batch_events`, `berth_batch_duration_seconds` | batches committed, their sizes, from lock to commit |
//! | `berth_batches_not_committed_total{why}` | batches that were not committed as decided |
//! | `berth_passed_on_total` | requests passed on to the worker that is at home in their lane |
//! | `berth_taken_back_total` | of these, those that nobody took there |
//! | `berth_replies_dropped_total` | requests whose reply subject lies outside the inbox space |
//! | `berth_unreadable_messages_total` | messages whose subject or headers could not be read |
//! | `berth_slow_consumer_total` | times that the client library dropped messages |
//! | `berth_ticks_total`, `berth_tick_lateness_seconds` | holds changed by the clock, and how late |
//! | `berth_events_published_total`, `berth_relay_lag_seconds` | events published, and the age of the oldest of each batch |
//! | `berth_relay_backlog_events` | events that wait in the journal, as last counted |

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::TextEncoder;

use crate::wire::verb::Verb;

/// Buckets of durations, in seconds: a commit takes milliseconds, a queue seconds.
const SECONDS: [f64; 19] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Buckets of sizes of batches.
const SIZES: [f64; 11] = [1.0, 4.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0, 8192.0];

/// The metrics of one worker. Cheap to clone; every clone counts into the same figures.
#[derive(Clone, Debug)]
pub struct Metrics {
    inner: Arc<Inner>,
}

/// Why a batch was not committed as decided.
const WHYS: [&str; 5] = ["receipt_taken", "needs_locks", "refused", "lost", "unknown"];

#[derive(Debug)]
struct Inner {
    registry: prometheus::Registry,
    /// Collects for as long as it lives.
    _provider: SdkMeterProvider,
    verbs: Vec<VerbAttributes>,
    requests: Counter<u64>,
    request_duration: Histogram<f64>,
    in_flight: Arc<AtomicI64>,
    batches: Counter<u64>,
    batch_requests: Histogram<u64>,
    batch_events: Histogram<u64>,
    batch_duration: Histogram<f64>,
    not_committed: Counter<u64>,
    passed_on: Counter<u64>,
    taken_back: Counter<u64>,
    replies_dropped: Counter<u64>,
    unreadable: Counter<u64>,
    slow_consumer: Counter<u64>,
    ticks: Counter<u64>,
    tick_lateness: Histogram<f64>,
    events_published: Counter<u64>,
    relay_lag: Histogram<f64>,
    backlog: Arc<AtomicI64>,
}

/// The attributes of a verb's figures, made once.
#[derive(Debug)]
struct VerbAttributes {
    verb: [KeyValue; 1],
    ok: [KeyValue; 2],
}

impl Metrics {
    pub fn new() -> Metrics {
        let registry = prometheus::Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_target_info()
            .scope_info_enabled(false)
            .build();
        let builder = SdkMeterProvider::builder();
        let provider = match exporter {
            Ok(exporter) => builder.with_reader(exporter).build(),
            Err(error) => {
                tracing::error!(%error, "metrics are not collected");
                builder.build()
            }
        };
        let inner = Inner::new(&provider.meter("berth"), registry, provider.clone());
        inner.begin_at_zero();
        Metrics { inner: Arc::new(inner) }
    }

    /// One request was answered: `code` is `ok` or the refusal's code; seconds from arrival to reply.
    pub fn answered(&self, verb: Verb, code: &str, seconds: f64) {
        let Some(attributes) = self.inner.verbs.get(verb as usize) else { return };
        if code == "ok" {
            self.inner.requests.add(1, &attributes.ok);
        } else {
            let [verb] = attributes.verb.clone();
            self.inner.requests.add(1, &[verb, KeyValue::new("code", code.to_owned())]);
        }
        self.inner.request_duration.record(seconds, &attributes.verb);
    }

    /// A request is in hand (+1) or answered (-1).
    pub fn in_flight(&self, change: i64) {
        self.inner.in_flight.fetch_add(change, Ordering::Relaxed);
    }

    /// One batch was committed: how many requests and events, and how long from lock to commit.
    pub fn committed(&self, requests: usize, events: usize, seconds: f64) {
        self.inner.batches.add(1, &[]);
        self.inner.batch_requests.record(requests as u64, &[]);
        self.inner.batch_events.record(events as u64, &[]);
        self.inner.batch_duration.record(seconds, &[]);
    }

    /// A batch was not committed as decided: `why` is one of `WHYS`.
    pub fn not_committed(&self, why: &'static str) {
        self.inner.not_committed.add(1, &[KeyValue::new("why", why)]);
    }

    /// A request was passed on to the worker that is at home in its lane.
    pub fn passed_on(&self) {
        self.inner.passed_on.add(1, &[]);
    }

    /// A request that was passed on found nobody there.
    pub fn taken_back(&self) {
        self.inner.taken_back.add(1, &[]);
    }

    /// A request named a reply subject outside the inbox space and was dropped.
    pub fn foreign_reply(&self) {
        self.inner.replies_dropped.add(1, &[]);
    }

    /// A message's subject or headers could not be read.
    pub fn unreadable(&self) {
        self.inner.unreadable.add(1, &[]);
    }

    /// The client library dropped messages because a subscription was full.
    pub fn slow_consumer(&self) {
        self.inner.slow_consumer.add(1, &[]);
    }

    /// The clock changed so many holds, the latest by so many seconds after its instant.
    pub fn ticked(&self, holds: usize, lateness_seconds: f64) {
        self.inner.ticks.add(holds as u64, &[]);
        self.inner.tick_lateness.record(lateness_seconds, &[]);
    }

    /// The relay published so many events, the oldest so many seconds after it was decided.
    pub fn relayed(&self, events: usize, lag_seconds: f64) {
        self.inner.events_published.add(events as u64, &[]);
        self.inner.relay_lag.record(lag_seconds, &[]);
    }

    /// So many events wait in the journal.
    pub fn backlog(&self, events: i64) {
        self.inner.backlog.store(events, Ordering::Relaxed);
    }

    /// The Prometheus text format.
    pub fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.inner.registry.gather()).unwrap_or_else(|error| {
            tracing::error!(%error, "could not write the metrics out");
            String::new()
        })
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Inner {
    fn new(meter: &Meter, registry: prometheus::Registry, provider: SdkMeterProvider) -> Inner {
        let counter = |name, what| meter.u64_counter(name).with_description(what).build();
        let seconds = |name, what| {
            let histogram = meter.f64_histogram(name).with_description(what).with_unit("s");
            histogram.with_boundaries(SECONDS.to_vec()).build()
        };
        let sizes =
            |name, what| meter.u64_histogram(name).with_description(what).with_boundaries(SIZES.to_vec()).build();
        Inner {
            registry,
            _provider: provider,
            verbs: Verb::ALL.into_iter().map(VerbAttributes::of).collect(),
            requests: counter("berth_requests", "Requests answered"),
            request_duration: seconds("berth_request_duration", "From a request's arrival to its reply"),
            in_flight: gauge(meter, "berth_requests_in_flight", "Requests in hand"),
            batches: counter("berth_batches", "Batches committed"),
            batch_requests: sizes("berth_batch_requests", "Requests in a batch"),
            batch_events: sizes("berth_batch_events", "Events in a batch"),
            batch_duration: seconds("berth_batch_duration", "From a batch's lock to its commit"),
            not_committed: counter("berth_batches_not_committed", "Batches that were not committed as decided"),
            passed_on: counter("berth_passed_on", "Requests passed on to the worker that is at home in their lane"),
            taken_back: counter("berth_taken_back", "Requests passed on that nobody took there"),
            replies_dropped: counter("berth_replies_dropped", "Requests with a reply subject outside the inbox space"),
            unreadable: counter("berth_unreadable_messages", "Messages whose subject or headers could not be read"),
            slow_consumer: counter("berth_slow_consumer", "Times that the client library dropped messages"),
            ticks: counter("berth_ticks", "Holds changed by the clock"),
            tick_lateness: seconds("berth_tick_lateness", "From an instant to the change that was due at it"),
            events_published: counter("berth_events_published", "Events published"),
            relay_lag: seconds("berth_relay_lag", "From an event's decision to its publication, oldest of a batch"),
            backlog: gauge(meter, "berth_relay_backlog_events", "Events that wait in the journal"),
        }
    }

    /// A counter that is not there before it first counts hides that first time from everyone who asks for its rate.
    fn begin_at_zero(&self) {
        let counters = [
            &self.batches,
            &self.passed_on,
            &self.taken_back,
            &self.replies_dropped,
            &self.unreadable,
            &self.slow_consumer,
            &self.ticks,
            &self.events_published,
        ];
        counters.into_iter().for_each(|counter| counter.add(0, &[]));
        WHYS.into_iter().for_each(|why| self.not_committed.add(0, &[KeyValue::new("why", why)]));
    }
}

impl VerbAttributes {
    fn of(verb: Verb) -> VerbAttributes {
        let verb = KeyValue::new("verb", verb.name());
        VerbAttributes { verb: [verb.clone()], ok: [verb, KeyValue::new("code", "ok")] }
    }
}

/// A figure that is set elsewhere and read when it is scraped.
fn gauge(meter: &Meter, name: &'static str, what: &'static str) -> Arc<AtomicI64> {
    let figure = Arc::new(AtomicI64::new(0));
    let read = Arc::clone(&figure);
    let gauge = meter.i64_observable_gauge(name).with_description(what);
    gauge.with_callback(move |observer| observer.observe(read.load(Ordering::Relaxed), &[])).build();
    figure
}
