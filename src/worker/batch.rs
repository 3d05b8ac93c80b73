//! The commands, or the lanes in which something is due, that are decided together, and whether their receipts are looked up first.

use super::decided::Decided;
use super::waiting::{Waiting, puts_alone};
use crate::domain::id::{Lane, LaneSet, ReceiptId};

/// After a key turned out to be answered already, so many batches look their receipts up: keys come again in bursts,
/// when a client or a server has been away.
const LOOKUPS_AFTER_REPLAY: u32 = 64;

#[derive(Debug, Default)]
#[allow(clippy::vec_box)] // a command is moved from queue to batch to answer: by its pointer
pub struct Batch {
    pub commands: Vec<Box<Waiting>>,
    /// Lanes whose due holds are carried out.
    pub ticks: LaneSet,
    /// How often it was decided again because receipts were stored meanwhile.
    pub collisions: u32,
    /// Its receipts are read before it is decided.
    pub looks_up: bool,
}

impl Batch {
    /// Each `pool_put` by itself; the last of them first.
    pub fn with_puts_alone(self) -> Vec<Batch> {
        if self.commands.iter().all(|waiting| waiting.put().is_none()) {
            return vec![self];
        }
        let looks_up = self.looks_up;
        let groups = puts_alone(self.commands).into_iter();
        groups.map(|commands| Batch { commands, looks_up, ..Batch::default() }).rev().collect()
    }

    /// In two halves; of a single command or lane, itself.
    pub fn parts(mut self) -> Vec<Batch> {
        let lanes: Vec<_> = self.ticks.iter().collect();
        let (first, second) = lanes.split_at(lanes.len().div_ceil(2));
        let commands = self.commands.split_off(self.commands.len().div_ceil(2));
        let part = |commands, lanes: &[Lane]| Batch {
            commands,
            ticks: lanes.iter().copied().collect(),
            looks_up: self.looks_up,
            ..Batch::default()
        };
        let parts = [part(self.commands, first), part(commands, second)].into_iter();
        parts.filter(|part| !part.commands.is_empty() || !part.ticks.is_empty()).collect()
    }

    pub fn receipts(&self) -> impl Iterator<Item = ReceiptId> {
        self.commands.iter().filter_map(|waiting| waiting.receipt)
    }

    /// Has a command with a key an answer that is not kept? Inserting its receipt cannot tell then whether the key has
    /// been answered otherwise before.
    pub fn has_answer_without_receipt(&self, decided: &Decided) -> bool {
        self.commands.iter().zip(&decided.replies).any(|(waiting, reply)| waiting.receipt.is_some() && !reply.is_stored)
    }
}

/// Whether it pays to look receipts up before deciding.
///
/// Nearly every key is new, and looking a new one up tells nothing. A key that was answered before is found out all the
/// same: its receipt can't be inserted a second time. That costs the whole batch another go, so after one such key the
/// next batches look first.
#[derive(Debug, Default)]
pub struct Lookup {
    left: u32,
}

impl Lookup {
    pub fn pays(&self) -> bool {
        self.left > 0
    }

    pub fn was_missed(&mut self) {
        self.left = LOOKUPS_AFTER_REPLAY;
    }

    pub fn saw(&mut self, batch: &Batch, decided: &Decided) {
        match batch.looks_up && decided.has_replays {
            true => self.was_missed(),
            false => self.left = self.left.saturating_sub(1),
        }
    }
}
