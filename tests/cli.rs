//! The command line as a script sees it: what goes out, what is printed where, and the exit status. The program runs
//! as a process against a real nats-server; the worker is played by the test, so that each answer is known.

// Helpers of a test may fail as loudly as the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "cli/bench.rs"]
mod bench;
#[path = "cli/watch.rs"]
mod watch;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::jetstream::{self, stream};
use async_nats::{Client, HeaderMap, Message};
use futures::StreamExt;
use tokio::io::AsyncBufReadExt;
use tokio::sync::mpsc;

/// Far more than anything here takes: only a test that hangs meets it.
const PATIENCE: Duration = Duration::from_secs(60);

// --- servers -------------------------------------------------------------------------------------------------------

struct Nats {
    process: Child,
    port: u16,
    store: tempfile::TempDir,
}

impl Nats {
    fn start() -> Nats {
        let store = tempfile::tempdir().unwrap();
        let (process, port) = Nats::spawn(store.path(), "-1");
        Nats { process, port, store }
    }

    /// Kills the server and starts it again on the same port and store.
    fn restart(&mut self) {
        self.stop();
        (self.process, self.port) = Nats::spawn(self.store.path(), &self.port.to_string());
    }

    fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn spawn(store: &Path, port: &str) -> (Child, u16) {
        let mut process = Command::new(server_binary())
            .args(["-a", "127.0.0.1", "-p", port, "-js", "-sd"])
            .arg(store)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut port = None;
        for line in lines.by_ref() {
            if let Some((_, listens)) = line.split_once("Listening for client connections on 127.0.0.1:") {
                port = listens.trim().parse().ok();
            }
            if line.contains("Server is ready") {
                break;
            }
        }
        std::thread::spawn(move || lines.for_each(drop));
        (process, port.expect("nats-server did not start"))
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    async fn client(&self) -> Client {
        async_nats::connect(self.url()).await.unwrap()
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn server_binary() -> PathBuf {
    if let Some(path) = std::env::var_os("BERTH_NATS_SERVER") {
        return path.into();
    }
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(".berth/servers")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path if path.file_name().is_some_and(|name| name == "nats-server") => return path,
                _ => {}
            }
        }
    }
    panic!("no nats-server: set BERTH_NATS_SERVER, or put one into .berth/servers");
}

// --- the program ---------------------------------------------------------------------------------------------------

struct Ended {
    status: i32,
    stdout: String,
    stderr: String,
}

fn program(url: &str, arguments: &[&str]) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_berth"));
    command.args(arguments).env_clear().env("NATS_URL", url).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn berth(url: &str, arguments: &[&str]) -> Ended {
    ended(program(url, arguments).spawn().unwrap()).await
}

async fn ended(process: tokio::process::Child) -> Ended {
    let output = tokio::time::timeout(PATIENCE, process.wait_with_output()).await.unwrap().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { status: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

// --- the worker that the test plays --------------------------------------------------------------------------------

/// Answers every message on a subject with this, and passes on what it got.
async fn answer(
    client: &Client,
    subject: &str,
    headers: &[(&str, &str)],
    body: &'static str,
) -> mpsc::Receiver<Message> {
    let mut requests = client.subscribe(subject.to_owned()).await.unwrap();
    settled(client).await;
    let (client, headers) = (client.clone(), headers_of(headers));
    let (seen, sees) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let reply = request.reply.clone().unwrap();
            client.publish_with_headers(reply, headers.clone(), body.into()).await.unwrap();
            seen.send(request).await.unwrap();
        }
    });
    sees
}

/// Returns when the server has carried out all that this client sent before.
async fn settled(client: &Client) {
    let inbox = client.new_inbox();
    let mut messages = client.subscribe(inbox.clone()).await.unwrap();
    client.publish(inbox, "".into()).await.unwrap();
    messages.next().await.unwrap();
}

fn headers_of(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    pairs.iter().for_each(|(name, value)| headers.insert(*name, *value));
    headers
}

fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    Some(message.headers.as_ref()?.get(name)?.as_str())
}

async fn make_stream(client: &Client, name: &str, subject: &str) {
    let config = stream::Config { name: name.to_owned(), subjects: vec![subject.to_owned()], ..Default::default() };
    jetstream::new(client.clone()).create_stream(config).await.unwrap();
}

fn event(tenant: &str, kind: &str, id: &str, version: u32, data: &str) -> String {
    let kind_and_type = if version == 1 { format!("{kind}.placed") } else { format!("{kind}.active") };
    format!(
        r#"{{ "specversion":"1.0","type":"berth.{kind_and_type}.v1","source":"/berth/{tenant}","subject":"{id}","time":"2030-01-01T00:00:00Z","data":{{"version":{version},{data}}}}}"#
    )
}

async fn publish(client: &Client, subject: &str, body: &str) {
    jetstream::new(client.clone()).publish(subject.to_owned(), body.to_owned().into()).await.unwrap().await.unwrap();
}

/// Reads stderr up to a line that begins so.
async fn line_of(stderr: &mut (impl tokio::io::AsyncBufRead + Unpin), beginning: &str) -> String {
    let mut lines = stderr.lines();
    let find = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.starts_with(beginning) {
                return line;
            }
        }
        panic!("stderr ended without a line that begins with {beginning:?}");
    };
    tokio::time::timeout(PATIENCE, find).await.unwrap()
}

const ID: &str = "0198c5a0-0000-7000-8000-000000000001";
const OTHER_ID: &str = "0198c5a0-0000-7000-8000-000000000002";

// --- help and usage ------------------------------------------------------------------------------------------------

#[tokio::test]
async fn help_is_a_success_and_names_the_defaults() {
    let expectations: [(&[&str], &[&str]); 5] = [
        (&["--help"], &["dev", "migrate", "worker", "request", "watch", "bench", "Exit status", "T10:00:00Z\"}'"]),
        (&["worker", "--help"], &["[default: nats://127.0.0.1:4222]", "DATABASE_URL", "[default: berth]", "SIGTERM"]),
        (&["request", "--help"], &["[default: default]", "[default: 5s]", "reserve", "pool_put", "--submit"]),
        (&["watch", "--help"], &["[default: new events only]", "RFC 3339", "--count"]),
        (&["bench", "--help"], &["[default: 1024]", "[default: 1000]", "[default: 10]", "[default: reserve]"]),
    ];
    for (arguments, words) in expectations {
        let help = berth("", arguments).await;
        assert_eq!((help.status, help.stderr.as_str()), (0, ""), "{arguments:?}");
        for word in words {
            assert!(help.stdout.contains(word), "{arguments:?} does not mention {word:?}:\n{}", help.stdout);
        }
    }
}

#[tokio::test]
async fn wrong_usage_ends_with_1_because_2_means_refused() {
    let wrong: [(&[&str], &str); 7] = [
        (&["request", "reserv"], "reserve"),
        (&["request", "reserve", "--no-such-flag"], "--no-such-flag"),
        (&["request", "reserve", "--header", "no colon"], "no colon"),
        (&["request", "reserve", "--tenant", "ACME"], "error: the tenant is not [a-z0-9][a-z0-9-]{0,62}"),
        (&["request", "get", "--submit"], "error: get changes nothing: leave --submit out"),
        (&["request", "get", "--admin"], "error: get is a tenant's verb, not the operator's: leave --admin out"),
        (&["watch", "--since", "yesterday"], "yesterday"),
    ];
    for (arguments, word) in wrong {
        let ended = berth("nats://127.0.0.1:1", arguments).await;
        assert_eq!(ended.status, 1, "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(word), "{arguments:?}: {}", ended.stderr);
    }
}

// --- request -------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_request_goes_out_as_it_was_typed_and_its_answer_comes_back_byte_for_byte() {
    let nats = Nats::start();
    let body = r#"{"reservation_id":"x", "status":"Pending","n":1.50}"#;
    let mut requests = answer(&nats.client().await, "berth.v1.acme.reserve", &[], body).await;
    let typed = r#"{ "quantity": 1e1, "pool":"h100" ,"pool":"h100"}"#;
    let arguments = [
        "request",
        "reserve",
        typed,
        "--tenant",
        "acme",
        "--key",
        "order-1",
        "--header",
        "Berth-Actor: alice: the 1st",
    ];
    let ended = berth(&nats.url(), &arguments).await;
    assert_eq!((ended.status, ended.stdout, ended.stderr), (0, format!("{body}\n"), String::new()));
    let request = requests.recv().await.unwrap();
    assert_eq!(request.payload, typed.as_bytes());
    assert_eq!(header(&request, "Idempotency-Key"), Some("order-1"));
    assert_eq!(header(&request, "Berth-Actor"), Some("alice: the 1st"));
}

#[tokio::test]
async fn without_a_payload_an_empty_object_is_sent_and_a_dash_reads_stdin() {
    let nats = Nats::start();
    let mut requests = answer(&nats.client().await, "berth.v1.default.list", &[], r#"{"data":[]}"#).await;
    assert_eq!(berth(&nats.url(), &["request", "list"]).await.status, 0);
    assert_eq!(requests.recv().await.unwrap().payload, "{}".as_bytes());

    let mut process = program(&nats.url(), &["request", "list", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = process.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stdin, b"{\"limit\":\n 7}\n").await.unwrap();
    drop(stdin);
    assert_eq!(ended(process).await.status, 0);
    assert_eq!(requests.recv().await.unwrap().payload, "{\"limit\":\n 7}\n".as_bytes());
}

#[tokio::test]
async fn an_operator_verb_goes_to_the_operator_subject_of_the_root_that_is_given() {
    let nats = Nats::start();
    let mut requests = answer(&nats.client().await, "second.admin.v1.pool_put", &[], r#"{"version":1}"#).await;
    for arguments in [&["request", "pool_put", "{}"][..], &["request", "--admin", "pool_put", "{}"][..]] {
        let ended = berth(&nats.url(), &[arguments, &["--subject-root", "second"]].concat()).await;
        assert_eq!(ended.status, 0, "{}", ended.stderr);
        requests.recv().await.unwrap();
    }
}

#[tokio::test]
async fn a_refusal_is_printed_told_and_ends_with_2() {
    let nats = Nats::start();
    let client = nats.client().await;
    let body = r#"{"error":{"code":"insufficient_capacity","message":"Too many.","retryable":false}}"#;
    let headers = [("Nats-Service-Error-Code", "409"), ("Nats-Service-Error", "insufficient_capacity")];
    let _by_header = answer(&client, "berth.v1.default.reserve", &headers, body).await;
    let _by_body = answer(&client, "berth.v1.default.receipt", &[], body).await;
    let ended = berth(&nats.url(), &["request", "reserve"]).await;
    let told = "refused: 409 insufficient_capacity: Too many.\n".to_owned();
    assert_eq!((ended.status, ended.stdout, ended.stderr), (2, format!("{body}\n"), told));
    assert_eq!(berth(&nats.url(), &["request", "receipt"]).await.status, 2);
}

#[tokio::test]
async fn a_lock_that_was_not_obtained_ends_with_2_and_one_that_was_had_already_with_0() {
    let nats = Nats::start();
    let client = nats.client().await;
    let _lock = answer(&client, "berth.v1.default.lock", &[], r#"{"status":"ALREADY_HELD"}"#).await;
    let _unlock = answer(&client, "berth.v1.default.unlock", &[], r#"{"status":"NOT_RESERVED","released":[]}"#).await;
    let items = r#"[{"status":"RENEWED"},{"error":{"code":"not_found","message":"Gone."}}]"#;
    let _renew = answer(&client, "berth.v1.default.renew", &[], items).await;
    let had = r#"[{"status":"ACQUIRED"},{"status":"ALREADY_HAD"}]"#;
    let _had = answer(&client, "berth.v1.other.lock", &[], had).await;
    for (arguments, status, told) in [
        (&["request", "lock"][..], 2, "not obtained: ALREADY_HELD\n"),
        (&["request", "unlock"], 0, ""),
        (&["request", "renew", "[]"], 2, "1 of 2 items were not done, the first [1]: refused: not_found: Gone.\n"),
        (&["request", "lock", "-t", "other"], 0, ""),
    ] {
        let ended = berth(&nats.url(), arguments).await;
        assert_eq!((ended.status, ended.stderr.as_str()), (status, told), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_replay_is_told_on_stderr_and_is_a_success() {
    let nats = Nats::start();
    let _requests = answer(&nats.client().await, "berth.v1.default.cancel", &[("Berth-Replayed", "true")], "{}").await;
    let ended = berth(&nats.url(), &["request", "cancel"]).await;
    let told = "replayed: this is the stored answer to the key\n".to_owned();
    assert_eq!((ended.status, ended.stdout, ended.stderr), (0, "{}\n".to_owned(), told));
}

#[tokio::test]
async fn nobody_there_nobody_answering_and_no_server_are_told_apart_and_end_with_1() {
    let nats = Nats::start();
    let ended = berth(&nats.url(), &["request", "reserve"]).await;
    let told = "error: nobody serves berth.v1.default.reserve: is a worker running?\n";
    assert_eq!((ended.status, ended.stdout.as_str(), ended.stderr.as_str()), (1, "", told));

    let client = nats.client().await;
    let _silent = client.subscribe("berth.v1.default.reserve").await.unwrap();
    settled(&client).await;
    let ended = berth(&nats.url(), &["request", "reserve", "--timeout", "50ms", "--key", "k"]).await;
    let told = "error: no answer from berth.v1.default.reserve within 50ms; whether it was done is not known: send it \
                again with the same key\n";
    assert_eq!((ended.status, ended.stdout.as_str(), ended.stderr.as_str()), (1, "", told));

    let ended = berth("nats://bob:secret@127.0.0.1:1", &["request", "reserve"]).await;
    assert_eq!((ended.status, ended.stdout.as_str()), (1, ""));
    assert!(ended.stderr.starts_with("error: could not connect to NATS at nats://127.0.0.1:1: "), "{}", ended.stderr);
    assert!(!ended.stderr.contains("secret"));
}

// --- request --submit ----------------------------------------------------------------------------------------------

/// A worker of the durable path: answers each message, after the result of somebody else.
async fn decide(client: &Client, body: &'static str) -> mpsc::Receiver<Message> {
    make_stream(client, "BERTH_SUBMIT", "berth.submit.v1.>").await;
    let mut submitted = client.subscribe("berth.submit.v1.>").await.unwrap();
    settled(client).await;
    let client = client.clone();
    let (seen, sees) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Some(message) = submitted.next().await {
            let subject = message.subject.replace(".submit.", ".result.");
            let key = header(&message, "Idempotency-Key").unwrap().to_owned();
            for (key, body) in [("another", r#"{"error":{}}"#), (&key, body)] {
                let headers = headers_of(&[("Idempotency-Key", key)]);
                client.publish_with_headers(subject.clone(), headers, body.into()).await.unwrap();
            }
            seen.send(message).await.unwrap();
        }
    });
    sees
}

#[tokio::test]
async fn a_submitted_request_is_acknowledged_and_its_own_result_is_waited_for() {
    let nats = Nats::start();
    let mut submitted = decide(&nats.client().await, r#"{"status":"Pending"}"#).await;
    let ended = berth(&nats.url(), &["request", "--submit", "reserve", "{\"a\":1}", "--key", "k1"]).await;
    let told = "accepted: stream BERTH_SUBMIT, sequence 1, key k1\n".to_owned();
    assert_eq!((ended.status, ended.stdout, ended.stderr), (0, "{\"status\":\"Pending\"}\n".to_owned(), told));
    let message = submitted.recv().await.unwrap();
    assert_eq!(
        (message.subject.as_str(), &message.payload[..]),
        ("berth.submit.v1.default.reserve", &b"{\"a\":1}"[..])
    );

    // Without a key it makes one, and tells it.
    let ended = berth(&nats.url(), &["request", "--submit", "reserve"]).await;
    let message = submitted.recv().await.unwrap();
    let key = header(&message, "Idempotency-Key").unwrap();
    assert_eq!((ended.status, ended.stderr), (0, format!("accepted: stream BERTH_SUBMIT, sequence 2, key {key}\n")));
}

#[tokio::test]
async fn a_submitted_request_that_is_refused_later_ends_with_2() {
    let nats = Nats::start();
    let _submitted = decide(&nats.client().await, r#"{"error":{"code":"unknown_pool","message":"No."}}"#).await;
    let ended = berth(&nats.url(), &["request", "--submit", "reserve", "--key", "k1"]).await;
    assert_eq!(ended.status, 2);
    assert!(ended.stderr.ends_with("refused: unknown_pool: No.\n"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_submitted_request_need_not_be_waited_for_and_needs_a_stream() {
    let nats = Nats::start();
    let ended = berth(&nats.url(), &["request", "--submit", "reserve"]).await;
    assert_eq!(ended.status, 1);
    assert!(ended.stderr.starts_with("error: no stream takes berth.submit.v1.default.reserve"), "{}", ended.stderr);

    make_stream(&nats.client().await, "BERTH_SUBMIT", "berth.submit.v1.>").await;
    let ended = berth(&nats.url(), &["request", "--submit", "--no-wait", "reserve", "--key", "k1"]).await;
    assert_eq!((ended.status, ended.stdout.as_str()), (0, ""));

    let ended = berth(&nats.url(), &["request", "--submit", "reserve", "--key", "k2", "--timeout", "50ms"]).await;
    assert_eq!((ended.status, ended.stdout.as_str()), (1, ""));
    assert!(ended.stderr.contains("the request is kept and will be decided"), "{}", ended.stderr);
}
