//! A database for each test, holds and pools to fill it with, and batches to write them.

use std::collections::BTreeMap;
use std::sync::Arc;

use berth::clock;
use berth::domain::event::EventType;
use berth::domain::hold::{Claim, Hold, Opaque, Reservation, Status, Units};
use berth::domain::id::{
    Entropy, HoldId, IdempotencyKey, Label, Lane, LaneSet, PoolName, ReceiptId, Requester, ResourceName, ResourceType,
    Tenant,
};
use berth::domain::lock::{Lock, Mode};
use berth::domain::resource::{Capacity, LockName, Policy, Pool, Zones};
use berth::domain::state::{Cause, Changes, LaneState, State};
use berth::domain::window::{Instant, Interval};
use berth::store::batch::{Receipt, Wants};
use berth::store::lane::CachedLane;
use berth::store::start::Database;
use berth::store::{BatchId, CommitError, Loaded, Session, Writes};
use chrono::TimeDelta;
use sqlx::{AssertSqlSafe, Executor, Row};

use crate::servers::SHARED;

/// How often a test looks whether something has come about, each look a query.
const LOOKS_MAX: u32 = 20_000;

pub type Cache = BTreeMap<Lane, CachedLane>;

/// The URL of a new, empty database.
pub async fn empty_database() -> String {
    let name = format!("berth_{}", clock::random_uuid().simple());
    tokio::task::spawn_blocking(move || SHARED.database(&name)).await.unwrap()
}

pub async fn database() -> Database {
    let database = Database::connect(&empty_database().await, 5).await.unwrap();
    database.migrate().await.unwrap();
    database
}

/// Runs statements that the test makes up.
pub async fn execute(database: &Database, text: impl Into<String>) {
    database.pool().execute(AssertSqlSafe(text.into())).await.unwrap();
}

pub async fn count(database: &Database, text: &str) -> i64 {
    database.pool().fetch_one(AssertSqlSafe(text.to_owned())).await.unwrap().get(0)
}

/// Returns once so many backends of this database wait for a lock of another.
pub async fn until_waiting(database: &Database, backends: i64) {
    let waiting =
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    for _ in 0..LOOKS_MAX {
        if count(database, waiting).await >= backends {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("nobody waits");
}

pub fn tenant() -> Tenant {
    Tenant::parse("acme").unwrap()
}

pub fn pool_name(name: &str) -> PoolName {
    PoolName::parse(name).unwrap()
}

pub fn label(text: &str) -> Label {
    Label::parse(text).unwrap()
}

pub fn json(text: &str) -> Option<Opaque> {
    Some(Opaque::new(text))
}

pub fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

pub fn hours(count: i64) -> TimeDelta {
    TimeDelta::hours(count)
}

pub fn new_id(lane: Lane) -> HoldId {
    HoldId::mint(clock::now(), lane, &clock::entropy())
}

/// The `number`th id of those that were minted in the order of `number`.
pub fn id_of(lane: Lane, number: i64) -> HoldId {
    HoldId::mint(at("2026-01-01T00:00:00Z") + TimeDelta::seconds(number), lane, &Entropy::new([7; 16]))
}

pub fn pool(name: &str, units: u32) -> Pool {
    Pool {
        name: pool_name(name),
        version: 1,
        capacity: Capacity::Constant(units),
        zones: Zones::new(),
        instance_type: None,
        region: None,
        policy: Policy::default(),
        offers: Vec::new(),
        instance_spec: None,
        tags: None,
    }
}

/// A reservation of `quantity` units of a pool over one window, as it is before its first event.
pub fn reservation(id: HoldId, pool: &PoolName, status: Status, from: Instant, to: Instant, quantity: u32) -> Hold {
    let reservation = Reservation {
        pool: pool.clone(),
        zone: None,
        name: None,
        instance_type: None,
        region: None,
        intervals: vec![Interval { start: from, end: to, quantity }],
        units: Units::default(),
        units_bound: 0,
        launch_specification: None,
        tags: None,
        offer_key: label("standard"),
        unit_price_cents: 0,
        return_buyback_price_cents: 0,
        pause_buyback_price_cents: 0,
        total_price_cents: 0,
        start_time: from,
        end_time: to,
        quantity,
        paused_at: None,
        ending_soon_seconds: 0,
        warned_end: None,
    };
    Hold { status, claim: Claim::Reservation(reservation.into()), ..bare(id) }
}

pub fn lock(resource: &str, expires_at: Option<Instant>) -> Hold {
    let name = lock_name(resource);
    let mut hold = Hold { expires_at, ..bare(new_id(name.lane())) };
    hold.lock_mut().unwrap().resource = name.resource;
    hold
}

fn bare(id: HoldId) -> Hold {
    Hold {
        id,
        tenant: tenant(),
        status: Status::Active,
        end_reason: None,
        version: 0,
        created_at: at("2026-01-01T00:00:00.000001Z"),
        created_by: None,
        deactivated_at: None,
        expires_at: None,
        last_seq: 0,
        claim: Claim::Lock(Arc::new(Lock {
            requester: Requester::parse("me").unwrap(),
            resource: ResourceName::parse("r").unwrap(),
            resource_type: ResourceType::parse("T").unwrap(),
            release_token: id.uuid(),
            fencing_token: 1,
            mode: Mode::Exclusive,
            slot: None,
            ttl_seconds: Some(60),
            is_blocker: false,
            blockers: Vec::new(),
            path: Vec::new(),
            delay_seconds: 0,
        })),
    }
}

pub fn lock_name(resource: &str) -> LockName {
    LockName { tenant: tenant(), resource: ResourceName::parse(resource).unwrap() }
}

pub fn receipt(key: &str) -> Receipt {
    Receipt {
        id: ReceiptId::of(Some(&tenant()), &IdempotencyKey::parse(key).unwrap()),
        tenant: Some(tenant()),
        verb: "lock".to_owned(),
        request: b"{}".to_vec(),
        body: b"{}".to_vec(),
        error: None,
        told: None,
    }
}

pub fn batch() -> BatchId {
    BatchId(clock::random_uuid())
}

pub fn lanes(lanes: impl IntoIterator<Item = Lane>) -> Wants {
    Wants { lanes: LaneSet::from_iter(lanes), ..Wants::default() }
}

pub fn all_lanes() -> Wants {
    lanes(Lane::all())
}

/// The state that a batch decides upon.
pub fn state(loaded: Loaded) -> State {
    let lanes: BTreeMap<Lane, LaneState> =
        loaded.lanes.into_iter().map(|(lane, cached)| (lane, cached.state)).collect();
    let mut state = State::new(lanes);
    loaded.holds.into_iter().for_each(|hold| state.load(hold));
    state
}

/// One change to a state as it stands: the next version of a hold.
pub fn record(state: &mut State, hold: Hold, event_type: EventType) -> Hold {
    let effective_at = state.now(hold.id.lane()).unwrap();
    state.record(hold, event_type, effective_at, &Cause::clock())
}

pub async fn commit(session: &mut Session, batch: BatchId, changes: &Changes) -> Result<(), CommitError> {
    commit_with(session, batch, changes, &[]).await
}

pub async fn commit_with(
    session: &mut Session,
    batch: BatchId,
    changes: &Changes,
    receipts: &[Receipt],
) -> Result<(), CommitError> {
    let payload = |event: &berth::domain::event::Event| format!("{}:{}", event.lane.number(), event.seq).into_bytes();
    let payloads: Vec<Vec<u8>> = changes.events.iter().map(payload).collect();
    session.commit(batch, &Writes { changes, payloads: &payloads, receipts }).await
}

/// One batch from begin to commit on a session with no cache. Gives what is then known of the lanes.
pub async fn transact(session: &mut Session, wants: &Wants, decide: impl FnOnce(&mut State)) -> Cache {
    let batch = batch();
    let loaded = session.open(wants, Cache::new()).await.unwrap();
    let versions: BTreeMap<Lane, i64> =
        loaded.lanes.iter().map(|(lane, cached)| (*lane, cached.pools_version)).collect();
    let mut state = state(loaded);
    decide(&mut state);
    let decided = state.finish();
    commit(session, batch, &decided.changes).await.unwrap();
    let changed = |lane| decided.changes.pools.iter().any(|pool| pool.lane() == lane);
    let known = |(lane, state)| {
        let pools_version = versions[&lane] + i64::from(changed(lane));
        (lane, CachedLane { last_batch: Some(batch.0), pools_version, registry_version: 0, tenants_batch: None, state })
    };
    decided.lanes.into_iter().map(known).collect()
}
