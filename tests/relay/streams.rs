//! The streams: made where they are missing, refused by name where they would lose or forge something.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use berth::cli::stack::Servers;
use berth::wire::subject::Subjects;
use berth::worker::streams::{UnfitStreams, prepare};

use super::space;

#[tokio::test]
async fn missing_streams_are_made_and_fit_a_second_time() {
    let (nats, context, subjects) = space().await;
    prepare(&nats, &subjects).await.unwrap();
    prepare(&nats, &subjects).await.unwrap();
    let config = async |name| context.get_stream(subjects.stream(name)).await.unwrap().cached_info().config.clone();

    let submit: Config = config("SUBMIT").await;
    assert_eq!(submit.subjects, [subjects.submit_all()]);
    assert_eq!((submit.retention, submit.discard), (RetentionPolicy::WorkQueue, DiscardPolicy::New));
    assert_eq!(submit.duplicate_window, Duration::from_millis(100));
    assert!(submit.max_bytes > 0 && submit.max_messages > 0);
    let result: Config = config("RESULT").await;
    assert_eq!(result.subjects, [subjects.result_all()]);
    assert_eq!((result.max_age, result.duplicate_window), (Duration::from_hours(72), Duration::from_mins(2)));
    let events: Config = config("EVENTS").await;
    assert_eq!(events.subjects, [subjects.event_all()]);
    assert!(events.deny_delete && events.deny_purge && events.allow_atomic_publish);
    assert_eq!((events.max_age, events.duplicate_window), (Duration::ZERO, Duration::from_millis(100)));
    assert_eq!(events.storage, StorageType::File);
}

#[tokio::test]
async fn streams_that_many_workers_make_at_once_fit_them_all() {
    let (nats, _, subjects) = space().await;
    let prepared = (0..8).map(|_| prepare(&nats, &subjects));
    assert!(futures::future::join_all(prepared).await.into_iter().all(|prepared| prepared.is_ok()));
}

#[tokio::test]
async fn a_repeated_result_is_stored_once() {
    let (nats, context, subjects) = space().await;
    prepare(&nats, &subjects).await.unwrap();
    for is_repeated in [false, true] {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", "submitted-7");
        let subject = subjects.result("acme", "reserve");
        let ack = context.publish_with_headers(subject, headers, "{}".into()).await.unwrap().await.unwrap();
        assert_eq!(ack.duplicate, is_repeated);
    }
}

#[tokio::test]
async fn a_stream_over_requests_or_what_workers_tell_each_other_is_refused() {
    let of_requests = ["ROOT.v1.acme.reserve", "ROOT.v1.*.reserve", "ROOT.admin.v1.>", "*.v1.acme.get"];
    for covered in of_requests.into_iter().chain(["ROOT.wake.v1", "ROOT.home.v1.w1.>"]) {
        let (nats, context, subjects) = space().await;
        let subject = covered.replace("ROOT", subjects.root());
        // Another test's root stands in no other one's way.
        let subject = subject.replace('*', if subject.starts_with('*') { subjects.root() } else { "*" });
        let name = format!("{}_OTHER", subjects.root());
        let other = Config { name: name.clone(), subjects: vec![subject], ..Config::default() };
        context.create_stream(other).await.unwrap();
        let refused = prepare(&nats, &subjects).await.unwrap_err();
        assert!(matches!(&refused, UnfitStreams::CoversRequests { stream, .. } if *stream == name), "{refused}");
        context.delete_stream(&name).await.unwrap();
        prepare(&nats, &subjects).await.unwrap();
    }
}

#[tokio::test]
async fn another_stream_over_the_events_is_named() {
    let (nats, context, subjects) = space().await;
    let name = format!("{}_OTHER", subjects.root());
    let subject = format!("{}.event.>", subjects.root());
    context.create_stream(Config { name: name.clone(), subjects: vec![subject], ..Config::default() }).await.unwrap();
    let refused = prepare(&nats, &subjects).await.unwrap_err();
    let expected = format!("the stream {name} has subjects = subjects that overlap with {}", subjects.event_all());
    assert!(refused.to_string().starts_with(&expected), "{refused}");
}

#[tokio::test]
async fn each_setting_that_would_lose_or_forge_something_is_refused_by_name() {
    type Change = fn(&mut Config);
    let settings: [(&str, &str, Change); 10] = [
        ("EVENTS", "subjects", |config| config.subjects.push(format!("{}.more", config.name))),
        ("EVENTS", "storage", |config| config.storage = StorageType::Memory),
        ("EVENTS", "deny_delete", |config| config.deny_delete = false),
        ("EVENTS", "deny_purge", |config| config.deny_purge = false),
        ("EVENTS", "allow_atomic", |config| config.allow_atomic_publish = false),
        ("EVENTS", "max_msgs_per_subject", |config| config.max_messages_per_subject = 5),
        ("EVENTS", "duplicate_window", |config| config.duplicate_window = Duration::from_secs(120)),
        ("SUBMIT", "retention", |config| config.retention = RetentionPolicy::Limits),
        ("SUBMIT", "discard", |config| config.discard = DiscardPolicy::Old),
        ("RESULT", "duplicate_window", |config| config.duplicate_window = Duration::from_secs(1)),
    ];
    for (stream, setting, change) in settings {
        let (nats, context, subjects) = space().await;
        prepare(&nats, &subjects).await.unwrap();
        let name = subjects.stream(stream);
        let mut config = context.get_stream(&name).await.unwrap().cached_info().config.clone();
        change(&mut config);
        context.delete_stream(&name).await.unwrap();
        context.create_stream(config).await.unwrap();
        let refused = prepare(&nats, &subjects).await.unwrap_err().to_string();
        assert!(refused.starts_with(&format!("the stream {name} has {setting} = ")), "{setting}: {refused}");
    }
}

#[tokio::test]
async fn a_server_without_jetstream_is_refused_in_words() {
    let mut server = std::process::Command::new(Servers::find().unwrap().nats_server)
        .args(["-a", "127.0.0.1", "-p", "-1"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Read to the end of the test: a server that cannot log dies.
    let mut log = std::io::BufRead::lines(std::io::BufReader::new(server.stderr.take().unwrap()));
    let start = log.by_ref().map(Result::unwrap).take_while(|line| !line.contains("Server is ready"));
    let start: Vec<String> = start.collect();
    let address = start.iter().find_map(|line| line.split_once("client connections on ")).unwrap().1;
    let nats = async_nats::connect(address).await.unwrap();
    let refused = prepare(&nats, &Subjects::new("berth").unwrap()).await.unwrap_err();
    assert!(matches!(refused, UnfitStreams::NoJetStream), "{refused}");
    server.kill().unwrap();
    server.wait().unwrap();
}
