//! What came of commands about locks, in words; and what has to hold of it at any instant, whatever was asked for.

use std::collections::{BTreeMap, BTreeSet};

use berth::domain::command::Command;
use berth::domain::event::{Event, EventType};
use berth::domain::hold::{Hold, Status};
use berth::domain::id::{HoldId, Lane, ResourceName};
use berth::domain::lock::{Lock, Mode, Resource};
use berth::domain::outcome::{Answer, LockStatus, Outcome, Refusal, TransactItem};
use berth::domain::registry::Registry;
use berth::domain::resource::LockName;
use berth::domain::state::Changes;
use berth::domain::tick::as_of;
use berth::domain::window::Instant;

use super::book::Book;
use super::ops::{NAMES, acme, number, seconds, who};

pub fn said(outcome: &Outcome) -> Vec<String> {
    vec![match outcome {
        Ok(Answer::DryRun(answer)) => return said(&Ok((**answer).clone())),
        Ok(Answer::Lock(answer)) if answer.status == LockStatus::Queued => {
            format!("QUEUED {}", answer.place.map_or(0, |place| place.position))
        }
        Ok(Answer::Lock(answer)) => answer.status.name().to_owned(),
        Ok(Answer::Unlock(answer)) if answer.released.is_empty() => answer.status.name().to_owned(),
        Ok(Answer::Unlock(answer)) => {
            format!("{} {}", answer.status.name(), answer.released.join(","))
        }
        Ok(Answer::Renew(answer)) => answer.status.name().to_owned(),
        Ok(Answer::Registered(_)) => "REGISTERED".to_owned(),
        Ok(Answer::LockReleased(answer)) => {
            let direct = answer.claims.iter().filter_map(Hold::lock).filter(|lock| !lock.is_blocker);
            let mut ended: Vec<String> = direct.map(|it| format!("{}:{}", who(&it.requester), it.resource)).collect();
            ended.sort();
            format!("RELEASED {}", ended.join(","))
        }
        Ok(Answer::Transacted(answer)) => {
            return answer
                .results
                .iter()
                .flat_map(|item| match item {
                    TransactItem::Decided(outcome) => said(outcome),
                    TransactItem::RolledBack => vec!["ROLLED_BACK".to_owned()],
                    TransactItem::Skipped => vec!["SKIPPED".to_owned()],
                })
                .collect();
        }
        Err(Refusal::StillHeld { .. }) => "STILL_HELD".to_owned(),
        Err(_) => "REFUSED".to_owned(),
        Ok(other) => panic!("{other:?}"),
    }]
}

/// What was so before a transaction that failed may be told as it is. Which place somebody had is not compared.
pub fn agree(answer: &[String], expected: &[String]) -> bool {
    let bare = |word: &String| {
        let names = word.trim().replace(|letter: char| letter == '_' || letter.is_ascii_digit(), "");
        if word.starts_with("RELINQUISHED") { names } else { word.trim().to_owned() }
    };
    let is_same = |(is, should): (&String, &String)| {
        bare(is) == bare(should)
            || should == "ROLLED_BACK" && (is.starts_with("ALREADY_HAD") || is.starts_with("NOT_RESERVED"))
    };
    answer.len() == expected.len() && answer.iter().zip(expected).all(is_same)
}

/// A command in a few words.
pub fn asked(command: &Command) -> String {
    match command {
        Command::Lock(it) => {
            let ttl = it.ttl_seconds.map_or(String::new(), |ttl| format!(" ttl={ttl}"));
            let wait = it.wait_seconds.map_or(String::new(), |wait| format!(" wait={wait}"));
            format!("lock {} by={} {}{ttl}{wait}", it.resource, it.requester, it.mode.name())
        }
        Command::Unlock(it) => format!("unlock {} by={}", it.resource, it.requester),
        Command::Renew(it) => format!("renew {} ttl={}", it.resource, it.ttl_seconds),
        Command::Register(it) => {
            let names = |names: &[ResourceName]| names.iter().map(ResourceName::to_string).collect::<Vec<_>>();
            let (under, blocks) = (names(&it.ancestors).join(">"), names(&it.blocks).join(","));
            format!(
                "register {} x{} under={under} blocks={blocks} delay={}",
                it.name, it.capacity, it.lock_delay_seconds
            )
        }
        Command::LockRelease(it) => format!("release {}", it.resource),
        Command::Transact(it) => {
            let items: Vec<String> = it.commands.iter().map(asked).collect();
            format!("{} {}", it.method.name(), items.join("; "))
        }
        other => format!("{other:?}"),
    }
}

pub fn event(event: &Event) -> String {
    let lock = event.hold.lock().unwrap();
    let until = event.hold.expires_at.map_or("ever".to_owned(), |at| seconds(at).to_string());
    let part = if lock.is_blocker { " part" } else { "" };
    let kind = event.event_type.name();
    format!(
        "{kind} {} {}{part} v{} fence={} until={until}",
        lock.resource, lock.requester, event.hold.version, lock.fencing_token
    )
}

/// Who holds, waits and what is closed, as readers see it.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    /// Name, who, whether shared, whether for another lock, until when.
    held: BTreeSet<(String, usize, bool, bool, Option<i64>)>,
    waiting: Vec<(String, usize, bool, Option<i64>)>,
    closed: BTreeSet<(String, u32, i64)>,
}

pub fn seen(holds: &BTreeMap<HoldId, Hold>, now: Instant) -> Seen {
    let mut seen = Seen { held: BTreeSet::new(), waiting: Vec::new(), closed: BTreeSet::new() };
    let mut waiting = Vec::new();
    for hold in holds.values().map(|hold| as_of(hold.clone(), now)) {
        let lock = hold.lock().unwrap();
        let (name, who, shared) = (lock.resource.to_string(), who(&lock.requester), lock.mode == Mode::Shared);
        let until = hold.expires_at.map(seconds);
        match hold.status {
            Status::Active => drop(seen.held.insert((name, who, shared, lock.is_blocker, until))),
            Status::Waitlisted => waiting.push((hold.last_seq, (name, who, shared, until))),
            _ => {
                let opens_at = hold.opens_at().filter(|at| *at > now);
                seen.closed.extend(opens_at.map(|at| (name, lock.slot.unwrap_or(0), seconds(at))));
            }
        }
    }
    waiting.sort_unstable();
    seen.waiting = waiting.into_iter().map(|(_, it)| it).collect();
    seen
}

impl Book {
    pub fn shown(&self) -> Seen {
        let name = |name: usize| NAMES[name].to_owned();
        let held = self.tenures.iter().filter(|it| !it.waits);
        let held = held.map(|it| (name(it.name), it.who, it.shared, false, it.until));
        let part_until = |who: usize, name: usize| {
            let needing = self.tenures.iter().filter(|it| it.who == who && it.covers.contains(&name));
            let ends: Option<Vec<i64>> = needing.map(|it| it.until).collect();
            ends.and_then(|ends| ends.into_iter().max())
        };
        let parts = self.parts.iter();
        let parts = parts.map(|it| (name(it.name), it.who, it.shared, true, part_until(it.who, it.name)));
        let waiting = self.tenures.iter().filter(|it| it.waits);
        Seen {
            held: held.chain(parts).collect(),
            waiting: waiting.map(|it| (name(it.name), it.who, it.shared, it.until)).collect(),
            closed: self.closed.iter().map(|it| (name(it.0), it.1, it.2)).collect(),
        }
    }

    pub fn adopt_slots(&mut self, holds: &[&Hold]) {
        let live = holds.iter().filter(|hold| hold.status == Status::Active).filter_map(|hold| hold.lock());
        for lock in live {
            let (name, by, slot) = (number(&lock.resource), who(&lock.requester), lock.slot.unwrap_or(0));
            let direct = self.tenures.iter_mut().filter(|it| !lock.is_blocker && it.token == lock.release_token);
            direct.filter(|it| !it.waits).for_each(|it| it.slot = slot);
            let parts = self.parts.iter_mut().filter(|it| lock.is_blocker && it.who == by && it.name == name);
            parts.for_each(|it| it.slot = slot);
        }
    }

    /// What is kept of former blockers is for what needs it still: its use shows in what comes after.
    pub fn adopt_former(&mut self, registry: &Registry) {
        for (name, reg) in &mut self.regs {
            let resource = registry.get(&lock_name(super::ops::name(*name)));
            let former = resource.into_iter().flat_map(|it| &it.former_blocks);
            reg.former = former.map(number).collect();
        }
    }
}

fn lock_name(resource: ResourceName) -> LockName {
    LockName { tenant: acme(), resource }
}

/// What is written, in order.
#[derive(Debug, Default)]
pub struct Watch {
    pub resources: BTreeMap<LockName, Resource>,
    seqs: BTreeMap<Lane, i64>,
    last: BTreeMap<HoldId, Hold>,
    fences: BTreeMap<ResourceName, i64>,
}

impl Watch {
    pub fn follow(&mut self, changes: &Changes, now: Instant) -> Result<(), String> {
        for resource in &changes.resources {
            let before = self.resources.insert(resource.lock_name(), resource.clone());
            let version = before.map_or(0, |before| before.version);
            check(resource.version > version, || format!("{} v{version} then v{}", resource.name, resource.version))?;
        }
        for event in &changes.events {
            self.follow_event(event, now).map_err(|what| format!("{what}: {}", self::event(event)))?;
        }
        let written = changes.inserted.iter().chain(&changes.updated);
        let is_last = |hold: &&Hold| self.last.get(&hold.id).is_none_or(|last| last.version != hold.version);
        let odd = written.into_iter().find(is_last);
        check(odd.is_none(), || format!("no event has what is written: {odd:?}"))
    }

    fn follow_event(&mut self, event: &Event, now: Instant) -> Result<(), String> {
        let seq = self.seqs.insert(event.lane, event.seq).unwrap_or(0);
        check(event.seq == seq + 1, || format!("a gap behind {seq}"))?;
        let (hold, lock) = (&event.hold, event.hold.lock().unwrap());
        let before = self.last.insert(hold.id, hold.clone());
        let version = before.as_ref().map_or(0, |before| before.version);
        check(hold.version == version + 1, || "a gap in its versions".to_owned())?;
        let was = before.as_ref().map(|before| before.status);
        check(event.previous_status == was, || "not its last status".to_owned())?;
        let is_step = matches!(
            (event.event_type, was, hold.status),
            (EventType::Queued, None, Status::Waitlisted)
                | (EventType::Active, None | Some(Status::Waitlisted), Status::Active)
                | (EventType::Extended, Some(Status::Active), Status::Active)
                | (EventType::Ended, Some(Status::Active), Status::Ended)
                | (EventType::Canceled, Some(Status::Waitlisted), Status::Canceled)
                | (EventType::Expired, Some(Status::Active | Status::Waitlisted), Status::Expired)
        );
        check(is_step, || format!("not a step from {was:?}"))?;
        if event.event_type == EventType::Active {
            let fence = self.fences.insert(lock.resource.clone(), lock.fencing_token).unwrap_or(0);
            check(lock.fencing_token > fence, || format!("not above the fence {fence}"))?;
            let waited_until = before.filter(|it| it.status == Status::Waitlisted).and_then(|it| it.expires_at);
            check(waited_until.is_none_or(|until| until > now), || "its wait was over".to_owned())?;
        }
        Ok(())
    }
}

/// Checks what is held now and at every instant from now on at which something ends.
pub fn check_instants(holds: &BTreeMap<HoldId, Hold>, registry: &Registry, now: Instant) -> Result<(), String> {
    let mut instants: BTreeSet<Instant> = holds.values().filter_map(|hold| hold.expires_at).collect();
    instants.retain(|at| *at > now);
    for at in [now].into_iter().chain(instants) {
        let held = |hold: &&Hold| hold.status == Status::Active && hold.expires_at.is_none_or(|until| until > at);
        let held: Vec<(&Hold, &Lock)> = holds.values().filter(held).map(|hold| (hold, hold.lock().unwrap())).collect();
        check_held(&held, registry).map_err(|what| format!("at {}: {what}", seconds(at)))?;
    }
    Ok(())
}

fn check_held(held: &[(&Hold, &Lock)], registry: &Registry) -> Result<(), String> {
    for (hold, lock) in held {
        let above: Vec<&ResourceName> = registry.ancestors(&lock_name(lock.resource.clone())).collect();
        for (_, other) in held.iter().filter(|(_, other)| other.requester != lock.requester) {
            let is_same = other.resource == lock.resource && other.slot.unwrap_or(0) == lock.slot.unwrap_or(0);
            let are_shared = lock.mode == Mode::Shared && other.mode == Mode::Shared;
            let is_clash = !are_shared && (is_same || above.contains(&&other.resource));
            let pair =
                || format!("{} has {} and {} has {}", lock.requester, lock.place(), other.requester, other.place());
            check(!is_clash, pair)?;
        }
        for blocker in &lock.blockers {
            let stands = |(other, it): &(&Hold, &Lock)| {
                let lasts = other.expires_at.is_none_or(|until| hold.expires_at.is_some_and(|own| until >= own));
                it.is_blocker && it.requester == lock.requester && it.resource == *blocker && lasts
            };
            check(held.iter().any(stands), || format!("{} has {} without {blocker}", lock.requester, lock.resource))?;
        }
    }
    Ok(())
}

fn check(is_so: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(what()) }
}
