//! From what was loaded to what is written and answered: everything is decided and encoded here, before the commit.

use std::collections::BTreeMap;

use super::answer::{Answer, fits};
use super::connect::PAYLOAD_BYTES_MIN;
use super::tenants::{LockedTenants, Opened};
use super::told;
use super::waiting::Waiting;
use crate::domain::command::Command;
use crate::domain::decide::decide;
use crate::domain::event::Event;
use crate::domain::id::{HoldId, Lane, Tenant};
use crate::domain::look::Look;
use crate::domain::outcome::{FieldReason, Outcome, Refusal};
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
    tenants_batch: Option<uuid::Uuid>,
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
    /// Which of the batch's events shows what the body shows.
    event: Option<usize>,
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
    let mut receipts = Receipts::default();
    let mut replies = Vec::with_capacity(commands.len());
    for waiting in commands {
        let stored = waiting.receipt.and_then(|id| loaded.receipts.get(&id));
        replies.push(match stored {
            Some(receipt) => replay(waiting, receipt),
            None => decide_one(&mut state, waiting, &mut receipts),
        });
    }
    let decided = state.finish();
    let payloads = encode_events(&decided.changes.events, &replies);
    Decided {
        before,
        lanes: decided.lanes,
        rollback: decided.rollback,
        tenants,
        tenant_states: decided.tenants,
        receipts: receipts.told_in(&decided.changes.events, &payloads),
        changes: decided.changes,
        payloads,
        replies,
        due: loaded.due,
        has_replays: !loaded.receipts.is_empty(),
    }
}

/// What a reply shows need not be encoded again for the event that shows it too.
fn encode_events(events: &[Event], replies: &[Reply]) -> Vec<Vec<u8>> {
    let mut shown: Vec<Option<&[u8]>> = vec![None; events.len()];
    for reply in replies {
        if let Some(place) = reply.event.and_then(|place| shown.get_mut(place)) {
            *place = Some(&reply.answer.encoded.body);
        }
    }
    events.iter().zip(shown).map(|(event, reply)| event::encode_with(event, reply)).collect()
}

/// The receipts of a batch, each with the place of the event that may have its body in it.
#[derive(Default)]
struct Receipts(Vec<(Receipt, Option<usize>)>);

impl Receipts {
    fn told_in(self, events: &[Event], payloads: &[Vec<u8>]) -> Vec<Receipt> {
        let told = |(mut receipt, place): (Receipt, Option<usize>)| {
            let event = place.and_then(|place| events.get(place).zip(payloads.get(place)));
            receipt.told = event.and_then(|(event, payload)| told::within(&receipt.body, event, payload));
            receipt
        };
        self.0.into_iter().map(told).collect()
    }
}

fn decide_one(state: &mut State, waiting: &Waiting, receipts: &mut Receipts) -> Reply {
    let (outcome, encoded) = decide_to_fit(state, waiting);
    let event = told::event_of(&outcome, state.events());
    let is_put_off = is_put_off(waiting, &outcome);
    let is_stored = is_decided(&outcome) && waiting.receipt.is_some() && !is_put_off;
    if let (true, Some(id)) = (is_stored, waiting.receipt) {
        let receipt = Receipt {
            id,
            tenant: waiting.request.tenant.clone(),
            verb: waiting.verb.name().to_owned(),
            request: waiting.canonical.as_bytes().to_vec(),
            body: encoded.body.clone(),
            error: encoded.error.clone(),
            told: None,
        };
        receipts.0.push((receipt, event));
    }
    let answer = Answer { encoded, is_replay: false, trace: waiting.request.trace.clone() };
    Reply { answer, event, is_stored, is_put_off }
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
    Reply { answer, event: None, is_stored: true, is_put_off: false }
}

/// The reply that a receipt keeps. Where somebody has removed the event that it stood in, only that there was one is
/// known: that is no reason to fail the requests around it.
pub fn stored(receipt: &Receipt) -> reply::Encoded {
    if receipt.body.is_empty() {
        return reply::refusal(&Refusal::UnknownOutcome);
    }
    reply::Encoded { body: receipt.body.clone(), error: receipt.error.clone() }
}

impl Before {
    fn of(cached: &CachedLane) -> Before {
        let CachedLane { last_batch, pools_version, registry_version, tenants_batch, state } = cached;
        Before {
            last_batch: *last_batch,
            pools_version: *pools_version,
            registry_version: *registry_version,
            tenants_batch: *tenants_batch,
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
            let tenants_batch = if changes.tenants.is_empty() { before.tenants_batch } else { Some(id) };
            let last_batch = Some(id);
            Some((lane, CachedLane { last_batch, pools_version, registry_version, tenants_batch, state }))
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
            let Before { last_batch, pools_version, registry_version, tenants_batch, .. } = before;
            Some((lane, CachedLane { last_batch, pools_version, registry_version, tenants_batch, state }))
        };
        (before.into_iter().filter_map(cached).collect(), replies)
    }
}
