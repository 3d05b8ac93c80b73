//! Clients that nobody here wrote, against a worker: nats-py from Python, and the examples that the npm package `nats`
//! ships, `nats-req.js` and `nats-sub.js`. `scripts/clients.py` fetches them, pinned, the first time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test's way to fail

#[path = "it/harness.rs"]
#[allow(dead_code)] // it is shared with other tests, each of which needs its own part
mod harness;
mod servers;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use harness::{Berth, hours_from_now, within};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const NODE_IS_MISSING: i32 = 3;
/// Between two attempts to be heard by a subscriber that may not have subscribed yet.
const PROBE_DELAY: Duration = Duration::from_millis(100);

/// What `scripts/clients.py` answers: the folder, or its sentence and exit status.
fn fetch(kind: &str) -> Result<PathBuf, (Option<i32>, String)> {
    let python = std::process::Command::new("python3").arg(format!("{ROOT}/scripts/clients.py")).arg(kind).output();
    let output = python.map_err(|error| (None, format!("python3 can't be run ({error}): install it")))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output.status.success() {
        true => Ok(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())),
        false => Err((output.status.code(), said)),
    }
}

static PYTHON: LazyLock<Result<PathBuf, (Option<i32>, String)>> = LazyLock::new(|| fetch("python"));
static NODE: LazyLock<Result<PathBuf, (Option<i32>, String)>> = LazyLock::new(|| fetch("node"));

/// `None`: this machine has no node, and is not the one that decides whether a change goes in.
fn examples() -> Option<PathBuf> {
    match &*NODE {
        Ok(folder) => Some(folder.join("node_modules/nats/examples")),
        Err((Some(NODE_IS_MISSING), said)) if std::env::var("CI").as_deref() != Ok("true") => {
            // Written past the test runner, which keeps what a passing test prints.
            let _ = writeln!(std::io::stderr(), "skipped: the npm client was not tested: {said}");
            None
        }
        Err((_, said)) => panic!("{said}"),
    }
}

async fn berth() -> Berth {
    let berth = Berth::start().await;
    berth.pool("p", 8).await;
    berth
}

/// Runs one of `tests/clients/python/checks.py`.
async fn check(name: &str) {
    let packages = PYTHON.as_ref().unwrap_or_else(|(_, said)| panic!("{said}"));
    let berth = berth().await;
    let mut python = Command::new("python3");
    python.arg(format!("{ROOT}/tests/clients/python/checks.py")).args([name, &berth.nats_url, &berth.root]);
    python.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1");
    let Output { status, stdout, stderr } = within(name, python.kill_on_drop(true).output()).await.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn python_requests_a_reservation_and_a_second_time_gets_the_same_bytes() {
    check("request_and_replay").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_reads_a_refusal_from_the_error_headers_and_from_the_body() {
    check("refusal").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_finds_the_service_with_all_its_endpoints() {
    check("discovery").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_submits_durably_and_reads_the_result_from_the_stream() {
    check("durable_submit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_pull_consumer_in_python_sees_every_version_once() {
    check("pull_consumer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_consumer_in_python_sees_every_version_once() {
    check("push_consumer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_takes_a_lock_gives_it_back_and_the_next_holder_has_a_higher_fence() {
    check("locks").await;
}

fn node(examples: &Path, script: &str, berth: &Berth) -> Command {
    let mut command = Command::new("node");
    command.arg(examples.join(script)).args(["-s", &berth.nats_url]).kill_on_drop(true);
    command
}

/// `nats-req.js`: the reply's body, and the line of its headers where it has some.
async fn request(examples: &Path, berth: &Berth, verb: &str, headers: &str, body: &Value) -> (Value, Option<String>) {
    let subject = format!("{}.v1.acme.{verb}", berth.root);
    let mut command = node(examples, "nats-req.js", berth);
    command.args(["-t", "30000", &format!("--headers={headers}"), &subject, &body.to_string()]);
    let output = within("nats-req.js", command.output()).await.unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let mut lines = printed.lines().skip_while(|line| !line.starts_with("[1]: "));
    let reply = lines.next().unwrap_or_else(|| panic!("no reply: {printed}"));
    let body = serde_json::from_str(&reply["[1]: ".len()..]).unwrap_or_else(|error| panic!("{reply}: {error}"));
    (body, lines.next().map(|line| line.trim().to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_req_js_shows_the_reply_its_replay_and_the_headers_of_a_refusal() {
    let Some(examples) = examples() else { return };
    let berth = berth().await;
    let mut body = json!({"pool": "p", "start_time": hours_from_now(1), "end_time": hours_from_now(2), "quantity": 8});
    let (placed, headers) = request(&examples, &berth, "reserve", "Idempotency-Key=order-1", &body).await;
    assert_eq!((&placed["status"], headers), (&json!("Pending"), None));
    let (replayed, headers) = request(&examples, &berth, "reserve", "Idempotency-Key=order-1", &body).await;
    assert_eq!((replayed, headers.as_deref()), (placed, Some("Berth-Replayed=true")));
    body["quantity"] = json!(1);
    let (refused, headers) = request(&examples, &berth, "reserve", "Idempotency-Key=order-2", &body).await;
    assert_eq!(refused["error"]["details"]["intervals"][0]["available"], 0, "{refused}");
    let headers = headers.unwrap();
    for header in ["Nats-Service-Error-Code=409", "Nats-Service-Error=insufficient_capacity"] {
        assert!(headers.split(';').any(|found| found == header), "{headers}");
    }
}

/// `nats-sub.js`, and the lines that it prints.
struct Subscriber {
    _process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Subscriber {
    /// Started, and heard: a message published for it has come.
    async fn start(examples: &Path, berth: &Berth) -> Subscriber {
        let mut command = node(examples, "nats-sub.js", berth);
        let mut process = command.arg(format!("{}.>", berth.root)).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut subscriber = Subscriber { _process: process, lines };
        let probe = format!("{}.probe", berth.root);
        let heard = async {
            let mut tick = tokio::time::interval(PROBE_DELAY);
            loop {
                tokio::select! {
                    _ = tick.tick() => berth.nats.publish(probe.clone(), "".into()).await.unwrap(),
                    line = subscriber.lines.next_line() => if line.unwrap().unwrap().contains(&probe) { return },
                }
            }
        };
        within("nats-sub.js to subscribe", heard).await;
        subscriber
    }

    /// The next message with such a subject.
    async fn next(&mut self, prefix: &str) -> (String, Value) {
        loop {
            let line = within("a message", self.lines.next_line()).await.unwrap().unwrap();
            let Some((_, rest)) = line.split_once("]: ") else { continue };
            let Some((subject, body)) = rest.split_once(": ") else { continue };
            if subject.starts_with(prefix) {
                return (subject.to_owned(), serde_json::from_str(body).unwrap());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_sub_js_sees_a_reservation_start_and_end_and_a_hold_expire() {
    let Some(examples) = examples() else { return };
    let berth = berth().await;
    let mut subscriber = Subscriber::start(&examples, &berth).await;
    let (start, end) = (harness::seconds_from_now(2), harness::seconds_from_now(4));
    let body = json!({"pool": "p", "start_time": start, "end_time": end, "quantity": 2});
    berth.ask("reserve", body).await.ok();
    let (start, end) = (hours_from_now(1), hours_from_now(2));
    let body = json!({"pool": "p", "start_time": start, "end_time": end, "quantity": 2, "hold_seconds": 1});
    berth.ask("reserve", body).await.ok();
    let prefix = format!("{}.event.v1.acme.reservation.p.", berth.root);
    let mut kinds = Vec::new();
    while kinds.len() < 5 {
        let (subject, event) = subscriber.next(&prefix).await;
        let kind = subject[prefix.len()..].to_owned();
        assert_eq!(event["type"], format!("berth.reservation.{kind}.v1"));
        kinds.push(kind);
    }
    kinds.sort();
    assert_eq!(kinds, ["active", "ended", "expired", "held", "placed"]);
}
