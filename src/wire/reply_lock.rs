//! Replies about locks.

use std::collections::BTreeMap;

use serde::Serialize;

use super::instant::Utc;
use super::view::{self, Shown};
use crate::domain::hold::{Hold, Status};
use crate::domain::id::{HoldId, ResourceName};
use crate::domain::lock::{PATH_SEPARATOR, slot_name};
use crate::domain::look::Checked;
use crate::domain::outcome::{LockAnswer, LockStatus, Registered, RenewAnswer, UnlockAnswer};

#[derive(Serialize)]
pub struct LockReply<'a> {
    resource: &'a str,
    requester: &'a str,
    status: &'static str,
    explanation: &'static str,
    release_token: Option<Shown<uuid::Uuid>>,
    fencing_token: Option<i64>,
    expires_at: Option<Utc>,
    acquired_slots: Option<BTreeMap<&'a str, String>>,
    acquired_blockers: Option<Vec<&'a str>>,
    reserved_at_path: Option<String>,
    lock_id: Option<Shown<HoldId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_wait_seconds: Option<Option<u64>>,
}

pub fn lock(answer: &LockAnswer) -> LockReply<'_> {
    // Another's claim must not show, whatever the answer carries.
    let is_own = matches!(answer.status, LockStatus::Acquired | LockStatus::AlreadyHad | LockStatus::Queued);
    let claim = answer.claim.as_ref().filter(|_| is_own);
    // Nobody can use the id and the token of a claim that only a dry run made.
    let made = claim.filter(|claim| claim.version > 0);
    let lock = claim.and_then(Hold::lock);
    let holds = claim.filter(|claim| claim.status == Status::Active);
    let held: Vec<&Hold> = holds.into_iter().chain(&answer.blockers).collect();
    let slots: BTreeMap<&str, String> = held
        .iter()
        .filter_map(|hold| hold.lock())
        .filter(|lock| lock.slot.is_some())
        .map(|lock| (lock.resource.as_str(), lock.place()))
        .collect();
    let blockers: Vec<&str> =
        answer.blockers.iter().filter_map(Hold::lock).map(|lock| lock.resource.as_str()).collect();
    LockReply {
        resource: answer.resource.as_str(),
        requester: answer.requester.as_str(),
        status: answer.status.name(),
        explanation: explanation(answer.status),
        release_token: made.and_then(Hold::lock).map(|lock| Shown(lock.release_token)),
        fencing_token: fencing_token(claim),
        expires_at: claim.and_then(|hold| hold.expires_at).map(Utc),
        acquired_slots: (!slots.is_empty()).then_some(slots),
        acquired_blockers: (!blockers.is_empty()).then_some(blockers),
        reserved_at_path: lock.and_then(|lock| path(&lock.path)),
        lock_id: made.map(|hold| Shown(hold.id)),
        position: answer.place.map(|place| place.position),
        estimated_wait_seconds: answer.place.map(|place| place.wait_seconds),
    }
}

fn explanation(status: LockStatus) -> &'static str {
    match status {
        LockStatus::Acquired => "The lock is now held by the requester.",
        LockStatus::AlreadyHad => "The requester held the lock already; nothing was changed.",
        LockStatus::AlreadyHeld => {
            "The lock, or what has to be held with it, is held by another requester, awaited by one, or closed for a \
             while; try again later."
        }
        LockStatus::NotAvailable => "All slots of the resource are taken; try again later.",
        LockStatus::NotValid => "No resource is registered that could be locked under this name and in this mode.",
        LockStatus::Queued => "The requester waits for the lock; the grant comes as the event active.",
    }
}

/// A fencing token is drawn with the grant: what waits has none, nor what only a dry run granted.
pub fn fencing_token(claim: Option<&Hold>) -> Option<i64> {
    claim.and_then(Hold::lock).map(|lock| lock.fencing_token).filter(|token| *token > 0)
}

/// The names from the root on.
pub fn path(names: &[ResourceName]) -> Option<String> {
    let names: Vec<&str> = names.iter().map(ResourceName::as_str).collect();
    (!names.is_empty()).then(|| names.join(&PATH_SEPARATOR.to_string()))
}

#[derive(Serialize)]
pub struct UnlockReply<'a> {
    requester: &'a str,
    resource: &'a str,
    status: &'static str,
    released: &'a [String],
}

pub fn unlock(answer: &UnlockAnswer) -> UnlockReply<'_> {
    UnlockReply {
        requester: answer.requester.as_str(),
        resource: answer.resource.as_str(),
        status: answer.status.name(),
        released: &answer.released,
    }
}

#[derive(Serialize)]
pub struct RenewReply<'a> {
    resource: &'a str,
    status: &'static str,
    expires_at: Option<Utc>,
    fencing_token: Option<i64>,
}

pub fn renew(answer: &RenewAnswer) -> RenewReply<'_> {
    let claim = answer.claim.as_ref();
    RenewReply {
        resource: answer.resource.as_str(),
        status: answer.status.name(),
        expires_at: claim.and_then(|hold| hold.expires_at).map(Utc),
        fencing_token: fencing_token(claim),
    }
}

/// One claim that holds a lock, as others see it.
#[derive(Serialize)]
pub struct HolderView<'a> {
    holder: &'a str,
    lock_id: Shown<HoldId>,
    mode: &'static str,
    slot: Option<String>,
    expires_at: Option<Utc>,
    fencing_token: i64,
}

pub fn holder(hold: &Hold) -> Option<HolderView<'_>> {
    let lock = hold.lock()?;
    Some(HolderView {
        holder: lock.requester.as_str(),
        lock_id: Shown(hold.id),
        mode: lock.mode.name(),
        slot: lock.slot.map(|_| lock.place()),
        expires_at: hold.expires_at.map(Utc),
        fencing_token: lock.fencing_token,
    })
}

#[derive(Serialize)]
pub struct CheckView<'a> {
    resource: &'a str,
    is_reserved: bool,
    holder: Option<&'a str>,
    expires_at: Option<Utc>,
    fencing_token: Option<i64>,
    waiting: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    holders: Vec<HolderView<'a>>,
}

/// `check`: of several holders the first stands for all, and `holders` names each.
pub fn checked(checked: &Checked) -> CheckView<'_> {
    let first = checked.holders.first();
    CheckView {
        resource: checked.resource.as_str(),
        is_reserved: checked.is_reserved,
        holder: first.and_then(Hold::lock).map(|lock| lock.requester.as_str()),
        expires_at: first.and_then(|hold| hold.expires_at).map(Utc),
        fencing_token: fencing_token(first),
        waiting: checked.waiting,
        holders: match checked.holders.len() {
            0 | 1 => Vec::new(),
            _ => checked.holders.iter().filter_map(holder).collect(),
        },
    }
}

#[derive(Serialize)]
pub struct ResourceView<'a> {
    name: &'a str,
    version: u32,
    capacity: u32,
    slots: Option<Vec<String>>,
    blocks: Vec<&'a str>,
    tree_path: Option<String>,
    resource_type: Option<&'a str>,
    lock_delay_seconds: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    holders: Option<Vec<HolderView<'a>>>,
}

/// `register`; `resources` with those who hold it.
pub fn registered<'a>(registered: &'a Registered, holders: Option<&'a [Hold]>) -> ResourceView<'a> {
    let resource = &registered.resource;
    let slots = || (0..resource.capacity).map(|slot| slot_name(&resource.name, slot)).collect();
    ResourceView {
        name: resource.name.as_str(),
        version: resource.version,
        capacity: resource.capacity,
        slots: (resource.capacity > 1).then(slots),
        blocks: resource.blocks.iter().map(ResourceName::as_str).collect(),
        tree_path: path(&registered.path),
        resource_type: resource.resource_type.as_ref().map(|label| label.as_str()),
        lock_delay_seconds: resource.lock_delay_seconds,
        holders: holders.map(|holders| holders.iter().filter_map(holder).collect()),
    }
}

/// `locks`: as events show them, never with a release token.
pub fn listed(hold: &Hold) -> Option<view::LockView<'_>> {
    hold.lock().map(|lock| view::lock(hold, lock))
}
