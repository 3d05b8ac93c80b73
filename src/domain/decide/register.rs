//! `register`: says what a resource is; what is not given takes its default, whatever was registered before. Who holds
//! it keeps it with its place and its blockers.

use std::collections::BTreeSet;

use super::{Caller, check};
use crate::domain::command::Register;
use crate::domain::contention;
use crate::domain::hold::Status;
use crate::domain::id::ResourceName;
use crate::domain::lock::{BLOCKS_MAX, DEPTH_MAX, RELATED_BYTES_MAX, RELATED_MAX, Resource, slot_name};
use crate::domain::outcome::{Answer, FieldReason, Outcome, Refusal, Registered};
use crate::domain::resource::LockName;
use crate::domain::state::State;
use crate::domain::tick::tick_related;

pub(super) fn decide(state: &mut State, caller: &Caller, command: &Register) -> Outcome {
    let name = caller.lock_name(&command.name);
    let lane = name.lane();
    let names = command.ancestors.iter().chain(&command.blocks).map(|resource| caller.lock_name(resource));
    let named: Vec<LockName> = names.chain([name.clone()]).collect();
    named.iter().for_each(|name| tick_related(state, name));
    // What it leaves, too, can be had by others than before.
    let concerned = state.related(&named);
    let registry = state.registry(lane).ok_or(Refusal::NotFound)?;
    if named.iter().any(|name| registry.is_place(name)) {
        return Err(check::out_of_range(
            "name",
            "no name of a place of another resource, nor its blockers and ancestors",
        ));
    }
    let places = (0..command.capacity).filter(|_| command.capacity > 1).map(|slot| slot_name(&command.name, slot));
    let mut names = places.filter_map(|place| ResourceName::parse(&place)).map(|place| caller.lock_name(&place));
    if names.any(|place| registry.get(&place).is_some()) {
        return Err(check::out_of_range("capacity", "one at which no slot has the name of a registered resource"));
    }
    state.attempted(|state| {
        let outcome = put(state, caller, command, &concerned);
        let is_kept = outcome.is_ok();
        (outcome, is_kept)
    })?;

    contention::grant_waiting(state, &concerned);
    let registry = state.registry(lane).ok_or(Refusal::NotFound)?;
    let resource = registry.get(&name).ok_or(Refusal::NotFound)?.clone();
    Ok(Answer::Registered(Box::new(Registered { path: registry.path(&name), resource })))
}

/// Registers it, with those of its ancestors and blockers that are not yet; what is wrong with the whole shows then.
fn put(state: &mut State, caller: &Caller, command: &Register, concerned: &BTreeSet<LockName>) -> Result<(), Refusal> {
    let mut parent: Option<&ResourceName> = None;
    for ancestor in &command.ancestors {
        let name = caller.lock_name(ancestor);
        let known = state.registry(name.lane()).and_then(|registry| registry.get(&name)).cloned();
        let is_elsewhere = known.as_ref().is_some_and(|known| known.parent.as_ref() != parent);
        if is_elsewhere {
            return Err(check::out_of_range("tree_path", "one that agrees with where its names are registered"));
        }
        set(state, Resource { parent: parent.cloned(), ..known.unwrap_or_else(|| Resource::plain(name)) });
        parent = Some(ancestor);
    }
    for blocked in &command.blocks {
        let name = caller.lock_name(blocked);
        if state.registry(name.lane()).is_some_and(|registry| registry.get(&name).is_none()) {
            set(state, Resource::plain(name));
        }
    }
    let name = caller.lock_name(&command.name);
    let known = state.registry(name.lane()).and_then(|registry| registry.get(&name)).cloned();
    let known = known.unwrap_or_else(|| Resource::plain(name.clone()));
    let wanted = Resource {
        capacity: command.capacity,
        parent: parent.cloned(),
        blocks: command.blocks.clone(),
        resource_type: command.resource_type.clone(),
        lock_delay_seconds: command.lock_delay_seconds,
        former_blocks: former_blocks(state, &name, &known, command, concerned),
        ..known
    };
    set(state, wanted);
    check_whole(state, &name, concerned)
}

/// Changes nothing where it is registered so already.
fn set(state: &mut State, wanted: Resource) {
    let name = wanted.lock_name();
    if state.registry(name.lane()).and_then(|registry| registry.get(&name)) != Some(&wanted) || wanted.version == 0 {
        state.put_resource(Resource { version: wanted.version + 1, ..wanted });
    }
}

/// What claims have still of what is blocked no more: those on it, and those for which it is held itself.
fn former_blocks(
    state: &State,
    name: &LockName,
    known: &Resource,
    command: &Register,
    concerned: &BTreeSet<LockName>,
) -> Vec<ResourceName> {
    let claims = concerned.iter().flat_map(|name| state.claims(name));
    let live = claims.filter(|claim| claim.status == Status::Active).filter_map(|claim| claim.lock());
    let through = live.filter(|lock| lock.resource == name.resource || lock.blockers.contains(&name.resource));
    let held: BTreeSet<&ResourceName> = through.flat_map(|lock| &lock.blockers).collect();
    let before: BTreeSet<&ResourceName> = known.blocks.iter().chain(&known.former_blocks).collect();
    before.into_iter().filter(|it| held.contains(it) && !command.blocks.contains(it)).cloned().collect()
}

fn check_whole(state: &State, name: &LockName, before: &BTreeSet<LockName>) -> Result<(), Refusal> {
    let registry = state.registry(name.lane()).ok_or(Refusal::NotFound)?;
    if registry.is_in_circle(name) {
        return Err(check::out_of_range("tree_path", "one in which no name stands above itself"));
    }
    if registry.blocks_itself(name) {
        return Err(check::out_of_range("blocks", "resources that do not block each other in a circle"));
    }
    let mut related = registry.related(name);
    let blocks_too_much = |name: &LockName| registry.blockers(name).len() > BLOCKS_MAX;
    if related.iter().any(blocks_too_much) {
        let expected = format!("so few that with what they block in turn they are at most {BLOCKS_MAX}");
        return Err(Refusal::field("blocks", FieldReason::TooManyItems, expected));
    }
    let depth = |name: &LockName| registry.ancestors(name).count() + 1;
    if related.iter().any(|name| depth(name) > DEPTH_MAX) {
        let expected = format!("one by which no name has more than {DEPTH_MAX} levels");
        return Err(check::out_of_range("tree_path", expected));
    }
    let name_bytes: usize = related.iter().map(|name| name.resource.as_str().len()).sum();
    if related.len() > RELATED_MAX || name_bytes > RELATED_BYTES_MAX {
        let expected = format!(
            "so few that at most {RELATED_MAX} resources, of {RELATED_BYTES_MAX} bytes of names, hang together"
        );
        return Err(Refusal::field("blocks", FieldReason::TooManyItems, expected));
    }
    related.extend(before.iter().cloned());
    let in_way = contention::conflicts(state, &related);
    match in_way.is_empty() {
        true => Ok(()),
        false => Err(Refusal::StillHeld { resources: in_way.into_iter().collect() }),
    }
}
