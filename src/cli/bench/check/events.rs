//! The events of the run: each reservation and lock has the versions 1, 2, 3 … in the stream, as many as were answered,
//! and the last of them tells what was answered last.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::stream::Stream;
use futures::StreamExt;
use serde::Deserialize;
use tokio::time::Instant;
use uuid::Uuid;

use super::expected::{Claim, Expected, Hold, State};
use super::fault;
use crate::cli::CliError;
use crate::cli::bench::plan::Run;
use crate::wire::subject::Subjects;

/// So long without a further event of the run, and those that are missing are missing.
const QUIET: Duration = Duration::from_secs(10);
/// Of an event's subject: `<root>.event.v1.<tenant>.…`
const TENANT_TOKEN: usize = 3;

/// The stream, and where in it the run began.
#[derive(Debug)]
pub struct Events {
    stream: Stream,
    subject: String,
    begin: u64,
}

#[derive(Deserialize)]
struct CloudEvent<'a> {
    subject: &'a str,
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    version: u32,
    end_time: Option<&'a str>,
}

/// What the events tell of one reservation or lock.
#[derive(Clone, Copy, Debug)]
struct Told {
    events: u32,
    version: u32,
    state: State,
    /// Microseconds; 0 where there is none.
    end: i64,
}

#[derive(Debug, Default)]
pub struct Seen {
    told: HashMap<Uuid, Told>,
    disorder: usize,
    unreadable: usize,
}

impl Events {
    /// To be called before the first request.
    pub async fn begin(client: &async_nats::Client, subjects: &Subjects, run: &Run) -> Result<Events, CliError> {
        let mut stream = async_nats::jetstream::new(client.clone())
            .get_stream(subjects.stream("EVENTS"))
            .await
            .map_err(CliError::of("look up the stream of events"))?;
        let info = stream.info().await.map_err(CliError::of("look where the stream of events ends"))?;
        let begin = info.state.last_sequence + 1;
        // A filter can't say how a token begins: the events of several tenants are told apart here.
        let mut tenants = run.tenants();
        let subject = match (tenants.next(), tenants.next()) {
            (Some(tenant), None) => subjects.event_all().replace(".>", &format!(".{tenant}.>")),
            _ => subjects.event_all(),
        };
        Ok(Events { stream, subject, begin })
    }

    /// Waits for the relay as long as events of the run keep coming.
    pub async fn read(&self, run: &Run, expected: &Expected) -> Result<Seen, CliError> {
        let config = OrderedConfig {
            filter_subject: self.subject.clone(),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.begin },
            ..OrderedConfig::default()
        };
        let consumer = self.stream.create_consumer(config).await;
        let consumer = consumer.map_err(CliError::of("make a consumer of the events"))?;
        let mut messages = consumer.messages().await.map_err(CliError::of("consume the events"))?;
        let mut seen = Seen { told: HashMap::with_capacity(expected.holds.len()), ..Seen::default() };
        let (mut missing, mut pending) = (expected.holds.len(), 0);
        let (prefix, mut deadline) = (run.prefix(), Instant::now() + QUIET);
        while missing > 0 || pending > 0 {
            let Ok(Some(message)) = tokio::time::timeout_at(deadline, messages.next()).await else { break };
            let message = message.map_err(CliError::of("consume the events"))?;
            pending = message.info().map_err(CliError::of("read where an event stands in its stream"))?.pending;
            let tenant = message.subject.split('.').nth(TENANT_TOKEN);
            if tenant.is_some_and(|tenant| tenant.starts_with(&prefix)) {
                deadline = Instant::now() + QUIET;
                missing -= usize::from(seen.add(&message, expected));
            }
        }
        Ok(seen)
    }
}

impl Seen {
    /// Whether now all events of a reservation or lock of the run have come.
    fn add(&mut self, message: &Message, expected: &Expected) -> bool {
        let Some((id, event)) = read(&message.payload) else {
            self.unreadable += 1;
            return false;
        };
        let new = Told { events: 0, version: 0, state: State::Live, end: 0 };
        let told = self.told.entry(id).or_insert(new);
        self.disorder += usize::from(event.data.version != told.version + 1);
        told.version = event.data.version;
        told.events += 1;
        told.state = match message.subject.rsplit('.').next() {
            Some("canceled") => State::Canceled,
            Some("ended" | "expired") => State::Returned,
            _ => State::Live,
        };
        let end = event.data.end_time.and_then(|end| chrono::DateTime::parse_from_rfc3339(end).ok());
        told.end = end.map_or(0, |end| end.timestamp_micros());
        expected.holds.get(&id).is_some_and(|hold| hold.versions == told.events)
    }

    pub fn ids(&self) -> HashSet<Uuid> {
        self.told.keys().copied().collect()
    }

    pub fn judge(&self, run: &Run, expected: &Expected, faults: &mut Vec<String>) {
        fault(faults, self.disorder, "events do not carry the version after the last one");
        fault(faults, self.unreadable, "events can't be read");
        let pairs: Vec<(&Hold, &Told)> = expected
            .holds
            .iter()
            .filter(|(_, hold)| hold.is_sure)
            .filter_map(|(id, hold)| Some((hold, self.told.get(id)?)))
            .collect();
        let count =
            |is_wrong: &dyn Fn(&Hold, &Told) -> bool| pairs.iter().filter(|(hold, told)| is_wrong(hold, told)).count();
        let not = |state| count(&|hold, told| hold.state == state && told.state != state);
        fault(faults, not(State::Canceled), "canceled reservations have no event that ends them");
        fault(faults, not(State::Returned), "locks that were given back have no event that ends them");
        fault(faults, not(State::Live), "grants have an event that ends them, and nobody asked for that");
        let same = |hold: &Hold, told: &Told| hold.state == told.state;
        let missing = count(&|hold, told| same(hold, told) && told.events < hold.versions);
        fault(faults, missing, "grants have fewer events than changes");
        let extra = count(&|hold, told| same(hold, told) && told.events > hold.versions);
        fault(faults, extra, "grants have more events than changes");
        let moved = count(&|hold, told| {
            let Claim::Reservation { end } = hold.claim else { return false };
            told.events == hold.versions && told.end != run.instant(end).timestamp_micros()
        });
        fault(faults, moved, "reservations have a last event with another end");
    }
}

fn read(payload: &[u8]) -> Option<(Uuid, CloudEvent<'_>)> {
    let event: CloudEvent<'_> = serde_json::from_slice(payload).ok()?;
    Some((event.subject.parse().ok()?, event))
}
