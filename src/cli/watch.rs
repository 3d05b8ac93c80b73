//! `berth watch`: the lifecycle events, as lines for a person or as they are for a program.

use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::{self, ErrorCode, stream::Stream};
use async_nats::{Client, ConnectOptions};
use futures::StreamExt;
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{CliError, NatsArgs};
use crate::clock;
use crate::domain::id::Tenant;
use crate::domain::window::Instant;

pub const EXAMPLES: &str = "\
Examples:
  berth watch                                       what happens from now on, all tenants
  berth watch --tenant acme --since 10m             one tenant's, from ten minutes ago on
  berth watch --reservation 0198… --since all       the whole life of one reservation or lock
  berth watch --json --since all --count 100 | jq   CloudEvents, one a line

Waits where the stream is not there yet, and goes on after the server was restarted. Ctrl-C ends it.";

/// How long to wait before looking again for a stream that is not there.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub struct WatchArgs {
    /// Only this tenant's events
    #[arg(long, short)]
    tenant: Option<String>,

    /// Only the events of this reservation, or of this claim on a lock (its lock_id)
    #[arg(long, value_name = "ID")]
    reservation: Option<Uuid>,

    /// From when on: an instant (RFC 3339), how long ago (10m, 2h), or all [default: new events only]
    #[arg(long, value_name = "WHEN", value_parser = parse_since)]
    since: Option<Since>,

    /// One CloudEvent a line, byte for byte as it was published
    #[arg(long)]
    json: bool,

    /// End after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    #[command(flatten)]
    nats: NatsArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    All,
    At(Instant),
    Ago(Duration),
}

/// The first event to be shown, fixed once so that a consumer that is made again does not start anew.
#[derive(Clone, Copy, Debug)]
enum Start {
    Sequence(u64),
    Time(Instant),
}

/// Prints events until `stop`, or until there were as many as asked for.
pub async fn run(args: WatchArgs, stop: CancellationToken) -> Result<(), CliError> {
    tokio::select! {
        outcome = follow(&args) => outcome,
        () = stop.cancelled() => Ok(()),
    }
}

async fn follow(args: &WatchArgs) -> Result<(), CliError> {
    let filter = filter(args)?;
    let (client, disconnected) = connect(&args.nats).await?;
    let context = jetstream::new(client);
    let name = args.nats.subjects()?.stream("EVENTS");
    let stream = find(&context, &name).await?;
    let mut start = start(args.since, stream.cached_info().state.last_sequence);
    let mut events = consume(&stream, &filter, start).await?;
    eprintln!("watching {filter} in {name}");
    let mut left = args.count;
    loop {
        let message = tokio::select! {
            event = events.next() => match event {
                Some(Ok(message)) => Some(message),
                Some(Err(_)) | None => None,
            },
            () = disconnected.notified() => None,
        };
        // Whatever ended the consumer (its server, mostly): make another one that starts where this one stopped.
        let Some(message) = message else {
            events = resume(&context, &name, &filter, start).await?;
            continue;
        };
        let info = message.info().map_err(CliError::of("read where an event stands in its stream"))?;
        // A consumer that is made again before its first event starts at the stream's beginning.
        let is_early = match start {
            Start::Sequence(sequence) => info.stream_sequence < sequence,
            Start::Time(time) => info.published < time,
        };
        if is_early {
            continue;
        }
        start = Start::Sequence(info.stream_sequence + 1);
        if !is_wanted(args, &message.payload) {
            continue;
        }
        if !print(args, &message.payload)? {
            return Ok(());
        }
        left = left.map(|left| left - 1);
        if left == Some(0) {
            return Ok(());
        }
    }
}

/// A client, and what tells when it lost its server: the library's own recovery of a consumer begins much later.
async fn connect(nats: &NatsArgs) -> Result<(Client, Arc<Notify>), CliError> {
    let disconnected = Arc::new(Notify::new());
    let notify = disconnected.clone();
    let options = ConnectOptions::new().name("berth watch").event_callback(move |event| {
        if event == async_nats::Event::Disconnected {
            notify.notify_one();
        }
        std::future::ready(())
    });
    Ok((nats.connect_with(options).await?, disconnected))
}

fn filter(args: &WatchArgs) -> Result<String, CliError> {
    let tenant = match &args.tenant {
        None => None,
        Some(tenant) => {
            Some(Tenant::parse(tenant).ok_or_else(|| CliError::told("the tenant is not [a-z0-9][a-z0-9-]{0,62}"))?)
        }
    };
    let all = args.nats.subjects()?.event_all();
    Ok(match tenant {
        Some(tenant) => all.replace(".>", &format!(".{tenant}.>")),
        None => all,
    })
}

fn start(since: Option<Since>, last_sequence: u64) -> Start {
    match since {
        None => Start::Sequence(last_sequence + 1),
        Some(Since::All) => Start::Sequence(1),
        Some(Since::At(instant)) => Start::Time(instant),
        Some(Since::Ago(ago)) => {
            Start::Time(chrono::Duration::from_std(ago).map_or(Instant::MIN_UTC, |ago| clock::now() - ago))
        }
    }
}

/// The stream; waits for it where no worker has made it yet, or while the server does not answer.
async fn find(context: &jetstream::Context, name: &str) -> Result<Stream, CliError> {
    let mut has_told = false;
    loop {
        let why = match context.get_stream(name).await {
            Ok(stream) => return Ok(stream),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(cause) if cause.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    format!("the stream {name} is not there yet: waiting for a worker to make it")
                }
                GetStreamErrorKind::Request => "JetStream does not answer: waiting for it".to_owned(),
                _ => return Err(CliError::of(format!("look up the stream {name}"))(error)),
            },
        };
        if !std::mem::replace(&mut has_told, true) {
            eprintln!("{why}");
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// A consumer in place of one that failed, as soon as the server gives one.
async fn resume(context: &jetstream::Context, name: &str, filter: &str, start: Start) -> Result<Ordered, CliError> {
    loop {
        if let Ok(events) = consume(&find(context, name).await?, filter, start).await {
            return Ok(events);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn consume(stream: &Stream, filter: &str, start: Start) -> Result<Ordered, CliError> {
    let deliver_policy = match start {
        Start::Sequence(start_sequence) => DeliverPolicy::ByStartSequence { start_sequence },
        Start::Time(start_time) => DeliverPolicy::ByStartTime { start_time },
    };
    let config = OrderedConfig { filter_subject: filter.to_owned(), deliver_policy, ..OrderedConfig::default() };
    let consumer = stream.create_consumer(config).await.map_err(CliError::of("make a consumer of the events"))?;
    consumer.messages().await.map_err(CliError::of("consume the events"))
}

fn is_wanted(args: &WatchArgs, payload: &[u8]) -> bool {
    let Some(id) = args.reservation else { return true };
    let event: Value = serde_json::from_slice(payload).unwrap_or(Value::Null);
    text(&event, "subject").parse() == Ok(id)
}

/// Writes one event; `false` where nobody reads any more.
fn print(args: &WatchArgs, payload: &[u8]) -> Result<bool, CliError> {
    let mut bytes = match args.json {
        true => payload.to_vec(),
        false => match serde_json::from_slice(payload) {
            Ok(event) => line(&event).into_bytes(),
            Err(_) => b"(an event that is not JSON)".to_vec(),
        },
    };
    bytes.push(b'\n');
    let mut out = std::io::stdout().lock();
    match out.write_all(&bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(CliError::of("write an event")(error)),
    }
}

/// time, type, whose and what, id, version, status, what of it, by whom.
fn line(event: &Value) -> String {
    let data = event.get("data").unwrap_or(&Value::Null);
    // `data` holds the reservation or lock either as a member or as itself.
    let hold = ["reservation", "lock"].iter().find_map(|name| data.get(name)).unwrap_or(data);
    let field = |name: &str| match data.get(name) {
        Some(value) if !value.is_null() => value,
        _ => hold.get(name).unwrap_or(&Value::Null),
    };
    let mut tokens = text(event, "type").split('.').skip(1);
    let (kind, event_type) = (tokens.next().unwrap_or_default(), tokens.next().unwrap_or_default());
    let tenant = text(event, "source").rsplit('/').next().unwrap_or_default();
    let place = hold.get("slot").and_then(Value::as_str);
    let what = if kind == "lock" { place.unwrap_or_else(|| text(hold, "resource")) } else { text(hold, "pool") };
    let status = match (field("previous_status").as_str(), field("status").as_str().unwrap_or("?")) {
        (Some(before), after) if before != after => format!("{before} → {after}"),
        (_, after) => after.to_owned(),
    };
    let about = if kind == "lock" { about_lock(hold) } else { about_reservation(hold) };
    let mut line = format!(
        "{:<27}  {:<8}  {:<24}  {:<36}  v{:<3}  {:<18}  {about}",
        text(event, "time"),
        title_case(event_type),
        format!("{tenant}/{what}"),
        text(event, "subject"),
        // As text, because a JSON value takes no width.
        field("version").to_string(),
        status,
    );
    if let Some(reason) = field("end_reason").as_str() {
        line.push_str(&format!("  ({reason})"));
    }
    if let Some(actor) = field("actor").as_str() {
        line.push_str(&format!("  by {actor}"));
    }
    line
}

fn about_reservation(hold: &Value) -> String {
    let intervals = match hold.get("intervals").and_then(Value::as_array).map_or(0, Vec::len) {
        0 | 1 => String::new(),
        several => format!(" in {several} intervals"),
    };
    let quantity = hold.get("quantity").and_then(Value::as_u64).unwrap_or(0);
    format!("{} to {} × {quantity}{intervals}", text(hold, "start_time"), text(hold, "end_time"))
}

/// What waits has no fence yet; what was taken along is told from what was asked for.
fn about_lock(hold: &Value) -> String {
    let mut about = text(hold, "requester").to_owned();
    if let Some(fence) = hold.get("fencing_token").and_then(Value::as_i64) {
        about.push_str(&format!(", fence {fence}"));
    }
    if text(hold, "mode") == "shared" {
        about.push_str(", shared");
    }
    if hold.get("is_blocker") == Some(&Value::Bool(true)) {
        about.push_str(", as a blocker");
    }
    if let Some(until) = hold.get("expires_at").and_then(Value::as_str) {
        about.push_str(&format!(", until {until}"));
    }
    about
}

/// A member that is text, or nothing.
fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn title_case(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
    };
    name.split('_').map(word).collect::<Vec<_>>().join(" ")
}

fn parse_since(text: &str) -> Result<Since, String> {
    if text == "all" {
        return Ok(Since::All);
    }
    if let Ok(instant) = chrono::DateTime::parse_from_rfc3339(text) {
        return Ok(Since::At(instant.to_utc()));
    }
    humantime::parse_duration(text)
        .map(Since::Ago)
        .map_err(|_| "neither an instant like 2030-01-01T00:00:00Z, nor a duration like 10m, nor all".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_an_instant_a_duration_or_all() {
        assert_eq!(parse_since("all"), Ok(Since::All));
        assert_eq!(parse_since("10m"), Ok(Since::Ago(Duration::from_secs(600))));
        let instant = "2030-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(parse_since("2030-01-01T01:00:00+01:00"), Ok(Since::At(instant)));
        assert!(parse_since("yesterday").is_err());
    }

    #[test]
    fn an_event_is_one_line_whether_its_hold_is_a_member_of_data_or_data_itself() {
        let hold = r#""pool":"h100","status":"Active","quantity":4,"intervals":[{}],
            "start_time":"2030-01-01T00:00:00Z","end_time":"2030-01-01T01:00:00Z""#;
        let event = |data: String| {
            let id = "0198c5a0-0000-7000-8000-000000000001";
            let text = format!(
                r#"{{"type":"berth.reservation.active.v1","source":"/berth/acme","subject":"{id}",
                "time":"2029-12-31T23:59:59.5Z","data":{{"version":2,"previous_status":"Pending","actor":"alice",{data}}}}}"#
            );
            line(&serde_json::from_str(&text).unwrap())
        };
        let flat = event(hold.to_owned());
        assert_eq!(flat, event(format!(r#""reservation":{{{hold}}}"#)));
        assert_eq!(
            flat,
            "2029-12-31T23:59:59.5Z       Active    acme/h100                 0198c5a0-0000-7000-8000-000000000001  \
             v2    Pending → Active    2030-01-01T00:00:00Z to 2030-01-01T01:00:00Z × 4  by alice"
        );
    }

    #[test]
    fn a_lock_tells_its_slot_and_a_fence_once_it_has_one() {
        let event = |event_type: &str, data: &str| {
            let text = format!(
                r#"{{"type":"berth.lock.{event_type}.v1","source":"/berth/acme","subject":"7","time":"2029-12-31T23:59:59Z",
                "data":{{"version":1,"resource":"Printer","requester":"ann",{data}}}}}"#
            );
            let line = line(&serde_json::from_str(&text).unwrap());
            line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>()[1..].join(" | ")
        };
        let waiting = r#""slot":null,"status":"Waitlisted","fencing_token":null,"expires_at":"2030-01-01T00:00:00Z""#;
        assert_eq!(
            event("queued", waiting),
            "Queued | acme/Printer | 7 | v1 | Waitlisted | ann, until 2030-01-01T00:00:00Z"
        );
        let held = r#""slot":"Printer_2","status":"Active","fencing_token":5,"mode":"shared","is_blocker":true"#;
        assert_eq!(
            event("active", held),
            "Active | acme/Printer_2 | 7 | v1 | Active | ann, fence 5, shared, as a blocker"
        );
    }

    #[test]
    fn types_of_several_words_are_titles() {
        assert_eq!(title_case("ending_soon"), "Ending Soon");
    }
}
