//! After the load: is what was answered what happened? Each grant must be one reservation or lock in the database, each
//! change of it one event in the stream, and nothing else may be there.

mod again;
mod events;
mod expected;
mod rows;

use std::collections::HashSet;

use async_nats::Client;
use uuid::Uuid;

pub use events::Events;
pub use rows::open;

use super::plan::Run;
use super::reply::NO_ID;
use super::tally::Tally;
use super::{BenchArgs, CliError};
use crate::store::query::Reader;
use crate::wire::subject::Subjects;
use expected::Expected;

/// What was found, and what of it is wrong.
#[derive(Debug)]
pub struct Checked {
    pub granted: usize,
    /// Reservations and locks of the run that the stream has events of.
    pub events: usize,
    /// Grants and changes that were asked for by receipt, or by id where there are no keys.
    pub asked: usize,
    /// Rows of the run that were found; `None` where no database was given.
    pub rows: Option<usize>,
    /// One clause each; empty where all is well.
    pub faults: Vec<String>,
}

pub async fn run(
    args: &BenchArgs,
    client: &Client,
    subjects: &Subjects,
    events: Events,
    reader: Option<Reader>,
    run: &Run,
    rounds: &[&Tally],
) -> Result<Checked, CliError> {
    let mut faults = Vec::new();
    let expected = Expected::of(rounds);
    fault(&mut faults, expected.given_twice, "ids were given to two requests");
    let unknown: u64 = rounds.iter().map(|tally| tally.unknown).sum();
    fault(&mut faults, unknown as usize, "requests were never answered");
    let lost: u64 = rounds.iter().filter_map(|tally| tally.refused().get(NO_ID).copied()).sum();
    fault(&mut faults, lost as usize, "answers were neither a grant nor a refusal");
    let ids: HashSet<Uuid> = expected.holds.keys().copied().collect();

    let seen = events.read(run, &expected).await?;
    compare("event", &ids, &seen.ids(), unknown, &mut faults);
    seen.judge(run, &expected, &mut faults);
    let asked = again::ask(client, subjects, run, &expected, rounds, &mut faults).await?;
    let rows = match reader {
        None => None,
        Some(reader) => {
            let found = rows::read(&reader, run, &args.verb, &expected).await?;
            // Where not every lock that was given back was looked for, the others are not missing.
            let looked_for = ids.difference(&found.passed_over).copied().collect();
            compare("row", &looked_for, &found.ids, unknown, &mut faults);
            found.judge(run, args.capacity, &mut faults);
            Some(found.ids.len())
        }
    };
    Ok(Checked { granted: ids.len(), events: seen.ids().len(), asked, rows, faults })
}

fn fault(faults: &mut Vec<String>, count: usize, what: &str) {
    if count > 0 {
        faults.push(format!("{count} {what}"));
    }
}

/// What nobody was told of may be there too, but not more of it than requests went unanswered.
fn compare(what: &str, granted: &HashSet<Uuid>, found: &HashSet<Uuid>, unknown: u64, faults: &mut Vec<String>) {
    fault(faults, granted.difference(found).count(), &format!("grants have no {what}"));
    let extra = found.difference(granted).count();
    if extra as u64 > unknown {
        fault(faults, extra, &format!("{what}s belong to no grant"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_too_much_is_a_fault_and_what_nobody_was_told_of_is_not() {
        let set = |numbers: &[u128]| numbers.iter().map(|number| Uuid::from_u128(*number)).collect::<HashSet<_>>();
        let faults = |granted, found, unknown| {
            let mut faults = Vec::new();
            compare("event", &set(granted), &set(found), unknown, &mut faults);
            faults
        };
        assert!(faults(&[1, 2], &[1, 2], 0).is_empty());
        assert!(faults(&[1, 2], &[1, 2, 3], 1).is_empty());
        assert_eq!(faults(&[1, 2], &[2, 3, 4], 1), ["1 grants have no event", "2 events belong to no grant"]);
    }
}
