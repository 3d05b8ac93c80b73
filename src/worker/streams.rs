//! The three streams: made where they are missing, checked where they are there.
//!
//! | stream | keeps | a full one |
//! |---|---|---|
//! | `<ROOT>_SUBMIT` | commands until they are decided | refuses the next command |
//! | `<ROOT>_RESULT` | outcomes of submitted commands, 72 hours | drops the oldest |
//! | `<ROOT>_EVENTS` | lifecycle events, for good | is bounded by the disk, or as its operator sets it |
//!
//! What an operator may decide (ages, sizes, replicas, placement) is not checked; what would lose, repeat or forge
//! something is.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::{AccountErrorKind, CreateStreamErrorKind, GetStreamByNameErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, PersistenceMode, RetentionPolicy, StorageType};

use crate::wire::subject::Subjects;

/// The oldest nats-server whose atomic batches take `Nats-Msg-Id`.
const SERVER_OLDEST: (i64, i64, i64) = (2, 12, 1);

/// Most commands that wait in `<ROOT>_SUBMIT`.
const SUBMIT_MESSAGES_MAX: i64 = 1_000_000;

/// Most bytes that wait in `<ROOT>_SUBMIT`; JetStream sets them aside when the stream is made.
const SUBMIT_BYTES_MAX: i64 = 1 << 30;

/// How long results can be read from the stream; by key they can be read for as long as receipts are kept.
const RESULT_KEPT: Duration = Duration::from_hours(72);

/// Within it a result that is published again, after a crash before its command was acknowledged, is stored once.
const RESULT_DUPLICATE_WINDOW: Duration = Duration::from_mins(2);

/// The smallest that JetStream takes. Where message ids are not berth's own they must not be compared across tenants
/// (SUBMIT), and where a fence rules out repetitions, remembering ids only costs memory (EVENTS).
const DUPLICATE_WINDOW_MIN: Duration = Duration::from_millis(100);

/// Why a worker does not start on these streams: one sentence each.
#[derive(Debug, thiserror::Error)]
pub enum UnfitStreams {
    #[error("JetStream is not enabled for this NATS account: start nats-server with --jetstream, or enable it there")]
    NoJetStream,
    #[error("nats-server is {found}, berth needs {needed} or later for atomic batches: update the server")]
    ServerTooOld { found: String, needed: String },
    #[error(
        "the stream {stream} covers the request subject {subject}: requesters would get its acknowledgement instead of \
         an answer; take the subject out of the stream"
    )]
    CoversRequests { stream: String, subject: String },
    #[error("the stream {stream} has {setting} = {found}, berth needs {needed}: change it, or remove the stream")]
    Setting { stream: String, setting: &'static str, found: String, needed: String },
    #[error("could not {attempt}")]
    JetStream {
        attempt: &'static str,
        #[source]
        source: async_nats::Error,
    },
}

impl UnfitStreams {
    fn of<E: Into<async_nats::Error>>(attempt: &'static str) -> impl FnOnce(E) -> UnfitStreams {
        move |source| UnfitStreams::JetStream { attempt, source: source.into() }
    }
}

/// Makes `<ROOT>_SUBMIT`, `<ROOT>_RESULT` and `<ROOT>_EVENTS` where they are missing and checks all three, and that
/// no stream covers a request subject.
pub async fn prepare(client: &async_nats::Client, subjects: &Subjects) -> Result<(), UnfitStreams> {
    let context = async_nats::jetstream::new(client.clone());
    check_server(client, &context).await?;
    check_uncovered(&context, subjects).await?;
    for wanted in [submit(subjects), result(subjects), events(subjects)] {
        make_or_check(&context, wanted).await?;
    }
    Ok(())
}

async fn check_server(client: &async_nats::Client, context: &Context) -> Result<(), UnfitStreams> {
    let (major, minor, patch) = SERVER_OLDEST;
    if !client.is_server_compatible(major, minor, patch) {
        let found = client.server_info().version;
        return Err(UnfitStreams::ServerTooOld { found, needed: format!("{major}.{minor}.{patch}") });
    }
    match context.query_account().await {
        Ok(_) => Ok(()),
        Err(error) => Err(match error.kind() {
            AccountErrorKind::JetStreamUnavailable | AccountErrorKind::JetStream(_) => UnfitStreams::NoJetStream,
            AccountErrorKind::TimedOut | AccountErrorKind::Other => {
                UnfitStreams::of("ask whether JetStream is enabled")(error)
            }
        }),
    }
}

async fn check_uncovered(context: &Context, subjects: &Subjects) -> Result<(), UnfitStreams> {
    let root = subjects.root();
    let requests = [format!("{root}.v1.>"), format!("{root}.admin.v1.>")];
    for subject in requests.into_iter().chain([subjects.wake(), subjects.home(">")]) {
        if let Some(stream) = overlapping(context, &subject).await? {
            return Err(UnfitStreams::CoversRequests { stream, subject });
        }
    }
    Ok(())
}

/// The first stream of the account one of whose subjects overlaps with this one, wildcards on either side.
async fn overlapping(context: &Context, subject: &str) -> Result<Option<String>, UnfitStreams> {
    match context.stream_by_subject(subject).await {
        Ok(name) => Ok(Some(name)),
        Err(error) if error.kind() == GetStreamByNameErrorKind::NotFound => Ok(None),
        Err(error) => Err(UnfitStreams::of("look for streams by subject")(error)),
    }
}

fn submit(subjects: &Subjects) -> Config {
    Config {
        name: subjects.stream("SUBMIT"),
        description: Some("Commands that wait to be decided".to_owned()),
        subjects: vec![subjects.submit_all()],
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        max_messages: SUBMIT_MESSAGES_MAX,
        max_bytes: SUBMIT_BYTES_MAX,
        storage: StorageType::File,
        duplicate_window: DUPLICATE_WINDOW_MIN,
        num_replicas: 1,
        ..Config::default()
    }
}

fn result(subjects: &Subjects) -> Config {
    Config {
        name: subjects.stream("RESULT"),
        description: Some("Outcomes of submitted commands".to_owned()),
        subjects: vec![subjects.result_all()],
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        max_age: RESULT_KEPT,
        storage: StorageType::File,
        duplicate_window: RESULT_DUPLICATE_WINDOW,
        num_replicas: 1,
        ..Config::default()
    }
}

fn events(subjects: &Subjects) -> Config {
    Config {
        name: subjects.stream("EVENTS"),
        description: Some("Lifecycle events of reservations and locks".to_owned()),
        subjects: vec![subjects.event_all()],
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        duplicate_window: DUPLICATE_WINDOW_MIN,
        deny_delete: true,
        deny_purge: true,
        allow_atomic_publish: true,
        allow_direct: true,
        num_replicas: 1,
        ..Config::default()
    }
}

async fn make_or_check(context: &Context, wanted: Config) -> Result<(), UnfitStreams> {
    if let Some(found) = existing(context, &wanted.name).await? {
        return check(&found, &wanted);
    }
    for subject in &wanted.subjects {
        // Its own name: another worker has made it just now.
        if let Some(stream) = overlapping(context, subject).await?.filter(|stream| *stream != wanted.name) {
            let found = format!("subjects that overlap with {subject}");
            let needed = format!("them in {} alone", wanted.name);
            return Err(UnfitStreams::Setting { stream, setting: "subjects", found, needed });
        }
    }
    match context.create_stream(wanted.clone()).await {
        // Checked all the same: a server takes a setting that it does not know, and leaves it out.
        Ok(stream) => check(&stream.cached_info().config, &wanted),
        Err(error) if is_taken(&error.kind()) => match existing(context, &wanted.name).await? {
            Some(found) => check(&found, &wanted),
            None => Err(UnfitStreams::of("make a stream")(error)),
        },
        Err(error) => Err(UnfitStreams::of("make a stream")(error)),
    }
}

/// Has another worker made the stream just now?
fn is_taken(kind: &CreateStreamErrorKind) -> bool {
    use async_nats::jetstream::ErrorCode;
    matches!(kind, CreateStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NAME_EXIST)
}

async fn existing(context: &Context, name: &str) -> Result<Option<Config>, UnfitStreams> {
    use async_nats::jetstream::ErrorCode;
    use async_nats::jetstream::context::GetStreamErrorKind;
    match context.get_stream(name).await {
        Ok(stream) => Ok(Some(stream.cached_info().config.clone())),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(cause) if cause.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
            _ => Err(UnfitStreams::of("look a stream up")(error)),
        },
    }
}

/// Names the first setting that would lose, repeat or forge something.
fn check(found: &Config, wanted: &Config) -> Result<(), UnfitStreams> {
    let unfit = |setting, found: String, needed: String| {
        Err(UnfitStreams::Setting { stream: wanted.name.clone(), setting, found, needed })
    };
    if found.subjects != wanted.subjects {
        return unfit("subjects", found.subjects.join(","), wanted.subjects.join(","));
    }
    if found.retention != wanted.retention {
        return unfit("retention", format!("{:?}", found.retention), format!("{:?}", wanted.retention));
    }
    if found.storage != wanted.storage {
        return unfit("storage", format!("{:?}", found.storage), format!("{:?}", wanted.storage));
    }
    // How a full EVENTS behaves is its operator's choice: the relay waits, or old events go.
    if found.discard != wanted.discard && !wanted.allow_atomic_publish {
        return unfit("discard", format!("{:?}", found.discard), format!("{:?}", wanted.discard));
    }
    if found.max_messages_per_subject > 0 {
        return unfit("max_msgs_per_subject", found.max_messages_per_subject.to_string(), "no such limit".to_owned());
    }
    if found.persist_mode == Some(PersistenceMode::Async) {
        return unfit("persist_mode", "async".to_owned(), "default".to_owned());
    }
    if found.mirror.is_some() || found.sources.as_ref().is_some_and(|sources| !sources.is_empty()) {
        return unfit("sources", "other streams".to_owned(), "none".to_owned());
    }
    if found.subject_transform.is_some() {
        return unfit("subject_transform", "a transform".to_owned(), "none".to_owned());
    }
    check_flags(found, wanted)?;
    check_duplicate_window(found, wanted)
}

fn check_flags(found: &Config, wanted: &Config) -> Result<(), UnfitStreams> {
    let flags = [
        ("sealed", found.sealed, Some(false)),
        ("no_ack", found.no_ack, Some(false)),
        ("deny_delete", found.deny_delete, wanted.deny_delete.then_some(true)),
        ("deny_purge", found.deny_purge, wanted.deny_purge.then_some(true)),
        ("allow_atomic", found.allow_atomic_publish, wanted.allow_atomic_publish.then_some(true)),
    ];
    for (setting, found, needed) in flags {
        if let Some(needed) = needed
            && found != needed
        {
            let (stream, found, needed) = (wanted.name.clone(), found.to_string(), needed.to_string());
            return Err(UnfitStreams::Setting { stream, setting, found, needed });
        }
    }
    Ok(())
}

fn check_duplicate_window(found: &Config, wanted: &Config) -> Result<(), UnfitStreams> {
    let shortest = wanted.duplicate_window == DUPLICATE_WINDOW_MIN;
    let fits = if shortest {
        found.duplicate_window <= wanted.duplicate_window
    } else {
        found.duplicate_window >= wanted.duplicate_window
    };
    if fits {
        return Ok(());
    }
    let bound = if shortest { "at most" } else { "at least" };
    Err(UnfitStreams::Setting {
        stream: wanted.name.clone(),
        setting: "duplicate_window",
        found: format!("{:?}", found.duplicate_window),
        needed: format!("{bound} {:?}", wanted.duplicate_window),
    })
}
