//! `check`: who holds locks, once all that is due has happened; nothing of it is carried out.

use super::{Caller, lock};
use crate::domain::command::Check;
use crate::domain::contention::{self, Need, Room};
use crate::domain::hold::Hold;
use crate::domain::lock::{HOLDERS_SHOWN_MAX, Mode};
use crate::domain::look::{Checked, Looked};
use crate::domain::outcome::Refusal;
use crate::domain::resource::LockName;
use crate::domain::state::State;
use crate::domain::tick::tick_related;

pub(super) fn look(state: &mut State, caller: &Caller, check: &Check) -> Result<Looked, Refusal> {
    let names: Vec<LockName> = check.resources.iter().map(|resource| caller.lock_name(resource)).collect();
    let locks = state.tried(|state| {
        names.iter().for_each(|name| tick_related(state, name));
        names.iter().map(|name| checked(state, name)).collect()
    });
    Ok(Looked::Locks { locks, is_many: check.is_many })
}

fn checked(state: &State, name: &LockName) -> Checked {
    let need = Need::alone(name, None, Mode::Exclusive);
    let is_free = matches!(contention::room(state, &need, name), Ok(Room::Place(_)));
    let mut holders = contention::holders(state, name);
    if holders.is_empty() {
        holders = holders_of_place(state, name);
    }
    holders.truncate(HOLDERS_SHOWN_MAX);
    Checked {
        resource: name.resource.clone(),
        is_reserved: !is_free || !lock::is_valid(state, name, Mode::Exclusive),
        holders,
        waiting: contention::waiting(state, name),
    }
}

/// Who has the place of this name.
fn holders_of_place(state: &State, name: &LockName) -> Vec<Hold> {
    let place = state.registry(name.lane()).and_then(|registry| registry.place(name));
    let Some((resource, place)) = place.map(|(resource, place)| (resource.lock_name(), place)) else {
        return Vec::new();
    };
    let has_it = |holder: &Hold| holder.lock().is_some_and(|lock| lock.slot.unwrap_or(0) == place);
    contention::holders(state, &resource).into_iter().filter(has_it).collect()
}
