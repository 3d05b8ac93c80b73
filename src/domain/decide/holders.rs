//! `check`: who holds locks, once all that is due has happened; nothing of it is carried out.

use super::Caller;
use crate::domain::command::Check;
use crate::domain::contention::{self, Need, Room};
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
    let need = Need { blockers: Vec::new(), ..Need::new(state, name, None, Mode::Exclusive) };
    let mut holders = contention::holders(state, name);
    holders.truncate(HOLDERS_SHOWN_MAX);
    Checked {
        resource: name.resource.clone(),
        is_reserved: !matches!(contention::room(state, &need, name), Ok(Room::Place(_))),
        holders,
        waiting: state.claims(name).filter(|claim| contention::is_waiting(state, claim)).count(),
    }
}
