//! Is what was answered what happened? Answers, database and stream are held against each other, whatever was killed
//! meanwhile. Every sum and every order is worked out here anew: the worker's own are what is in question.

use std::collections::{BTreeMap, BTreeSet};

use async_nats::jetstream;
use berth::domain::id::{IdempotencyKey, ReceiptId, Tenant};
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use crate::crashes::process::until;
use crate::harness::{Berth, Event, Reply, within};
use crate::locks::claims_never_collide;

/// A decided answer to a request of the tenant `acme`.
#[derive(Clone, Debug)]
pub struct Answered {
    pub verb: String,
    pub key: Option<String>,
    pub reply: Reply,
}

impl Answered {
    /// The reservations and locks that the request made, or, where it waits already, found.
    fn made(&self) -> Vec<Uuid> {
        let body = &self.reply.body;
        let made = |field: &str| vec![uuid(&body[field])];
        match self.verb.as_str() {
            "reserve" if self.reply.code() == "ok" => made("reservation_id"),
            "lock" if body["status"] == "ACQUIRED" || body["status"] == "QUEUED" => made("lock_id"),
            "transact" => body["results"].as_array().unwrap().iter().filter_map(made_by_item).collect(),
            _ => Vec::new(),
        }
    }

    /// How many locks it gave back, with places in queues.
    fn released(&self) -> usize {
        self.items("unlock").filter(|body| body["status"] == "RELINQUISHED").count()
    }

    /// How many reservations it canceled.
    fn canceled(&self) -> usize {
        self.items("cancel").filter(|body| body["status"] == "Canceled").count()
    }

    /// What answers a command of this kind: its own reply, or some of those within a transaction.
    fn items(&self, verb: &str) -> impl Iterator<Item = &Value> {
        let own = (self.verb == verb).then_some(&self.reply.body);
        let within = if self.verb == "transact" { self.reply.body["results"].as_array() } else { None };
        own.into_iter().chain(within.into_iter().flatten())
    }

    /// The reservation as it was answered.
    fn reservation(&self) -> Option<&Value> {
        let body = &self.reply.body;
        match self.verb.as_str() {
            "reserve" | "extend" | "cancel" | "confirm" if self.reply.code() == "ok" => Some(body),
            "terminate" if self.reply.code() == "ok" => Some(&body["reservation"]),
            _ => None,
        }
    }

    /// Is it the answer to its key from then on?
    fn is_stored(&self) -> bool {
        let number = self.reply.headers.get("Nats-Service-Error-Code").map(|number| number.as_str());
        matches!(number, None | Some("409" | "422")) || self.reply.code() == "quota_exceeded"
    }
}

#[derive(sqlx::FromRow)]
struct JournalRow {
    lane: i16,
    seq: i64,
    payload: Vec<u8>,
}

#[derive(Debug, sqlx::FromRow)]
struct HoldRow {
    id: Uuid,
    version: i32,
    status: String,
    is_blocker: bool,
}

/// What an item of a transaction made, where it stands: a reservation that it ended is over.
fn made_by_item(item: &Value) -> Option<Uuid> {
    match (item["status"].as_str()?, item.get("lock_id"), item.get("reservation_id")) {
        ("ACQUIRED", Some(id), _) | ("Held" | "Pending" | "Active", _, Some(id)) => Some(uuid(id)),
        _ => None,
    }
}

/// Waits until nothing is due soon and all is published, then checks the whole of a berth to which nobody but the
/// requests of `answered` (of each key at least one) has spoken. A retry may stand beside what it repeats.
pub async fn check(berth: &Berth, answered: &[Answered]) {
    let sql = berth.sql().await;
    let (events, holds) = check_history(berth, &sql).await;
    keys_have_one_answer(&sql, answered).await;
    answers_are_kept(&holds, answered);
    requests_have_one_effect(&holds, &events, answered);
}

/// The same without the answers.
async fn check_history(berth: &Berth, sql: &PgPool) -> (Vec<Event>, BTreeMap<Uuid, HoldRow>) {
    let is_quiet = "select count(*) = 0 from hold where due_at < now() + interval '30 seconds'";
    within("nothing due", until(async || sqlx::query_scalar(is_quiet).fetch_one(sql).await.unwrap())).await;
    let journal: Vec<JournalRow> =
        sqlx::query_as("select lane, seq, payload from journal order by lane, seq").fetch_all(sql).await.unwrap();
    let events = published(berth, sql, &journal).await;
    let holds: Vec<HoldRow> =
        sqlx::query_as("select id, version, status::text, coalesce(is_blocker, false) as is_blocker from hold")
            .fetch_all(sql)
            .await
            .unwrap();
    let holds = holds.into_iter().map(|row| (row.id, row)).collect();
    journal_and_stream_agree(&journal, &events);
    lanes_have_no_gaps(sql, &events).await;
    versions_have_no_gaps(&holds, &events);
    fences_rise(&events);
    claims_never_collide(sql).await;
    pools_are_never_overbooked(sql).await;
    (events, holds)
}

/// The same of a berth of which only its locks are of interest; gives the events.
pub async fn check_locks(berth: &Berth) -> Vec<Event> {
    check_history(berth, &berth.sql().await).await.0
}

/// All that the stream has, once it has everything that the journal has, and the relay knows so.
async fn published(berth: &Berth, sql: &PgPool, journal: &[JournalRow]) -> Vec<Event> {
    let mut missing: BTreeSet<(i16, i64)> = journal.iter().map(|row| (row.lane, row.seq)).collect();
    let mut stream = berth.events().await;
    let mut events = Vec::with_capacity(journal.len());
    while !missing.is_empty() {
        let event = stream.next().await;
        missing.remove(&place(&event));
        events.push(event);
    }
    let has_moved = "select bool_and(lane.seq = relay_cursor.seq) from lane join relay_cursor using (lane)";
    within("the cursors", until(async || sqlx::query_scalar(has_moved).fetch_one(sql).await.unwrap())).await;
    // Nothing is published behind this: whatever else is there is too much, and is read too.
    let name = format!("{}_EVENTS", berth.root.to_uppercase());
    let info = jetstream::new(berth.nats.clone()).get_stream(name).await.unwrap().get_info().await.unwrap();
    let surplus = usize::try_from(info.state.messages).unwrap() - events.len();
    events.extend(stream.take(surplus).await);
    events
}

fn journal_and_stream_agree(journal: &[JournalRow], events: &[Event]) {
    let in_stream: BTreeMap<(i16, i64), &Value> = events.iter().map(|event| (place(event), &event.body)).collect();
    assert_eq!(events.len(), in_stream.len(), "events stand in the stream twice");
    assert_eq!(events.len(), journal.len(), "the stream has what the journal has not");
    for row in journal {
        let payload: Value = serde_json::from_slice(&row.payload).unwrap();
        assert_eq!(in_stream[&(row.lane, row.seq)], &payload);
    }
}

async fn lanes_have_no_gaps(sql: &PgPool, events: &[Event]) {
    let mut last: BTreeMap<i16, i64> = BTreeMap::new();
    for event in events {
        let (lane, seq) = place(event);
        let before = last.insert(lane, seq).unwrap_or(0);
        assert_eq!(seq, before + 1, "lane {lane}");
    }
    let lanes: Vec<(i16, i64)> =
        sqlx::query_as("select lane, seq from lane where seq > 0").fetch_all(sql).await.unwrap();
    assert_eq!(last, lanes.into_iter().collect(), "the last event of each lane");
}

fn versions_have_no_gaps(holds: &BTreeMap<Uuid, HoldRow>, events: &[Event]) {
    let mut versions: BTreeMap<Uuid, Vec<u64>> = BTreeMap::new();
    for event in events {
        versions.entry(event.hold().parse().unwrap()).or_default().push(event.version());
    }
    assert!(holds.keys().eq(versions.keys()), "each hold has events, and each event a hold");
    for (id, versions) in versions {
        let last = u64::try_from(holds[&id].version).unwrap();
        assert_eq!(versions, (1..=last).collect::<Vec<u64>>(), "{id}");
    }
}

/// Each grant has a larger token than all grants of its resource before, and keeps it.
fn fences_rise(events: &[Event]) {
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    let mut of_claim: BTreeMap<&str, i64> = BTreeMap::new();
    for event in events.iter().filter(|event| event.body["data"]["kind"] == "lock") {
        let data = &event.body["data"];
        let resource = data["resource"].as_str().unwrap();
        let fence = data["fencing_token"].as_i64();
        if event.kind() == "active" {
            let before = last.insert(resource, fence.unwrap());
            assert!(before < fence, "{resource}: {fence:?} after {before:?}");
            of_claim.insert(event.hold(), fence.unwrap());
        } else {
            assert_eq!(fence, of_claim.get(event.hold()).copied(), "{resource}: {event:?}");
        }
    }
}

async fn pools_are_never_overbooked(sql: &PgPool) {
    let rows: Vec<(String, i64, i64, i64, i64)> = sqlx::query_as(
        "select pool.name, pool.capacity, (extract(epoch from start_time) * 1e6)::bigint,
            (extract(epoch from end_time) * 1e6)::bigint, units
         from reservation_interval join pool on pool.name = reservation_interval.pool",
    )
    .fetch_all(sql)
    .await
    .unwrap();
    let mut pools: BTreeMap<(String, i64), BTreeMap<i64, i64>> = BTreeMap::new();
    for (pool, capacity, start, end, units) in rows {
        let steps = pools.entry((pool, capacity)).or_default();
        *steps.entry(start).or_default() += units;
        *steps.entry(end).or_default() -= units;
    }
    for ((pool, capacity), steps) in pools {
        let mut used = 0;
        for (at, step) in steps {
            used += step;
            assert!(used <= capacity, "{pool}: {used} of {capacity} at {at} µs");
        }
    }
}

/// What is stored under a key is what was answered, and nothing is stored under any other.
async fn keys_have_one_answer(sql: &PgPool, answered: &[Answered]) {
    // A body that is not in its receipt stands in the event that the receipt names, which has to be there and fit.
    let stored: Vec<(Uuid, Vec<u8>)> = sqlx::query_as(
        "select id, coalesce(body, substring(payload from body_from + 1 for body_length) || '}'::bytea)
         from receipt left join journal on (journal.lane, journal.seq, journal.hold_id, journal.version)
            = (event_lane, event_seq, event_hold_id, event_version)",
    )
    .fetch_all(sql)
    .await
    .unwrap();
    let mut stored: BTreeMap<Uuid, Vec<u8>> = stored.into_iter().collect();
    let count = stored.len();
    let mut keys = BTreeSet::new();
    for answer in answered.iter().filter(|answer| answer.is_stored()) {
        let Some(key) = &answer.key else { continue };
        assert_ne!(answer.reply.code(), "idempotency_key_conflict", "{key}");
        let id = ReceiptId::of(Tenant::parse("acme").as_ref(), &IdempotencyKey::parse(key).unwrap()).uuid();
        let body = stored.get_mut(&id).unwrap_or_else(|| panic!("{key} was answered and has no receipt"));
        assert_eq!(String::from_utf8_lossy(body), String::from_utf8_lossy(&answer.reply.bytes), "{key}");
        keys.insert(id);
    }
    assert_eq!(keys.len(), count, "there are receipts for keys that nobody was answered under");
}

/// What was answered is there, at that version or a later one.
fn answers_are_kept(holds: &BTreeMap<Uuid, HoldRow>, answered: &[Answered]) {
    for answer in answered {
        if let Some(reservation) = answer.reservation() {
            let row = holds.get(&uuid(&reservation["reservation_id"])).unwrap_or_else(|| panic!("lost: {answer:?}"));
            let version = reservation["version"].as_i64().unwrap();
            assert!(i64::from(row.version) >= version, "{row:?}: {answer:?}");
            if ["Canceled", "Ended"].contains(&reservation["status"].as_str().unwrap()) {
                assert_eq!(row.status, reservation["status"].as_str().unwrap(), "{answer:?}");
            }
        }
    }
}

/// As many reservations, locks, extensions and releases as were answered: none for a request that was repeated.
fn requests_have_one_effect(holds: &BTreeMap<Uuid, HoldRow>, events: &[Event], answered: &[Answered]) {
    let mut requests: Vec<&Answered> = answered.iter().collect();
    requests.sort_by_key(|answer| &answer.key);
    requests.dedup_by(|left, right| left.key.is_some() && left.key == right.key);
    let mut made: Vec<Uuid> = requests.iter().flat_map(|answer| answer.made()).collect();
    made.sort_unstable();
    made.dedup_by(|left, right| left == right && is_lock(events, left)); // who waits already is told so
    let asked_for: Vec<&Uuid> = holds.values().filter(|row| !row.is_blocker).map(|row| &row.id).collect();
    assert!(made.iter().eq(asked_for.iter().copied()), "answered: {made:?}, there: {asked_for:?}");
    let count = |kind: &str, event_type: &str| {
        let is_it = |event: &&Event| {
            let data = &event.body["data"];
            data["kind"] == kind && event.kind() == event_type && data["is_blocker"] != true
        };
        events.iter().filter(is_it).count()
    };
    let answers = |is_it: fn(&Answered) -> bool| requests.iter().filter(|answer| is_it(answer)).count();
    let extended = answers(|answer| answer.verb == "extend" && answer.reply.code() == "ok");
    assert_eq!(count("reservation", "extended"), extended, "extensions");
    let canceled: usize = requests.iter().map(|answer| answer.canceled()).sum();
    assert_eq!(count("reservation", "canceled"), canceled, "cancellations");
    let released: usize = requests.iter().map(|answer| answer.released()).sum();
    assert_eq!(count("lock", "ended") + count("lock", "canceled"), released, "releases");
}

fn is_lock(events: &[Event], id: &Uuid) -> bool {
    events.iter().any(|event| event.body["data"]["lock_id"].as_str() == Some(&id.to_string()))
}

/// `Berth-Seq`: lane and number.
fn place(event: &Event) -> (i16, i64) {
    let header = event.headers.get("Berth-Seq").unwrap().as_str();
    let (lane, seq) = header.split_once(':').unwrap();
    (lane.parse().unwrap(), seq.parse().unwrap())
}

fn uuid(value: &Value) -> Uuid {
    value.as_str().unwrap().parse().unwrap()
}
