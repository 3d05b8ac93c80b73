//! One command in hand: what it asks, under which key, and where its answer goes.

#![allow(clippy::vec_box)] // as in the pipeline: a command is moved by its pointer

use std::time::Instant;

use tokio::sync::OwnedSemaphorePermit;

use super::answer::Answerer;
use crate::domain::command::{Command, PoolPut, Request};
use crate::domain::id::ReceiptId;
use crate::domain::look::{Availability, Look, Mode};
use crate::telemetry::Metrics;
use crate::wire::request::Canonical;
use crate::wire::verb::Verb;

/// So many intervals, or units, take as much room as a small reservation.
const INTERVALS_A_ROW: usize = 8;
const UNITS_A_ROW: usize = 16;
/// What a command counts whose hold may be small or large.
const UNKNOWN_ROWS: usize = 7;

/// A place among the requests in hand, counted while it is taken.
#[derive(Debug)]
pub struct Permit {
    _place: OwnedSemaphorePermit,
    metrics: Metrics,
}

impl Permit {
    pub fn new(place: OwnedSemaphorePermit, metrics: &Metrics) -> Permit {
        metrics.in_flight(1);
        Permit { _place: place, metrics: metrics.clone() }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.metrics.in_flight(-1);
    }
}

#[derive(Debug)]
pub struct Waiting {
    pub request: Request,
    pub verb: Verb,
    pub canonical: Canonical,
    /// `None`: the request has no key, and no receipt is kept.
    pub receipt: Option<ReceiptId>,
    pub answerer: Answerer,
    pub arrived: Instant,
    pub span: tracing::Span,
    /// Its share of the requests that may be in hand; given back with the answer.
    pub permit: Permit,
}

impl Waiting {
    pub fn put(&self) -> Option<&PoolPut> {
        match &self.request.command {
            Command::PoolPut(put) => Some(put),
            _ => None,
        }
    }

    pub fn weight(&self) -> usize {
        weight(&self.request.command)
    }
}

/// What a command adds to a batch, in the rows of a small reservation: every interval and every unit stands in the row,
/// the reply and the event.
fn weight(command: &Command) -> usize {
    1 + match command {
        Command::Reserve(reserve) => {
            let units = reserve.intervals.iter().map(|interval| interval.quantity).max().unwrap_or_default();
            reserve.intervals.len() / INTERVALS_A_ROW + units as usize / UNITS_A_ROW
        }
        // How large the hold is that it names is not known yet.
        Command::Confirm(_) | Command::Extend(_) | Command::Terminate(_) | Command::Cancel(_) | Command::Update(_) => {
            UNKNOWN_ROWS
        }
        Command::Several(commands) => commands.iter().map(weight).sum(),
        Command::Transact(transact) => transact.commands.iter().map(weight).sum(),
        Command::PoolPut(_) | Command::ReservationTerminate(_) => UNKNOWN_ROWS,
        Command::Look(Look::Find(find)) => UNKNOWN_ROWS * find.targets.len(),
        Command::Look(Look::Availability(Availability { mode: Mode::Slots { .. }, .. })) => UNKNOWN_ROWS,
        _ => 0,
    }
}

/// The commands in their order, each `pool_put` in a group of its own: what is loaded for it is what is booked when its
/// batch begins, so nothing else of its batch may move that.
pub fn puts_alone(commands: Vec<Box<Waiting>>) -> Vec<Vec<Box<Waiting>>> {
    let mut groups: Vec<Vec<Box<Waiting>>> = Vec::new();
    let mut was_put = true;
    for command in commands {
        let is_put = command.put().is_some();
        match groups.last_mut() {
            Some(group) if !is_put && !was_put => group.push(command),
            _ => groups.push(vec![command]),
        }
        was_put = is_put;
    }
    groups
}
