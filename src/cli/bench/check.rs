//! After the load: is what was answered what happened? Each grant must be one reservation or lock in the database and
//! one event in the stream, and nothing else may be there.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use bytes::Bytes;
use futures::StreamExt;
use serde::Deserialize;
use uuid::Uuid;

use super::BenchArgs;
use super::load::Tally;
use super::plan::{Plan, Requests};
use crate::cli::CliError;
use crate::domain::command::{List, ListCursor, SortBy};
use crate::domain::hold::Hold;
use crate::domain::id::{PoolName, ResourceName, Tenant};
use crate::domain::resource::LockName;
use crate::store::query::Reader;
use crate::store::start::Database;
use crate::wire::subject::Subjects;
use crate::wire::verb::Verb;

/// So long without a further event, and those that are missing are missing.
const EVENTS_QUIET: Duration = Duration::from_secs(10);
/// How many grants are asked for again.
const SAMPLE: usize = 100;
/// Rows of one read.
const PAGE: u32 = 100;

/// What was found, and what of it is wrong.
#[derive(Debug)]
pub struct Checked {
    pub granted: usize,
    /// Events of the run's tenant.
    pub events: usize,
    /// Grants that were asked for by receipt, or by id where there are no keys.
    pub asked: usize,
    /// Rows of the run's tenant; `None` where no database was given.
    pub rows: Option<usize>,
    /// One clause each; empty where all is well.
    pub faults: Vec<String>,
}

pub async fn run(
    args: &BenchArgs,
    client: &Client,
    subjects: &Subjects,
    tenant: &Tenant,
    plan: &Plan,
    rounds: &[&Tally],
) -> Result<Checked, CliError> {
    let grants: Vec<(&'static str, u64, Uuid)> = rounds.iter().flat_map(|tally| tally.accepted.clone()).collect();
    let ids: HashSet<Uuid> = grants.iter().map(|(_, _, id)| *id).collect();
    let unknown: u64 = rounds.iter().map(|tally| tally.unknown).sum();
    let mut faults = Vec::new();
    if ids.len() < grants.len() {
        faults.push(format!("{} ids were given to two requests", grants.len() - ids.len()));
    }
    if unknown > 0 {
        faults.push(format!("{unknown} requests were never answered"));
    }
    let lost: u64 = rounds.iter().filter_map(|tally| tally.refused.get("no_id")).sum();
    if lost > 0 {
        faults.push(format!("{lost} answers were neither a grant nor a refusal"));
    }
    let seen = events(client, subjects, tenant, &ids, &mut faults).await?;
    compare("event", &ids, &seen, unknown, &mut faults);
    let asked = ask(client, subjects, tenant, plan, &grants, &mut faults).await?;
    let rows = match &args.database_url {
        None => None,
        Some(url) => {
            let reader = Reader::new(Database::connect(url, 1).await.map_err(CliError::of("read the database"))?);
            let rows = match plan.kind() {
                Requests::Lock => locks(&reader, tenant, plan, &grants).await?,
                _ => reservations(&reader, tenant, plan, args.capacity, &mut faults).await?,
            };
            compare("row", &ids, &rows, unknown, &mut faults);
            Some(rows.len())
        }
    };
    Ok(Checked { granted: ids.len(), events: seen.len(), asked, rows, faults })
}

/// What nobody was told of may be there too, but not more of it than requests went unanswered.
fn compare(what: &str, granted: &HashSet<Uuid>, found: &HashSet<Uuid>, unknown: u64, faults: &mut Vec<String>) {
    let missing = granted.difference(found).count();
    let extra = found.difference(granted).count();
    if missing > 0 {
        faults.push(format!("{missing} grants have no {what}"));
    }
    if extra as u64 > unknown {
        faults.push(format!("{extra} {what}s belong to no grant"));
    }
}

#[derive(Deserialize)]
struct CloudEvent<'a> {
    subject: &'a str,
    data: Version,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// The ids that the tenant's events are about. Waits for the relay as long as events keep coming.
async fn events(
    client: &Client,
    subjects: &Subjects,
    tenant: &Tenant,
    granted: &HashSet<Uuid>,
    faults: &mut Vec<String>,
) -> Result<HashSet<Uuid>, CliError> {
    let mut seen: HashMap<Uuid, u32> = HashMap::with_capacity(granted.len());
    let config = OrderedConfig {
        filter_subject: subjects.event_all().replace(".>", &format!(".{tenant}.>")),
        deliver_policy: DeliverPolicy::All,
        ..OrderedConfig::default()
    };
    let stream = async_nats::jetstream::new(client.clone())
        .get_stream(subjects.stream("EVENTS"))
        .await
        .map_err(CliError::of("look up the stream of events"))?;
    let consumer = stream.create_consumer(config).await.map_err(CliError::of("make a consumer of the events"))?;
    let mut messages = consumer.messages().await.map_err(CliError::of("consume the events"))?;
    let (mut missing, mut pending, mut disorder, mut unreadable) = (granted.len(), 0, 0u64, 0u64);
    while missing > 0 || pending > 0 {
        let Ok(Some(message)) = tokio::time::timeout(EVENTS_QUIET, messages.next()).await else { break };
        let message = message.map_err(CliError::of("consume the events"))?;
        pending = message.info().map_err(CliError::of("read where an event stands in its stream"))?.pending;
        let Some((id, version)) = version_of(&message.payload) else {
            unreadable += 1;
            continue;
        };
        let last = seen.entry(id).or_insert(0);
        if *last == 0 && granted.contains(&id) {
            missing -= 1;
        }
        disorder += u64::from(version != *last + 1);
        *last = version;
    }
    if disorder > 0 {
        faults.push(format!("{disorder} events do not carry the version after the last one"));
    }
    if unreadable > 0 {
        faults.push(format!("{unreadable} events can't be read"));
    }
    Ok(seen.into_keys().collect())
}

fn version_of(payload: &[u8]) -> Option<(Uuid, u32)> {
    let event: CloudEvent<'_> = serde_json::from_slice(payload).ok()?;
    Some((event.subject.parse().ok()?, event.data.version))
}

/// Asks the worker again for some of the grants; gives how many.
async fn ask(
    client: &Client,
    subjects: &Subjects,
    tenant: &Tenant,
    plan: &Plan,
    grants: &[(&'static str, u64, Uuid)],
    faults: &mut Vec<String>,
) -> Result<usize, CliError> {
    let step = (grants.len() / SAMPLE).max(1);
    let (mut asked, mut wrong) = (0, 0u64);
    for (round, number, id) in grants.iter().step_by(step) {
        let (verb, body) = match (plan.has_keys(), plan.kind()) {
            (true, _) => (Verb::Receipt, format!(r#"{{"idempotency_key":"{}"}}"#, plan.key(round, *number))),
            (false, Requests::Reserve) => (Verb::Get, format!(r#"{{"reservation_id":"{id}"}}"#)),
            (false, _) => break,
        };
        let subject = subjects.request(tenant, verb);
        let reply = client.request(subject.clone(), Bytes::from(body)).await;
        let reply = reply.map_err(CliError::of(format!("ask {subject} for what was granted")))?;
        let id = id.to_string();
        asked += 1;
        wrong += u64::from(!reply.payload.windows(id.len()).any(|window| window == id.as_bytes()));
    }
    if wrong > 0 {
        faults.push(format!("{wrong} of {asked} grants were not answered again as they had been"));
    }
    Ok(asked)
}

/// The tenant's reservations as they are stored, and whether any pool has more in use than there is.
async fn reservations(
    reader: &Reader,
    tenant: &Tenant,
    plan: &Plan,
    capacity: u32,
    faults: &mut Vec<String>,
) -> Result<HashSet<Uuid>, CliError> {
    let pools: HashSet<PoolName> = plan.pool_names().collect();
    let mut steps: BTreeMap<PoolName, BTreeMap<i64, i64>> = BTreeMap::new();
    let mut ids = HashSet::new();
    let mut list = List {
        pool: None,
        instance_type: None,
        region: None,
        status: None,
        sort_by: SortBy::CreatedAt,
        is_descending: true,
        limit: PAGE,
        after: None,
    };
    loop {
        let (holds, has_more, _) =
            reader.list(tenant, &list).await.map_err(CliError::of("read the rows of the run"))?;
        holds.iter().for_each(|hold| add(&mut steps, hold));
        ids.extend(holds.iter().map(|hold| hold.id.uuid()));
        match holds.last() {
            Some(last) if has_more => list.after = Some(ListCursor { status: None, id: last.id }),
            _ => break,
        }
    }
    let overcommitted = steps.values().filter(|steps| peak(steps) > i64::from(capacity)).count();
    if overcommitted > 0 {
        faults.push(format!("{overcommitted} pools have more in use than their capacity"));
    }
    let foreign = steps.keys().filter(|pool| !pools.contains(pool)).count();
    if foreign > 0 {
        faults.push(format!("{foreign} pools are none of this run's"));
    }
    Ok(ids)
}

fn add(steps: &mut BTreeMap<PoolName, BTreeMap<i64, i64>>, hold: &Hold) {
    let Some(reservation) = hold.reservation() else { return };
    let steps = steps.entry(reservation.pool.clone()).or_default();
    for interval in hold.occupied() {
        *steps.entry(interval.start.timestamp_micros()).or_default() += i64::from(interval.quantity);
        *steps.entry(interval.end.timestamp_micros()).or_default() -= i64::from(interval.quantity);
    }
}

/// The most units in use at any instant. Counted here anew, because the worker's own sums are what is in question.
fn peak(steps: &BTreeMap<i64, i64>) -> i64 {
    let mut load = 0;
    steps
        .values()
        .map(|step| {
            load += step;
            load
        })
        .max()
        .unwrap_or(0)
}

/// The claims that are stored on the locks that were granted.
async fn locks(
    reader: &Reader,
    tenant: &Tenant,
    plan: &Plan,
    grants: &[(&'static str, u64, Uuid)],
) -> Result<HashSet<Uuid>, CliError> {
    let name = |(round, number, _): &(&'static str, u64, Uuid)| {
        let resource = ResourceName::parse(&plan.lock(round, *number))?;
        Some(LockName { tenant: tenant.clone(), resource })
    };
    let mut ids = HashSet::new();
    for part in grants.chunks(PAGE as usize) {
        let names: Vec<LockName> = part.iter().filter_map(name).collect();
        let (holds, _) = reader.locks(&names).await.map_err(CliError::of("read the rows of the run"))?;
        ids.extend(holds.iter().map(|hold| hold.id.uuid()));
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_that_touch_do_not_add_up() {
        let steps = |windows: &[(i64, i64)]| {
            let mut steps = BTreeMap::new();
            for (start, end) in windows {
                *steps.entry(*start).or_default() += 1;
                *steps.entry(*end).or_default() -= 1;
            }
            steps
        };
        assert_eq!(peak(&steps(&[(0, 10), (10, 20)])), 1);
        assert_eq!(peak(&steps(&[(0, 11), (10, 20)])), 2);
    }

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
