//! What must be there, by what was answered.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use uuid::Uuid;

use crate::cli::bench::tally::{Done, Tally, What};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The grain at which it ends.
    Reservation { end: u32 },
    /// The request that it was asked by, which names it.
    Lock { round: &'static str, number: u64, item: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Live,
    Canceled,
    Returned,
}

/// A reservation or a lock as it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    pub tenant: u32,
    pub claim: Claim,
    /// One for the grant and one for each change: nothing changes by itself within a run.
    pub versions: u32,
    pub state: State,
    /// Whether all that was asked of it was answered.
    pub is_sure: bool,
}

#[derive(Debug, Default)]
pub struct Expected {
    pub holds: HashMap<Uuid, Hold>,
    /// Ids that were granted more than once.
    pub given_twice: usize,
}

impl Expected {
    /// From the rounds in their order.
    pub fn of(rounds: &[&Tally]) -> Expected {
        let mut expected = Expected::default();
        expected.holds.reserve(rounds.iter().map(|tally| tally.done.len()).sum());
        for tally in rounds {
            tally.done.iter().for_each(|done| expected.add(done));
        }
        for id in rounds.iter().flat_map(|tally| &tally.unsure) {
            if let Some(hold) = expected.holds.get_mut(id) {
                hold.is_sure = false;
            }
        }
        expected
    }

    fn add(&mut self, done: &Done) {
        let Done { what, id, tenant, round, number, item } = *done;
        match what {
            What::Reserved { end } => self.grant(id, tenant, Claim::Reservation { end }),
            What::Locked => self.grant(id, tenant, Claim::Lock { round, number, item }),
            What::Extended { end } => self.change(id, |hold| hold.claim = Claim::Reservation { end }),
            What::Canceled => self.change(id, |hold| hold.state = State::Canceled),
            What::Returned => self.change(id, |hold| hold.state = State::Returned),
        }
    }

    fn grant(&mut self, id: Uuid, tenant: u32, claim: Claim) {
        match self.holds.entry(id) {
            Entry::Occupied(_) => self.given_twice += 1,
            Entry::Vacant(entry) => {
                entry.insert(Hold { tenant, claim, versions: 1, state: State::Live, is_sure: true });
            }
        }
    }

    fn change(&mut self, id: Uuid, change: impl FnOnce(&mut Hold)) {
        if let Some(hold) = self.holds.get_mut(&id) {
            change(hold);
            hold.versions += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_answered_adds_up_over_the_rounds() {
        let id = Uuid::from_u128;
        let done = |what, number| Done { what, id: id(number), tenant: 3, round: "m", number: 9, item: 1 };
        let (mut one, mut other) = (Tally::new(), Tally::new());
        one.done = vec![done(What::Reserved { end: 4 }, 1), done(What::Locked, 2), done(What::Reserved { end: 6 }, 3)];
        other.done = vec![done(What::Extended { end: 5 }, 1), done(What::Canceled, 1), done(What::Returned, 2)];
        other.unsure = vec![id(3)];
        let expected = Expected::of(&[&one, &other]);
        let hold = |claim, versions, state| Hold { tenant: 3, claim, versions, state, is_sure: true };
        let lock = Claim::Lock { round: "m", number: 9, item: 1 };
        assert_eq!(expected.holds[&id(1)], hold(Claim::Reservation { end: 5 }, 3, State::Canceled));
        assert_eq!(expected.holds[&id(2)], hold(lock, 2, State::Returned));
        assert!(!expected.holds[&id(3)].is_sure);
        assert_eq!((expected.holds.len(), expected.given_twice), (3, 0));
        assert_eq!(Expected::of(&[&one, &one]).given_twice, 3);
    }
}
