//! What no well-behaved client library sends: bytes straight into the server.

use futures::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Scene;
use crate::harness::{metric, within};

/// Headers that can't be read.
const UNREADABLE: [&[u8]; 4] = [
    b"NATS/1.0\r\nBerth-Actor: \xff\xfe\r\n\r\n",
    b"NATS/1.0\r\nBerth-Actor: a\rb\r\n\r\n",
    b"NATS/1.0\r\nno colon\r\n\r\n",
    b"NATS/9.9\r\nBerth-Actor: me\r\n\r\n",
];
/// A first line that is none of a request's; a stream cuts off what is behind the version.
const FIRST_LINES: [&[u8]; 4] = [
    b"NATS/1.0\n \r\n\r\n",
    b"NATS/1.0 abc\r\n\r\n",
    b"NATS/1.0 100 Idle Heartbeat\r\n\r\n",
    b"NATS/1.0 409 Consumer Deleted\r\n\r\n",
];
const TOLD: &str = "headers invalid_string";

/// Publishes with these bytes as headers, and returns when the server has taken it.
async fn publish_raw(nats_url: &str, subject: &[u8], reply: &[u8], headers: &[u8], payload: &[u8]) {
    let mut stream = TcpStream::connect(nats_url.trim_start_matches("nats://")).await.unwrap();
    let mut sent = b"CONNECT {\"verbose\":false,\"headers\":true}\r\nHPUB ".to_vec();
    sent.extend([subject, b" ", reply].concat());
    sent.extend(format!(" {} {}\r\n", headers.len(), headers.len() + payload.len()).into_bytes());
    sent.extend([headers, payload, b"\r\nPING\r\n"].concat());
    stream.write_all(&sent).await.unwrap();
    let mut heard = Vec::new();
    while !heard.windows(4).any(|window| window == b"PONG") {
        let read = within("the server's answer", stream.read_buf(&mut heard)).await.unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&heard));
    }
}

fn told(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap();
    let details = &body["error"]["details"];
    format!("{} {}", details["field"].as_str().unwrap_or_default(), details["reason"].as_str().unwrap_or_default())
}

/// Each is refused, and between them nobody's request is lost: one that is would not be answered at all.
#[tokio::test(flavor = "multi_thread")]
async fn headers_that_cannot_be_read_are_refused_and_touch_nobody_else() {
    let scene = Scene::set().await;
    let before = scene.rows().await;
    let subject = format!("{}.v1.acme.reserve", scene.berth.root);
    let inbox = scene.berth.nats.new_inbox();
    let mut replies = scene.berth.nats.subscribe(inbox.clone()).await.unwrap();
    scene.berth.nats.flush().await.unwrap();
    let ((), others) = tokio::join!(
        async {
            for headers in UNREADABLE.iter().chain(&FIRST_LINES).cycle().take(70) {
                let body = scene.reserve("");
                publish_raw(&scene.berth.nats_url, subject.as_bytes(), inbox.as_bytes(), headers, body.as_bytes())
                    .await;
                let reply = within("the refusal", replies.next()).await.unwrap();
                assert_eq!(told(&reply.payload), TOLD);
            }
        },
        futures::future::join_all((0..400).map(async |_| {
            let id = &scene.others["reservation_id"];
            let body = json!({"reservation_id": id}).to_string();
            scene.berth.ask_as("rival", "get", &[], &body).await.ok()
        }))
    );
    assert!(others.iter().all(|other| *other == scene.others));
    assert_eq!(scene.rows().await, before);
    assert_eq!(metric(scene.berth.workers[0].http, "berth_unreadable_messages_total").await, 70.0);
}

/// A submitted one is refused once, and leaves the queue.
#[tokio::test(flavor = "multi_thread")]
async fn submitted_headers_that_cannot_be_read_have_a_result() {
    let scene = Scene::set().await;
    let before = scene.rows().await;
    let mut results = scene.berth.nats.subscribe(format!("{}.result.v1.acme.reserve", scene.berth.root)).await.unwrap();
    scene.berth.nats.flush().await.unwrap();
    let subject = format!("{}.submit.v1.acme.reserve", scene.berth.root);
    for headers in UNREADABLE {
        let body = scene.reserve("");
        let inbox = scene.berth.nats.new_inbox();
        publish_raw(&scene.berth.nats_url, subject.as_bytes(), inbox.as_bytes(), headers, body.as_bytes()).await;
        let result = within("the result", results.next()).await.unwrap();
        assert_eq!(told(&result.payload), TOLD);
    }
    assert_eq!(scene.rows().await, before);
}

/// A tenant of such a name there is none; and who can't be answered is not served.
#[tokio::test(flavor = "multi_thread")]
async fn subjects_that_cannot_be_read_are_no_tenants_and_no_inboxes() {
    let scene = Scene::set().await;
    let before = scene.rows().await;
    let root = scene.berth.root.as_bytes();
    let nats = &scene.berth.nats_url;
    let body = scene.reserve("");
    let inbox = scene.berth.nats.new_inbox();
    let mut replies = scene.berth.nats.subscribe(inbox.clone()).await.unwrap();
    scene.berth.nats.flush().await.unwrap();
    for tenant in [b"\xff".as_slice(), "ac\u{a0}me".as_bytes(), b"ac\x0bme"] {
        let subject = [root, b".v1.", tenant, b".reserve"].concat();
        publish_raw(nats, &subject, inbox.as_bytes(), b"NATS/1.0\r\n\r\n", body.as_bytes()).await;
        let reply = within("the refusal", replies.next()).await.unwrap();
        let reply: Value = serde_json::from_slice(&reply.payload).unwrap();
        assert_eq!(reply["error"]["code"], "not_found");
    }
    let subject = [root, b".v1.acme.reserve"].concat();
    publish_raw(nats, &subject, b"_INBOX.\xff", b"NATS/1.0\r\n\r\n", body.as_bytes()).await;
    within("the drop", async {
        while metric(scene.berth.workers[0].http, "berth_replies_dropped_total").await < 1.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(scene.rows().await, before);
}

/// Whoever hears an event hears where the stream's acknowledgement of it goes, and can write there.
#[tokio::test(flavor = "multi_thread")]
async fn the_relay_goes_on_after_an_answer_that_cannot_be_read() {
    let scene = Scene::set().await;
    let mut heard = scene.berth.nats.subscribe(format!("{}.event.v1.>", scene.berth.root)).await.unwrap();
    scene.berth.nats.flush().await.unwrap();
    scene.berth.ask_as("acme", "reserve", &[], &scene.reserve("")).await.ok();
    let inbox = within("an event that asks for an acknowledgement", async {
        loop {
            if let Some(inbox) = heard.next().await.unwrap().reply {
                return inbox;
            }
        }
    })
    .await;
    let before = metric(scene.berth.workers[0].http, "berth_unreadable_messages_total").await;
    publish_raw(&scene.berth.nats_url, inbox.as_bytes(), b"_INBOX.x", UNREADABLE[1], b"").await;
    let placed = scene.berth.ask_as("acme", "reserve", &[], &scene.reserve("")).await.ok();
    let mut events = scene.berth.events().await;
    while events.next().await.hold() != placed["reservation_id"] {}
    assert_eq!(metric(scene.berth.workers[0].http, "berth_unreadable_messages_total").await, before + 1.0);
}
