//! The one function that decides. All checks above, all changes below: a refused command leaves the state as it was,
//! apart from what had been due for the hold that it names.
//!
//! | file | verbs |
//! |---|---|
//! | `reserve`, `confirm`, `extend`, `terminate`, `cancel`, `update` | reservations |
//! | `lock`, `unlock`, `renew`, `register` | locks |
//! | `transact` | several of these in one |
//! | `pool_put`, `withdraw`, `tenant_put`, `operator` | the operator's |
//! | `look`: `availability`, `find`, `extension`, `quote`, `holders` | what is asked beforehand; they change nothing |
//! | `check` | what several of them check |
//! | `offers` | what would fit in place of what does not |
//! | `dry_run` | any of them, taken back |

mod availability;
mod cancel;
mod check;
mod confirm;
mod dry_run;
mod extend;
mod extension;
mod find;
mod holders;
mod lock;
mod look;
mod offers;
mod operator;
mod pool_put;
mod quote;
mod register;
mod renew;
mod reserve;
mod tenant_put;
mod terminate;
mod transact;
mod unlock;
mod update;
mod withdraw;

use super::command::{Command, Request};
use super::hold::{EndReason, Hold, Kind, Reservation, Status};
use super::id::{Entropy, HoldId, PoolName, ResourceName, Tenant};
use super::outcome::{Answer, Outcome, Refusal};
use super::resource::{LockName, Pool};
use super::state::{Cause, PoolState, State};
use super::tick::{as_of, tick_hold};
use super::window::Instant;

/// Decides one request upon a state in which its lanes, holds and locks are loaded.
pub fn decide(state: &mut State, request: &Request) -> Outcome {
    match request.is_dry_run {
        false => carry_out(state, request),
        true => dry_run::decide(state, request),
    }
}

fn carry_out(state: &mut State, request: &Request) -> Outcome {
    if let Some(not_after) = request.not_after
        && decided_at(state, request).is_some_and(|now| now > not_after)
    {
        return Err(Refusal::DeadlineExceeded);
    }
    match (&request.command, &request.tenant) {
        (Command::PoolPut(put), _) => pool_put::decide(state, request, put),
        (Command::ReservationTerminate(command), _) => operator::terminate(state, request, command),
        (Command::LockRelease(command), _) => operator::release(state, request, command),
        (Command::TenantPut(put), _) => tenant_put::decide(state, put),
        (command, Some(tenant)) => {
            let (cause, siblings) = (Cause::request(request), request.locked_siblings());
            let caller = Caller { tenant, cause, entropy: request.entropy, siblings };
            decide_for(state, &caller, command)
        }
        (_, None) => Err(Refusal::NotFound),
    }
}

/// The time at which a request is decided: that of its own lanes, whatever else is in the batch.
fn decided_at(state: &State, request: &Request) -> Option<Instant> {
    let own = request.lanes().iter().filter_map(|lane| state.now(lane)).max();
    own.or_else(|| state.latest_now())
}

/// Who asks, and the randomness for what is made for them.
#[derive(Clone)]
struct Caller<'a> {
    tenant: &'a Tenant,
    cause: Cause,
    entropy: Entropy,
    siblings: &'a [PoolName],
}

impl Caller<'_> {
    fn lock_name(&self, resource: &ResourceName) -> LockName {
        LockName { tenant: self.tenant.clone(), resource: resource.clone() }
    }
}

fn decide_for(state: &mut State, caller: &Caller, command: &Command) -> Outcome {
    match command {
        Command::Reserve(reserve) => reserve::decide(state, caller, reserve),
        Command::Confirm(confirm) => confirm::decide(state, caller, confirm),
        Command::Extend(extend) => extend::decide(state, caller, extend),
        Command::Terminate(terminate) => terminate::decide(state, caller, terminate),
        Command::Cancel(cancel) => cancel::decide(state, caller, cancel),
        Command::Update(update) => update::decide(state, caller, update),
        Command::Lock(lock) => lock::decide(state, caller, lock),
        Command::Unlock(unlock) => unlock::decide(state, caller, unlock),
        Command::Renew(renew) => renew::decide(state, caller, renew),
        Command::Register(register) => register::decide(state, caller, register),
        Command::Transact(transact) => transact::decide(state, caller, transact),
        Command::Several(commands) => Ok(Answer::Several(several(state, caller, commands))),
        Command::Look(look) => look::decide(state, caller, look),
        Command::PoolPut(_) | Command::TenantPut(_) | Command::ReservationTerminate(_) | Command::LockRelease(_) => {
            Err(Refusal::NotFound)
        }
    }
}

fn several(state: &mut State, caller: &Caller, commands: &[Command]) -> Vec<Outcome> {
    let item = |index| Caller { entropy: caller.entropy.item(index), ..caller.clone() };
    commands.iter().enumerate().map(|(index, command)| decide_for(state, &item(index), command)).collect()
}

/// A reservation of the caller's with what a command needs to know of it, after what was due for it has been done.
struct Subject {
    hold: Hold,
    reservation: Reservation,
    pool: Pool,
    now: Instant,
}

impl Subject {
    /// `not_found` for what is absent, another tenant's, or a lock.
    fn find(state: &mut State, caller: &Caller, id: HoldId) -> Result<Subject, Refusal> {
        Subject::callers(state, caller, id)?;
        tick_hold(state, id);
        let hold = Subject::callers(state, caller, id)?.clone();
        Subject::of(state, hold)
    }

    fn callers<'a>(state: &'a State, caller: &Caller, id: HoldId) -> Result<&'a Hold, Refusal> {
        let is_callers = |hold: &&Hold| hold.kind() == Kind::Reservation && hold.tenant == *caller.tenant;
        state.hold(id).filter(is_callers).ok_or(Refusal::NotFound)
    }

    /// The same for what changes nothing: what is due shows, and is not carried out.
    fn read(state: &State, caller: &Caller, id: HoldId) -> Result<Subject, Refusal> {
        let hold = Subject::callers(state, caller, id)?.clone();
        let now = state.now(id.lane()).ok_or(Refusal::NotFound)?;
        Subject::of(state, as_of(hold, now))
    }

    fn of(state: &State, hold: Hold) -> Result<Subject, Refusal> {
        let now = state.now(hold.id.lane()).ok_or(Refusal::NotFound)?;
        let reservation = hold.reservation().ok_or(Refusal::NotFound)?.clone();
        let pool = find_pool(state, &reservation.pool)?.pool.clone();
        Ok(Subject { hold, reservation, pool, now })
    }

    /// The refusal of a command that is only taken in certain statuses.
    fn wrong_state(&self, allowed: &[Status]) -> Refusal {
        match self.hold.end_reason {
            Some(EndReason::HoldExpired) => Refusal::HoldExpired,
            _ => Refusal::InvalidState { status: self.hold.status, allowed: allowed.to_vec() },
        }
    }

    fn unchanged(self) -> Outcome {
        answer(self.hold)
    }
}

fn find_pool<'a>(state: &'a State, name: &PoolName) -> Result<&'a PoolState, Refusal> {
    state.pool(name).ok_or(Refusal::UnknownPool)
}

fn answer(hold: Hold) -> Outcome {
    Ok(Answer::Reservation(Box::new(hold)))
}
