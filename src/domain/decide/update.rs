//! `update`: pauses and resumes a running reservation, and changes what a live one carries along: its name, its tags
//! and the volumes of its launch specification. Two events where it does both.

use super::{Caller, Subject, answer};
use crate::domain::command::Update;
use crate::domain::event::{Credits, EventType};
use crate::domain::hold::{Hold, Opaque, Reservation, Status};
use crate::domain::id::Label;
use crate::domain::outcome::{FieldReason, Outcome, Refusal};
use crate::domain::pause;
use crate::domain::state::State;
use crate::domain::window::Instant;

const ALLOWED: [Status; 4] = [Status::Held, Status::Pending, Status::Active, Status::Paused];
/// In which it can be paused.
const PAUSABLE: [Status; 2] = [Status::Active, Status::Paused];
/// Most that name, tags and launch specification may come to, bytes: as much as one request brings, so that replies
/// and events fit into one message whatever is added to them one by one.
const CARRIED_BYTES_MAX: usize = 512 * 1024;

pub(super) fn decide(state: &mut State, caller: &Caller, command: &Update) -> Outcome {
    let subject = Subject::find(state, caller, command.id)?;
    let is_paused = subject.hold.status == Status::Paused;
    let wants_pause = command.paused.unwrap_or(is_paused);
    if wants_pause && !is_paused {
        check_pause(&subject)?;
    }
    if !ALLOWED.contains(&subject.hold.status) {
        return Err(subject.wrong_state(&ALLOWED));
    }
    let present = Carried::of(&subject.reservation);
    let wanted = present.with(command);
    check_size(&present, &wanted, command)?;

    let Subject { mut hold, now, .. } = subject;
    if wants_pause != is_paused {
        hold = turn(state, caller, hold, wants_pause, now);
    }
    if wanted != present {
        hold = state.record(wanted.put_into(hold), EventType::Updated, now, &caller.cause);
    }
    answer(hold)
}

fn check_pause(subject: &Subject) -> Result<(), Refusal> {
    if !subject.pool.policy.pausable {
        return Err(Refusal::NotPausable);
    }
    match subject.hold.status {
        Status::Active => Ok(()),
        _ => Err(subject.wrong_state(&PAUSABLE)),
    }
}

/// Paused, or active again with the credit for the pause.
fn turn(state: &mut State, caller: &Caller, mut hold: Hold, is_paused: bool, now: Instant) -> Hold {
    let (status, event_type) = match is_paused {
        true => (Status::Paused, EventType::Paused),
        false => (Status::Active, EventType::Resumed),
    };
    hold.status = status;
    let mut credits = Credits::default();
    if let Some(reservation) = hold.reservation_mut() {
        credits.pause_cents = pause::settle(reservation, now);
        reservation.paused_at = is_paused.then_some(now);
    }
    state.record_with(hold, event_type, now, &caller.cause, credits)
}

/// What a reservation carries along for its tenant.
#[derive(Debug, PartialEq)]
struct Carried {
    name: Option<Label>,
    tags: Option<Opaque>,
    launch_specification: Option<Opaque>,
}

impl Carried {
    fn of(reservation: &Reservation) -> Carried {
        Carried {
            name: reservation.name.clone(),
            tags: reservation.tags.clone(),
            launch_specification: reservation.launch_specification.clone(),
        }
    }

    fn with(&self, command: &Update) -> Carried {
        let launch_specification = self.launch_specification.as_ref();
        Carried {
            name: command.name.as_ref().or(self.name.as_ref()).cloned(),
            tags: command.tags.as_ref().or(self.tags.as_ref()).cloned(),
            launch_specification: match &command.volumes {
                Some(new) => (new.put)(launch_specification, &new.volumes),
                None => launch_specification.cloned(),
            },
        }
    }

    fn bytes(&self) -> usize {
        let name = self.name.as_ref().map_or(0, |name| name.as_str().len());
        let opaque = [&self.tags, &self.launch_specification].into_iter().flatten();
        name + opaque.map(|opaque| opaque.as_str().len()).sum::<usize>()
    }

    fn put_into(self, mut hold: Hold) -> Hold {
        if let Some(reservation) = hold.reservation_mut() {
            reservation.name = self.name;
            reservation.tags = self.tags;
            reservation.launch_specification = self.launch_specification;
        }
        hold
    }
}

/// What does not grow is not too large: it was taken before.
fn check_size(present: &Carried, wanted: &Carried, command: &Update) -> Result<(), Refusal> {
    if wanted.bytes() <= CARRIED_BYTES_MAX.max(present.bytes()) {
        return Ok(());
    }
    let field = match (&command.volumes, &command.tags) {
        (Some(_), _) => "volumes",
        (None, Some(_)) => "tags",
        (None, None) => "name",
    };
    let expected = format!("so small that all that is carried is at most {CARRIED_BYTES_MAX} bytes");
    Err(Refusal::field(field, FieldReason::OutOfRange, expected))
}
