//! What no well-behaved client library sends: bytes straight into the server.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Scene;
use crate::harness::within;

/// Publishes with these bytes as headers, and returns when the server has taken it.
async fn publish_raw(nats_url: &str, subject: &[u8], headers: &[u8], payload: &[u8]) {
    let mut stream = TcpStream::connect(nats_url.trim_start_matches("nats://")).await.unwrap();
    let mut sent = b"CONNECT {\"verbose\":false,\"headers\":true}\r\nHPUB ".to_vec();
    sent.extend_from_slice(subject);
    sent.extend(format!(" {} {}\r\n", headers.len(), headers.len() + payload.len()).into_bytes());
    sent.extend([headers, payload, b"\r\nPING\r\n"].concat());
    stream.write_all(&sent).await.unwrap();
    let mut heard = Vec::new();
    while !heard.windows(4).any(|window| window == b"PONG") {
        let read = within("the server's answer", stream.read_buf(&mut heard)).await.unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&heard));
    }
}

/// The client library gives up a connection on which such a message comes, with what else was in hand on it; the
/// worker is back on a new one, and nothing of the message was applied.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_comes_back_after_headers_that_are_none() {
    let scene = Scene::set().await;
    let before = scene.rows().await;
    let subject = format!("{}.v1.acme.reserve", scene.berth.root);
    let headers: [&[u8]; 4] = [
        b"NATS/1.0\r\nBerth-Actor: \xff\xfe\r\n\r\n",
        b"NATS/1.0\r\nno colon\r\n\r\n",
        b"NATS/9.9\r\n\r\n",
        b"NATS/1.0 abc\r\n\r\n",
    ];
    for headers in headers {
        publish_raw(&scene.berth.nats_url, subject.as_bytes(), headers, scene.reserve("").as_bytes()).await;
        // While nobody serves there are no responders, and a request in hand as the connection breaks has no answer.
        let id = &scene.own["reservation_id"];
        within("the worker's return", async {
            let payload = json!({"reservation_id": id}).to_string();
            let subject = format!("{}.v1.acme.get", scene.berth.root);
            loop {
                let request = async_nats::Request::new().payload(payload.clone().into());
                let request = request.timeout(Some(Duration::from_millis(200)));
                if let Ok(message) = scene.berth.nats.send_request(subject.clone(), request).await {
                    break assert_eq!(
                        serde_json::from_slice::<serde_json::Value>(&message.payload).unwrap(),
                        scene.own
                    );
                }
            }
        })
        .await;
    }
    assert_eq!(scene.rows().await, before);
    scene.berth.ask_as("acme", "reserve", &[], &scene.reserve("")).await.ok();
}
