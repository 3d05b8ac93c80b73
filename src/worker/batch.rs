//! The commands, or the lanes in which something is due, that are decided together, and with which caution.

use super::decided::Decided;
use super::lanes::Locked;
use super::queue::DUE_MAX;
use super::waiting::{Waiting, puts_alone};
use crate::domain::command::Command;
use crate::domain::id::{Lane, LaneSet, ReceiptId};
use crate::store::Wants;
use crate::store::batch::DueWant;

/// After an assumption turned out to be wrong, so many batches do without it: keys come again in bursts, when a client
/// or a server has been away, and who has written in a lane writes there again.
const CAUTIOUS_BATCHES: u32 = 64;

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
    /// Its lanes are locked before it is decided.
    pub is_under_locks: bool,
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

    /// Has it been sent back to be locked, or does it ask or write more than can be had without? What only looks is not
    /// written, and so never learns whether what it saw was so still.
    pub fn needs_locks(&self) -> bool {
        let configures =
            |command: &Command| matches!(command, Command::PoolPut(_) | Command::TenantPut(_) | Command::Register(_));
        let mut commands = self.commands.iter().map(|waiting| &waiting.request.command);
        let only_looks = self.ticks.is_empty() && commands.clone().all(|command| matches!(command, Command::Look(_)));
        self.is_under_locks || self.looks_up || only_looks || commands.any(configures)
    }

    /// What has to be read for it.
    pub fn wants(&self, lanes: LaneSet, locked: &Locked) -> Wants {
        let limit = u32::try_from(DUE_MAX / self.ticks.len().max(1)).unwrap_or(u32::MAX);
        Wants {
            lanes,
            holds: self.commands.iter().flat_map(|waiting| waiting.request.command.hold_ids()).collect(),
            locks: self.commands.iter().flat_map(|waiting| waiting.request.lock_names()).collect(),
            receipts: self.receipts().filter(|_| self.looks_up).collect(),
            due: locked
                .iter()
                .filter(|(lane, _)| self.ticks.contains(*lane))
                .map(|(lane, slot)| DueWant { lane: *lane, after: slot.mark(), limit })
                .collect(),
            puts: self.commands.iter().filter_map(|waiting| waiting.put()).cloned().collect(),
        }
    }

    pub fn under_locks(self) -> Batch {
        Batch { is_under_locks: true, ..self }
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

/// Whether what nearly always holds is looked at first, because it did not hold a short while ago.
///
/// That a key is new: looking a new one up tells nothing, and one that was answered before is found out all the same,
/// because its receipt can't be inserted a second time. That nobody else has written in a lane: the statement that
/// writes finds it out. Either costs the whole batch another go.
#[derive(Debug, Default)]
pub struct Caution {
    left: u32,
}

impl Caution {
    pub fn is_due(&self) -> bool {
        self.left > 0
    }

    pub fn was_missed(&mut self) {
        self.left = CAUTIOUS_BATCHES;
    }

    pub fn was_for_nothing(&mut self) {
        self.left = self.left.saturating_sub(1);
    }
}
