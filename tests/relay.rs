//! The streams and the relay on a real nats-server and a real Postgres. Each test has a database and a subject root of
//! its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests may fail loudly too

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::{self};
use berth::domain::event::EventType;
use berth::domain::hold::Kind;
use berth::domain::id::{Lane, Tenant};
use berth::relay::{Recent, Relay, Source};
use berth::store::journal::{Entry, Journal};
use berth::store::start::Database;
use berth::telemetry::Metrics;
use berth::wire::subject::Subjects;
use berth::worker::streams::prepare;
use futures::StreamExt;
use sqlx::{Connection, PgConnection};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

#[path = "relay/restored.rs"]
mod restored;
#[path = "servers/mod.rs"]
mod servers;
#[path = "relay/streams.rs"]
mod streams;
use servers::SHARED;

/// How long anything may take before it is a failure.
const LONGEST: Duration = Duration::from_secs(40);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONGEST, future).await.unwrap_or_else(|_| panic!("{what}: nothing within {LONGEST:?}"))
}

fn fresh_root() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("r{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

async fn connect() -> async_nats::Client {
    async_nats::connect(&SHARED.nats_url).await.unwrap()
}

/// A subject root of its own on the shared server.
async fn space() -> (async_nats::Client, jetstream::Context, Subjects) {
    let nats = connect().await;
    (nats.clone(), jetstream::new(nats), Subjects::new(&fresh_root()).unwrap())
}

/// A journal, its stream, and what has come out so far.
struct Berth {
    nats: async_nats::Client,
    context: jetstream::Context,
    subjects: Subjects,
    database_url: String,
    sql: PgConnection,
}

/// A relay that runs in this process.
struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
    wake: Arc<Notify>,
    recent: Recent,
    metrics: Metrics,
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        within("a relay's end", self.task).await.unwrap();
    }
}

impl Berth {
    async fn new() -> Berth {
        let (nats, context, subjects) = space().await;
        let name = subjects.root().to_owned();
        let database_url = tokio::task::spawn_blocking(move || SHARED.database(&name)).await.unwrap();
        Database::connect(&database_url, 2).await.unwrap().migrate().await.unwrap();
        prepare(&nats, &subjects).await.unwrap();
        let sql = PgConnection::connect(&database_url).await.unwrap();
        Berth { nats, context, subjects, database_url, sql }
    }

    /// With connections of its own, as another worker has them.
    async fn relay(&self) -> Running {
        let (stop, wake, metrics) = (CancellationToken::new(), Arc::new(Notify::new()), Metrics::new());
        let recent = Recent::default();
        let relay = Relay {
            client: connect().await,
            subjects: self.subjects.clone(),
            journal: Journal::new(Database::connect(&self.database_url, 3).await.unwrap()),
            metrics: metrics.clone(),
            wake: Arc::clone(&wake),
            recent: recent.clone(),
            backlog: Arc::new(AtomicI64::new(0)),
        };
        Running { task: tokio::spawn(relay.run(stop.clone())), stop, wake, recent, metrics }
    }

    /// Commits `count` more events of each of these lanes, as a batch does.
    async fn commit(&mut self, lanes: std::ops::Range<i16>, count: i64) {
        let mut transaction = self.sql.begin().await.unwrap();
        let append = "insert into journal (lane, seq, hold_id, version, tenant, kind, label, event_type, at, payload) \
            select lane, seq + number, gen_random_uuid(), 1, 'acme', 'lock', 'UserDefined', 'active', now(), \
            convert_to(lane || ':' || seq + number, 'UTF8') \
            from lane, generate_series(1, $3) as number where lane >= $1 and lane < $2 for update of lane";
        sqlx::query(append).bind(lanes.start).bind(lanes.end).bind(count).execute(&mut *transaction).await.unwrap();
        let count_up = "update lane set seq = seq + $3 where lane >= $1 and lane < $2";
        sqlx::query(count_up).bind(lanes.start).bind(lanes.end).bind(count).execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
    }

    /// Runs a relay until the stream has so many events and the cursors have come up with the journal.
    async fn publish(&mut self, count: u64) {
        let relay = self.relay().await;
        self.stored(count).await;
        self.settle().await;
        relay.stop().await;
    }

    /// As another relay does behind the back of one that runs.
    async fn publish_behind(&self, place: &str, payload: &str) {
        let mut headers = HeaderMap::new();
        headers.insert("Berth-Seq", place);
        let subject = format!("{}.event.v1.acme.lock.UserDefined.active", self.subjects.root());
        let payload = payload.to_owned().into();
        self.context.publish_with_headers(subject, headers, payload).await.unwrap().await.unwrap();
    }

    async fn run(&mut self, sql: &'static str) {
        sqlx::query(sql).execute(&mut self.sql).await.unwrap();
    }

    /// Waits until the stream has stored so many. (Core subscribers see events before, and those of refused batches.)
    async fn stored(&self, count: u64) {
        let stored = async {
            while self.last_sequence().await < count {
                tokio::task::yield_now().await;
            }
        };
        within(&format!("event {count} in the stream"), stored).await;
    }

    /// Waits until the cursors have come up with the journal.
    async fn settle(&mut self) {
        let settled = async {
            loop {
                let count =
                    "select count(*) from lane join relay_cursor using (lane) where lane.seq <> relay_cursor.seq";
                let behind: i64 = sqlx::query_scalar(count).fetch_one(&mut self.sql).await.unwrap();
                if behind == 0 {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        within("the cursors", settled).await;
    }

    async fn last_sequence(&self) -> u64 {
        let name = self.subjects.stream("EVENTS");
        self.context.get_stream(name).await.unwrap().cached_info().state.last_sequence
    }

    /// The whole stream: of each lane, its numbers in their order.
    async fn stream(&self) -> BTreeMap<i16, Vec<i64>> {
        let stream = self.context.get_stream(self.subjects.stream("EVENTS")).await.unwrap();
        let mut lanes: BTreeMap<i16, Vec<i64>> = BTreeMap::new();
        for sequence in 1..=stream.cached_info().state.last_sequence {
            let message = stream.get_raw_message(sequence).await.unwrap();
            let place = message.headers.get("Berth-Seq").unwrap().as_str().to_owned();
            assert_eq!(message.payload, place.as_bytes(), "the payload is the stored one");
            let (lane, seq) = place.split_once(':').unwrap();
            lanes.entry(lane.parse().unwrap()).or_default().push(seq.parse().unwrap());
        }
        lanes
    }

    /// Every event of the journal stands in the stream once, each lane in its order.
    async fn check_whole(&mut self) {
        let ends: Vec<(i16, i64)> =
            sqlx::query_as("select lane, seq from lane where seq > 0").fetch_all(&mut self.sql).await.unwrap();
        let expected = ends.into_iter().map(|(lane, end)| (lane, (1..=end).collect())).collect();
        assert_eq!(self.stream().await, expected);
    }
}

#[tokio::test]
async fn events_leave_in_order_without_gaps_under_their_subject_and_headers() {
    let mut berth = Berth::new().await;
    berth.commit(0..64, 3).await;
    let relay = berth.relay().await;
    berth.stored(192).await;
    for _ in 0..20 {
        berth.commit(5..9, 1).await;
        relay.wake.notify_one();
    }
    berth.stored(272).await;
    berth.settle().await;
    berth.check_whole().await;
    assert!(relay.metrics.render().contains("berth_events_published_total 272"));
    relay.stop().await;

    let stream = berth.context.get_stream(berth.subjects.stream("EVENTS")).await.unwrap();
    let message = stream.get_raw_message(1).await.unwrap();
    assert_eq!(message.subject.as_str(), format!("{}.event.v1.acme.lock.UserDefined.active", berth.subjects.root()));
    let header = |name: &str| message.headers.get(name).map(|value| value.as_str().to_owned());
    assert_eq!(header("Content-Type").as_deref(), Some("application/cloudevents+json"));
    assert_eq!(header("Nats-Msg-Id").map(|id| id.len()), Some(36));
    let holder: Option<uuid::Uuid> =
        sqlx::query_scalar("select holder from lease").fetch_one(&mut berth.sql).await.unwrap();
    assert_eq!(holder, None, "a relay that stops gives its lease up");
}

#[tokio::test]
async fn more_than_a_batch_leaves_whole() {
    let mut berth = Berth::new().await;
    berth.commit(0..64, 50).await;
    berth.commit(7..8, 2_500).await;
    let relay = berth.relay().await;
    berth.stored(64 * 50 + 2_500).await;
    berth.settle().await;
    berth.check_whole().await;
    relay.stop().await;
}

#[tokio::test]
async fn a_relay_that_stops_publishes_what_was_decided_before() {
    let mut berth = Berth::new().await;
    for round in 1..=8 {
        let relay = berth.relay().await;
        berth.commit(1..2, 1).await;
        berth.stored(2 * round - 1).await; // it holds the lease
        berth.commit(1..2, 1).await;
        relay.stop().await;
        assert_eq!(berth.last_sequence().await, 2 * round);
    }
    berth.check_whole().await;
}

#[tokio::test]
async fn what_was_published_before_the_cursors_moved_is_not_published_again() {
    let mut berth = Berth::new().await;
    // One batch acknowledged, one in flight: the most that can stand above the cursors.
    berth.commit(3..4, 2_000).await;
    berth.publish(2_000).await;
    for (kept, end) in [
        ("update relay_cursor set seq = 0", 2_002),
        ("update relay_cursor set seq = 1000 where lane = 3", 2_004),
        ("update relay_cursor set seq = 2001 where lane = 3", 2_006),
    ] {
        berth.run(kept).await;
        let relay = berth.relay().await;
        berth.commit(3..5, 1).await;
        berth.stored(end).await;
        berth.settle().await;
        relay.stop().await;
        berth.check_whole().await;
    }
}

#[tokio::test]
async fn a_relay_killed_between_acknowledgement_and_cursor_repeats_nothing() {
    let mut berth = Berth::new().await;
    let relay = berth.relay().await;
    berth.commit(1..2, 1).await;
    berth.stored(1).await;
    berth.settle().await;
    // The cursors cannot move while their rows are locked.
    let mut keeper = PgConnection::connect(&berth.database_url).await.unwrap();
    let mut locked = keeper.begin().await.unwrap();
    sqlx::query("select from relay_cursor for update").execute(&mut *locked).await.unwrap();
    berth.commit(1..4, 5).await;
    berth.stored(16).await;
    relay.task.abort();
    let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
        where datname = current_database() and wait_event_type = 'Lock'";
    sqlx::query(end).execute(&mut berth.sql).await.unwrap();
    locked.rollback().await.unwrap();
    let moved: i64 =
        sqlx::query_scalar("select sum(seq)::bigint from relay_cursor").fetch_one(&mut berth.sql).await.unwrap();
    assert_eq!(moved, 1, "the cursors stand where they were");
    berth.run("update lease set expires_at = now()").await;

    let relay = berth.relay().await;
    berth.commit(1..2, 1).await;
    berth.stored(17).await;
    berth.settle().await;
    berth.check_whole().await;
    relay.stop().await;
}

#[tokio::test]
async fn what_the_streams_end_tells_is_stored_before_more_is_published() {
    let mut berth = Berth::new().await;
    berth.commit(1..2, 3).await;
    berth.publish(3).await;
    // As if a relay had been killed before it stored them.
    berth.run("update relay_cursor set seq = 1 where lane = 1").await;
    let mut keeper = PgConnection::connect(&berth.database_url).await.unwrap();
    let mut locked = keeper.begin().await.unwrap();
    sqlx::query("select from relay_cursor for update").execute(&mut *locked).await.unwrap();
    berth.commit(1..2, 1).await;
    let relay = berth.relay().await;
    let waits = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let waiting = async {
        while sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut berth.sql).await.unwrap() == 0 {
            tokio::task::yield_now().await;
        }
    };
    within("the cursors are being stored", waiting).await;
    for _ in 0..200 {
        assert_eq!(berth.last_sequence().await, 3, "nothing is published before they are");
    }
    locked.rollback().await.unwrap();
    berth.stored(4).await;
    berth.settle().await;
    berth.check_whole().await;
    relay.stop().await;
}

#[tokio::test]
async fn of_two_relays_each_event_comes_once() {
    let mut berth = Berth::new().await;
    let relays = [berth.relay().await, berth.relay().await];
    for round in 0..30 {
        berth.commit(0..8, 4).await;
        relays[round % 2].wake.notify_one();
        // The lease moves on in the middle of the work: both believe that they hold it.
        if round % 5 == 4 {
            berth.run("update lease set expires_at = now()").await;
        }
    }
    berth.stored(30 * 8 * 4).await;
    berth.settle().await;
    for relay in relays {
        relay.stop().await;
    }
    berth.check_whole().await;
}

#[tokio::test]
async fn a_relay_whose_stream_has_moved_on_is_fenced_and_learns_it() {
    let mut berth = Berth::new().await;
    let relay = berth.relay().await;
    berth.commit(2..3, 1).await;
    berth.stored(1).await;
    berth.settle().await;
    // Another relay publishes 2:2 behind this one's back.
    berth.publish_behind("2:2", "2:2").await;
    berth.commit(2..3, 2).await;
    berth.stored(3).await;
    berth.settle().await;
    berth.check_whole().await;
    relay.stop().await;
}

#[tokio::test]
async fn a_batch_that_is_sent_ahead_is_dropped_when_the_stream_moves_on_before_its_turn() {
    let mut berth = Berth::new().await;
    berth.commit(5..6, 9_000).await;
    let relay = berth.relay().await;
    for seq in 1..=3 {
        // Between batches of lane 5, of which there is always one ahead, another relay publishes an event of lane 9.
        berth.stored(seq * 2_000).await;
        berth.publish_behind(&format!("9:{seq}"), &format!("9:{seq}")).await;
        berth.commit(9..10, 1).await;
    }
    berth.stored(9_003).await;
    berth.settle().await;
    berth.check_whole().await;
    relay.stop().await;
}

#[tokio::test]
async fn a_relay_that_stands_by_wakes_the_holder_and_follows_it() {
    let mut berth = Berth::new().await;
    let holder = berth.relay().await;
    berth.commit(0..1, 1).await;
    berth.stored(1).await;
    let mut wakes = berth.nats.subscribe(berth.subjects.wake()).await.unwrap();
    berth.nats.flush().await.unwrap();
    let other = berth.relay().await;
    other.wake.notify_one();
    within("the word to the holder", wakes.next()).await.unwrap();
    holder.stop().await;
    berth.commit(0..1, 1).await;
    berth.stored(2).await;
    berth.settle().await;
    berth.check_whole().await;
    other.stop().await;
}

/// What is told here stands in no journal, so that it can come from nowhere else.
#[tokio::test]
async fn what_another_worker_tells_of_its_commits_is_not_read_back_from_the_journal() {
    let mut berth = Berth::new().await;
    let holder = berth.relay().await;
    berth.commit(0..1, 1).await;
    berth.stored(1).await;
    let other = berth.relay().await;
    let told = Entry {
        lane: Lane::FIRST,
        seq: 2,
        event_id: uuid::Uuid::from_u128(7),
        tenant: Tenant::parse("acme").unwrap(),
        kind: Kind::Lock,
        label: "UserDefined".to_owned(),
        event_type: EventType::Active,
        at: chrono::DateTime::UNIX_EPOCH,
        payload: b"0:2".to_vec(),
    };
    let published = async {
        while berth.last_sequence().await < 2 {
            // Before it stands by, a relay keeps nothing to tell.
            other.recent.add(Source::Commands, std::iter::once(told.clone()));
            other.wake.notify_one();
        }
    };
    within("the event that was told", published).await;
    assert_eq!(berth.stream().await, BTreeMap::from([(0, vec![1, 2])]));
    other.stop().await;
    holder.stop().await;
}

#[tokio::test]
async fn when_the_stream_is_missing_events_wait_and_cursors_stay() {
    let mut berth = Berth::new().await;
    let relay = berth.relay().await;
    berth.commit(0..1, 2).await;
    berth.stored(2).await;
    berth.settle().await;
    berth.context.delete_stream(berth.subjects.stream("EVENTS")).await.unwrap();
    let mut seen = berth.nats.subscribe(berth.subjects.event_all()).await.unwrap();
    berth.nats.flush().await.unwrap();
    berth.commit(0..1, 2).await;
    relay.wake.notify_one();
    within("an attempt, which no stream stores", seen.next()).await.unwrap();
    prepare(&berth.nats, &berth.subjects).await.unwrap();
    berth.settle().await;
    relay.stop().await;
    assert_eq!(berth.stream().await, BTreeMap::from([(0, vec![3, 4])]));
}

#[tokio::test]
async fn an_event_too_large_for_the_server_holds_its_lane_alone() {
    let mut berth = Berth::new().await;
    berth.commit(0..2, 2).await;
    berth.run("update journal set payload = convert_to(repeat('x', 2000000), 'UTF8') where lane = 1 and seq = 1").await;
    let relay = berth.relay().await;
    berth.stored(2).await;
    berth.commit(0..1, 1).await;
    berth.stored(3).await;
    assert_eq!(berth.stream().await, BTreeMap::from([(0, vec![1, 2, 3])]));
    relay.stop().await;
}
