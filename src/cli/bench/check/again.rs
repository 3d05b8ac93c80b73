//! Some of what was granted and changed, asked for again.

use async_nats::Client;
use bytes::Bytes;

use super::expected::{Claim, Expected};
use super::fault;
use crate::cli::CliError;
use crate::cli::bench::plan::Run;
use crate::cli::bench::tally::{Done, Tally, What};
use crate::wire::subject::Subjects;
use crate::wire::verb::Verb;

/// How many are asked for.
const SAMPLE: usize = 100;

/// Asks the worker again, and gives how often: by the key, or without keys for reservations by their id.
pub async fn ask(
    client: &Client,
    subjects: &Subjects,
    run: &Run,
    expected: &Expected,
    rounds: &[&Tally],
    faults: &mut Vec<String>,
) -> Result<usize, CliError> {
    let done: Vec<&Done> = rounds.iter().flat_map(|tally| &tally.done).collect();
    let step = (done.len() / SAMPLE).max(1);
    let (mut asked, mut wrong) = (0, 0);
    for done in done.into_iter().step_by(step) {
        let is_lock = matches!(done.what, What::Locked | What::Returned);
        let (verb, body) = match (run.has_keys, is_lock) {
            (true, _) => (Verb::Receipt, format!(r#"{{"idempotency_key":"{}"}}"#, run.key(done.round, done.number))),
            (false, false) => (Verb::Get, format!(r#"{{"reservation_id":"{}"}}"#, done.id)),
            (false, true) => continue,
        };
        let Some(tenant) = run.tenant(done.tenant) else { continue };
        let subject = subjects.request(tenant, verb);
        let reply = client.request(subject.clone(), Bytes::from(body)).await;
        let reply = reply.map_err(CliError::of(format!("ask {subject} for what was granted")))?;
        let named = named(run, expected, done);
        asked += 1;
        wrong += usize::from(!reply.payload.windows(named.len()).any(|window| window == named.as_bytes()));
    }
    if wrong > 0 {
        fault(faults, wrong, &format!("of {asked} grants were not answered again as they had been"));
    }
    Ok(asked)
}

/// What the answer names: the id, or where a lock is given back, whose answer has none, its name.
fn named(run: &Run, expected: &Expected, done: &Done) -> String {
    match (done.what, expected.holds.get(&done.id).map(|hold| hold.claim)) {
        (What::Returned, Some(Claim::Lock { round, number, item })) => {
            format!("\"{}\"", run.lock(round, number, item))
        }
        _ => done.id.to_string(),
    }
}
