//! From what was loaded to what is written and answered: everything is decided and encoded here, before the commit.

use std::collections::{BTreeMap, HashMap};

use super::answer::{Answer, fits};
use super::connect::PAYLOAD_BYTES_MIN;
use super::tenants::{LockedTenants, Opened};
use super::waiting::Waiting;
use crate::domain::command::Command;
use crate::domain::decide::decide;
use crate::domain::event::Event;
use crate::domain::id::{HoldId, Lane, Tenant};
use crate::domain::look::Look;
use crate::domain::outcome::{self, FieldReason, Outcome, Refusal};
use crate::domain::quota::TenantState;
use crate::domain::state::{Changes, Head, LaneState, Rollback, State};
use crate::domain::tick::tick_due;
use crate::store::Writes;
use crate::store::batch::{DuePage, Receipt};
use crate::store::lane::CachedLane;
use crate::wire::reply::Encoded;
use crate::wire::request::Canonical;
use crate::wire::{event, reply};

/// What a lane's cache says beside its state: it stays as it was unless the batch is committed.
#[derive(Debug)]
struct Before {
    last_batch: Option<uuid::Uuid>,
    pools_version: i64,
    registry_version: i64,
    head: Head,
}

/// A batch that waits only for its commit.
#[derive(Debug)]
pub struct Decided {
    before: BTreeMap<Lane, Before>,
    lanes: BTreeMap<Lane, LaneState>,
    rollback: Rollback,
    tenants: LockedTenants,
    tenant_states: BTreeMap<Tenant, TenantState>,
    pub changes: Changes,
    pub payloads: Vec<Vec<u8>>,
    pub receipts: Vec<Receipt>,
    /// One for each command, in their order.
    pub replies: Vec<Reply>,
    pub due: Vec<DuePage>,
    /// A key of the batch had been answered before.
    pub has_replays: bool,
}

/// What is left of a batch once it is committed.
#[derive(Debug)]
pub struct Committed {
    pub lanes: BTreeMap<Lane, CachedLane>,
    pub replies: Vec<Reply>,
    pub changes: Changes,
    /// An encoded event for each of `changes.events`.
    pub payloads: Vec<Vec<u8>>,
}

#[derive(Clone, Debug)]
pub struct Reply {
    pub answer: Answer,
    /// The version of a reservation of which the body is the JSON.
    shows: Option<(HoldId, u32)>,
    /// There is a receipt for it, from now on or from before.
    pub is_stored: bool,
    /// Nothing was decided yet: it is decided again, with the lanes of the siblings.
    is_put_off: bool,
}

impl Reply {
    pub fn is_put_off(&self) -> bool {
        self.is_put_off
    }
}

/// Carries out what is due and decides the commands, in their order.
pub fn decide_batch(commands: &[Box<Waiting>], opened: Opened) -> Decided {
    let Opened { loaded, mut tenants } = opened;
    let before = loaded.lanes.iter().map(|(lane, cached)| (*lane, Before::of(cached))).collect();
    let mut state = State::new(loaded.lanes.into_iter().map(|(lane, cached)| (lane, cached.state)).collect());
    loaded.holds.into_iter().for_each(|hold| state.load(hold));
    tenants.take().into_iter().for_each(|(tenant, known)| state.tenants_mut().load(tenant, known));
    for booked in loaded.booked {
        booked.holds.into_iter().for_each(|hold| state.load(hold));
        state.load_booked(booked.pool, booked.count);
    }
    for page in &loaded.due {
        let ids: Vec<HoldId> = page.due.iter().map(|mark| mark.id).collect();
        let full_until = page.due.last().filter(|_| page.is_full).map(|mark| mark.due_at);
        if let Some(horizon) = full_until.or(state.now(page.lane)) {
            tick_due(&mut state, &ids, horizon);
        }
    }
    let mut receipts = Vec::new();
    let mut replies = Vec::with_capacity(commands.len());
    for waiting in commands {
        let stored = waiting.receipt.and_then(|id| loaded.receipts.get(&id));
        replies.push(match stored {
            Some(receipt) => replay(waiting, receipt),
            None => decide_one(&mut state, waiting, &mut receipts),
        });
    }
    let decided = state.finish();
    Decided {
        before,
        lanes: decided.lanes,
        rollback: decided.rollback,
        tenants,
        tenant_states: decided.tenants,
        payloads: encode_events(&decided.changes.events, &replies),
        changes: decided.changes,
        receipts,
        replies,
        due: loaded.due,
        has_replays: !loaded.receipts.is_empty(),
    }
}

/// Many a reply shows the hold as its last event does: that much of the event need not be encoded again.
fn encode_events(events: &[Event], replies: &[Reply]) -> Vec<Vec<u8>> {
    let shown = replies.iter().filter_map(|reply| Some((reply.shows?, reply.answer.encoded.body.as_slice())));
    let shown: HashMap<(HoldId, u32), &[u8]> = shown.collect();
    let reply = |event: &Event| shown.get(&(event.hold.id, event.hold.version)).copied();
    events.iter().map(|event| event::encode_with(event, reply(event))).collect()
}

/// The reservation that is all of an answer, and its version.
fn shows(outcome: &Outcome) -> Option<(HoldId, u32)> {
    match outcome {
        Ok(outcome::Answer::Reservation(hold)) => Some((hold.id, hold.version)),
        _ => None,
    }
}

fn decide_one(state: &mut State, waiting: &Waiting, receipts: &mut Vec<Receipt>) -> Reply {
    let (outcome, encoded) = decide_to_fit(state, waiting);
    let is_put_off = is_put_off(waiting, &outcome);
    let is_stored = is_decided(&outcome) && waiting.receipt.is_some() && !is_put_off;
    if let (true, Some(id)) = (is_stored, waiting.receipt) {
        receipts.push(Receipt {
            id,
            tenant: waiting.request.tenant.clone(),
            verb: waiting.verb.name().to_owned(),
            request: waiting.canonical.as_bytes().to_vec(),
            body: encoded.body.clone(),
            error: encoded.error.clone(),
        });
    }
    let shows = shows(&outcome);
    let answer = Answer { encoded, is_replay: false, trace: waiting.request.trace.clone() };
    Reply { answer, shows, is_stored, is_put_off }
}

/// What names many things may be answered with more than one message takes: it is taken back then, and refused.
fn decide_to_fit(state: &mut State, waiting: &Waiting) -> (Outcome, Encoded) {
    let decided = |state: &mut State| {
        let outcome = decide(state, &waiting.request);
        let encoded = reply::outcome(&outcome);
        (outcome, encoded)
    };
    let Some(field) = many_field(&waiting.request.command) else { return decided(state) };
    let (outcome, encoded) = state.attempted(|state| {
        let (outcome, encoded) = decided(state);
        let is_kept = fits(encoded.body.len(), PAYLOAD_BYTES_MIN);
        ((outcome, encoded), is_kept)
    });
    if fits(encoded.body.len(), PAYLOAD_BYTES_MIN) {
        return (outcome, encoded);
    }
    let expected = "so few that the answer fits into one message";
    let refusal = Refusal::field(field, FieldReason::TooManyItems, expected);
    let encoded = reply::refusal(&refusal);
    (Err(refusal), encoded)
}

/// The field of a command that names many things.
fn many_field(command: &Command) -> Option<&'static str> {
    match command {
        Command::Several(_) => Some("[]"),
        Command::Transact(_) => Some("requests"),
        Command::Register(_) => Some("capacity"),
        Command::LockRelease(_) => Some("resource"),
        Command::Look(Look::Locks(_)) => Some("resources"),
        _ => None,
    }
}

/// Is it refused for want of capacity before its siblings were looked at?
fn is_put_off(waiting: &Waiting, outcome: &Outcome) -> bool {
    let siblings = &waiting.request.siblings;
    let is_full = matches!(outcome, Err(Refusal::InsufficientCapacity { .. }));
    is_full && !siblings.are_locked && !siblings.pools.is_empty()
}

fn is_decided(outcome: &Outcome) -> bool {
    match outcome {
        Ok(_) => true,
        Err(refusal) => refusal.is_decided(),
    }
}

/// The key has been used: the stored reply if it meant the same, a conflict otherwise.
fn replay(waiting: &Waiting, receipt: &Receipt) -> Reply {
    let field = match receipt.verb == waiting.verb.name() {
        true => Canonical::from_bytes(receipt.request.clone()).first_difference(&waiting.canonical),
        false => Some("verb".to_owned()),
    };
    let trace = waiting.request.trace.clone();
    let answer = match field {
        None => Answer { encoded: stored(receipt), is_replay: true, trace },
        Some(field) => {
            let encoded = reply::refusal(&Refusal::IdempotencyKeyConflict { field });
            Answer { encoded, is_replay: false, trace }
        }
    };
    Reply { answer, shows: None, is_stored: true, is_put_off: false }
}

/// The reply that a receipt keeps.
pub fn stored(receipt: &Receipt) -> reply::Encoded {
    reply::Encoded { body: receipt.body.clone(), error: receipt.error.clone() }
}

impl Before {
    fn of(cached: &CachedLane) -> Before {
        let CachedLane { last_batch, pools_version, registry_version, state } = cached;
        Before {
            last_batch: *last_batch,
            pools_version: *pools_version,
            registry_version: *registry_version,
            head: state.head,
        }
    }
}

impl Decided {
    pub fn writes(&self) -> Writes<'_> {
        Writes { changes: &self.changes, payloads: &self.payloads, receipts: &self.receipts }
    }

    /// Is there nothing to write? Then there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.receipts.is_empty()
            && self.changes.events.is_empty()
            && self.changes.updated.is_empty()
            && self.changes.resources.is_empty()
            && self.changes.pools.is_empty()
            && self.changes.tenants.is_empty()
    }

    /// The lanes as they are now that batch `id` is committed.
    pub fn committed(self, id: uuid::Uuid) -> Committed {
        let Decided { before, mut lanes, mut tenants, tenant_states, changes, replies, payloads, .. } = self;
        tenants.put_back(tenant_states, |tenant| changes.tenant_times.contains_key(tenant).then_some(id));
        let cached = |(lane, before): (Lane, Before)| {
            let state = lanes.remove(&lane)?;
            let has_new_pool = changes.pools.iter().any(|pool| pool.lane() == lane);
            let pools_version = before.pools_version + i64::from(has_new_pool);
            let has_registered = changes.resources.iter().any(|resource| resource.lock_name().lane() == lane);
            let registry_version = before.registry_version + i64::from(has_registered);
            Some((lane, CachedLane { last_batch: Some(id), pools_version, registry_version, state }))
        };
        let lanes = before.into_iter().filter_map(cached).collect();
        Committed { lanes, replies, changes, payloads }
    }

    /// Lets the tenants go, where nobody knows whether the batch was committed: the next batch reads them anew.
    pub fn forget_tenants(&mut self) {
        self.tenants = LockedTenants::default();
    }

    /// The lanes and tenants as they were, where the batch was rolled back.
    pub fn rolled_back(self) -> (BTreeMap<Lane, CachedLane>, Vec<Reply>) {
        let Decided { before, mut lanes, mut tenants, mut tenant_states, rollback, replies, .. } = self;
        rollback.apply(&mut lanes, &mut tenant_states);
        tenants.put_back(tenant_states, |_| None);
        let cached = |(lane, before): (Lane, Before)| {
            let mut state = lanes.remove(&lane)?;
            state.head = before.head;
            let Before { last_batch, pools_version, registry_version, .. } = before;
            Some((lane, CachedLane { last_batch, pools_version, registry_version, state }))
        };
        (before.into_iter().filter_map(cached).collect(), replies)
    }
}
