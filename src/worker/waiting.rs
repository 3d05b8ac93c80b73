//! One command in hand: what it asks, under which key, and where its answer goes.

use std::time::Instant;

use tokio::sync::OwnedSemaphorePermit;

use super::answer::Answerer;
use crate::domain::command::{Command, Part, Request};
use crate::domain::id::ReceiptId;
use crate::wire::request::Canonical;
use crate::wire::verb::Verb;

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
    pub permit: OwnedSemaphorePermit,
}

impl Waiting {
    /// What it adds to a batch, in rows: a reservation of 672 intervals is not one small row.
    pub fn weight(&self) -> usize {
        1 + match &self.request.command {
            Command::Reserve(reserve) => reserve.intervals.len() / 16,
            Command::Terminate(terminate) => match &terminate.part {
                Part::Units(units) => units.len() / 64,
                _ => 0,
            },
            Command::Several(commands) => commands.len(),
            _ => 0,
        }
    }
}
