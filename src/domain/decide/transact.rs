//! `transact`: several commands in one, and what of them stands when one of them fails.

use super::{Caller, decide_for};
use crate::domain::command::{Command, Method, Transact};
use crate::domain::hold::Hold;
use crate::domain::outcome::{Answer, LockStatus, Outcome, ReleaseStatus, TransactItem, TransactStatus, Transacted};
use crate::domain::state::State;
use crate::domain::tick::as_of;

pub(super) fn decide(state: &mut State, caller: &Caller, transact: &Transact) -> Outcome {
    let transacted = match transact.method {
        Method::AllOrNone => all_or_none(state, caller, &transact.commands),
        Method::AsManyAsPossible => as_many_as_possible(state, caller, &transact.commands),
        Method::First => first(state, caller, &transact.commands),
    };
    Ok(Answer::Transacted(Box::new(transacted)))
}

fn item(state: &mut State, caller: &Caller, index: usize, command: &Command) -> Outcome {
    let caller = Caller { entropy: caller.entropy.item(index), ..caller.clone() };
    decide_for(state, &caller, command)
}

/// Each is decided upon what those before it did, also where one of them failed: so all that fail are told at once.
fn all_or_none(state: &mut State, caller: &Caller, commands: &[Command]) -> Transacted {
    let outcomes = state.attempted(|state| {
        let decided = commands.iter().enumerate().map(|(index, command)| item(state, caller, index, command));
        let outcomes: Vec<Outcome> = decided.collect();
        let is_kept = outcomes.iter().all(is_success);
        (outcomes, is_kept)
    });
    if outcomes.iter().all(is_success) {
        let results = outcomes.into_iter().map(TransactItem::Decided).collect();
        return Transacted { status: TransactStatus::Success, results };
    }
    let result = |outcome: Outcome| match is_success(&outcome) && !was_so_before(state, caller, &outcome) {
        true => TransactItem::RolledBack,
        false => TransactItem::Decided(outcome),
    };
    Transacted { status: TransactStatus::Failed, results: outcomes.into_iter().map(result).collect() }
}

/// Does what was answered stand, although what was done was taken back?
fn was_so_before(state: &State, caller: &Caller, outcome: &Outcome) -> bool {
    match outcome {
        Ok(Answer::Lock(answer)) => {
            answer.status == LockStatus::AlreadyHad
                && answer.claim.as_ref().is_some_and(|claim| state.hold(claim.id) == Some(claim))
        }
        Ok(Answer::Unlock(answer)) => {
            let name = caller.lock_name(&answer.resource);
            answer.status == ReleaseStatus::NotReserved && state.claims(&name).all(|claim| is_over(state, claim))
        }
        _ => false,
    }
}

/// Also where that has not been carried out yet.
fn is_over(state: &State, claim: &Hold) -> bool {
    state.now(claim.id.lane()).is_some_and(|now| as_of(claim.clone(), now).status.is_terminal())
}

fn as_many_as_possible(state: &mut State, caller: &Caller, commands: &[Command]) -> Transacted {
    let outcomes: Vec<Outcome> =
        commands.iter().enumerate().map(|(index, command)| item(state, caller, index, command)).collect();
    let status = match outcomes.iter().filter(|outcome| is_success(outcome)).count() {
        0 => TransactStatus::Failed,
        count if count == outcomes.len() => TransactStatus::Success,
        _ => TransactStatus::Partial,
    };
    Transacted { status, results: outcomes.into_iter().map(TransactItem::Decided).collect() }
}

fn first(state: &mut State, caller: &Caller, commands: &[Command]) -> Transacted {
    let mut status = TransactStatus::Failed;
    let mut results = Vec::with_capacity(commands.len());
    for (index, command) in commands.iter().enumerate() {
        if status == TransactStatus::Success {
            results.push(TransactItem::Skipped);
            continue;
        }
        let outcome = item(state, caller, index, command);
        if is_success(&outcome) {
            status = TransactStatus::Success;
        }
        results.push(TransactItem::Decided(outcome));
    }
    Transacted { status, results }
}

/// Was what was asked for done, or was it so already?
fn is_success(outcome: &Outcome) -> bool {
    match outcome {
        Ok(Answer::Lock(answer)) => matches!(answer.status, LockStatus::Acquired | LockStatus::AlreadyHad),
        Ok(Answer::Unlock(answer)) => {
            matches!(answer.status, ReleaseStatus::Relinquished | ReleaseStatus::NotReserved)
        }
        Ok(_) => true,
        Err(_) => false,
    }
}
