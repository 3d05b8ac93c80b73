//! `berth bench`: its figures, what it sends again, and the checks that make it fail.

use super::*;

#[tokio::test]
async fn bench_without_a_worker_says_so_and_ends_with_1() {
    let nats = Nats::start();
    let ended = berth(&nats.url(), &["bench", "--seconds", "1"]).await;
    let told = "error: nobody serves berth.admin.v1.pool_list: is a worker running?\n";
    assert_eq!((ended.status, ended.stdout.as_str(), ended.stderr.as_str()), (1, "", told));
}

/// A worker that grants everything and publishes an event for each grant; `fault` is what it does wrong.
async fn grant(client: &Client, fault: &'static str) -> mpsc::UnboundedReceiver<Option<String>> {
    make_stream(client, "BERTH_EVENTS", "berth.event.v1.>").await;
    let mut requests = client.subscribe("berth.*.>").await.unwrap();
    settled(client).await;
    let client = client.clone();
    let (seen, sees) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (mut granted, mut ids) = (0u64, std::collections::HashMap::new());
        while let Some(request) = requests.next().await {
            let Some(reply) = request.reply.clone() else { continue };
            let verb = request.subject.rsplit('.').next().unwrap();
            let key = header(&request, "Idempotency-Key").map(str::to_owned);
            let body = match verb {
                "reserve" if granted == 0 && fault == "overloaded" => {
                    granted += 1;
                    let headers =
                        headers_of(&[("Nats-Service-Error-Code", "429"), ("Nats-Service-Error", "overloaded")]);
                    let body = r#"{"error":{"code":"overloaded","details":{"retry_after_ms":1}}}"#;
                    seen.send(key).unwrap();
                    client.publish_with_headers(reply, headers, body.into()).await.unwrap();
                    continue;
                }
                "reserve" => {
                    granted += 1;
                    let id = format!("0198c5a0-0000-7000-8000-{granted:012}");
                    let tenant = request.subject.split('.').nth(2).unwrap();
                    let subject = format!("berth.event.v1.{tenant}.reservation.p.placed");
                    let version = if granted == 7 && fault == "version" { 2 } else { 1 };
                    client
                        .publish(subject, event(tenant, "reservation", &id, version, "\"a\":1").into())
                        .await
                        .unwrap();
                    ids.insert(key.clone().unwrap_or_default(), id.clone());
                    seen.send(key).unwrap();
                    format!(r#"{{"reservation_id":"{id}"}}"#)
                }
                "receipt" if fault == "receipt" => "{}".to_owned(),
                "receipt" => {
                    let asked = String::from_utf8_lossy(&request.payload).into_owned();
                    ids.iter().find(|(key, _)| asked.contains(&format!("\"{key}\""))).unwrap().1.clone()
                }
                _ => "{}".to_owned(),
            };
            client.publish(reply, body.into()).await.unwrap();
        }
    });
    sees
}

const BENCH: [&str; 10] =
    ["bench", "--requests", "300", "--warmup", "0", "--pools", "5", "--in-flight", "16", "--connections"];

#[tokio::test]
async fn bench_prints_figures_that_agree_with_what_the_worker_did() {
    let nats = Nats::start();
    let mut keys = grant(&nats.client().await, "none").await;
    let ended = berth(&nats.url(), &[&BENCH[..], &["2", "--json"]].concat()).await;
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""), "{}", ended.stdout);
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    for (name, expected) in [("answers", 300), ("granted", 300), ("events", 300), ("asked_again", 100)] {
        assert_eq!(report[name], expected, "{name}: {report}");
    }
    assert!(report["rate"].as_f64().unwrap() > 0.0 && report["latency_ms"]["p99"].as_f64().unwrap() > 0.0);
    let mut distinct = std::collections::HashSet::new();
    while let Ok(key) = keys.try_recv() {
        assert!(distinct.insert(key.unwrap()));
    }
    assert_eq!(distinct.len(), 300);
}

#[tokio::test]
async fn bench_sends_what_was_overloaded_again_under_the_same_key() {
    let nats = Nats::start();
    let mut keys = grant(&nats.client().await, "overloaded").await;
    let ended = berth(&nats.url(), &[&BENCH[..], &["1"]].concat()).await;
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""), "{}", ended.stdout);
    assert!(ended.stdout.contains("sent again  1 overloaded"), "{}", ended.stdout);
    let refused = keys.recv().await.unwrap();
    let mut again = 0;
    while let Ok(key) = keys.try_recv() {
        again += u32::from(key == refused);
    }
    assert_eq!(again, 1);
}

#[tokio::test]
async fn bench_fails_where_events_or_receipts_are_not_what_was_answered() {
    for (fault, told) in [
        ("version", "1 events do not carry the version after the last one"),
        ("receipt", "100 of 100 grants were not answered again as they had been"),
    ] {
        let nats = Nats::start();
        let _keys = grant(&nats.client().await, fault).await;
        let ended = berth(&nats.url(), &[&BENCH[..], &["1"]].concat()).await;
        assert_eq!((ended.status, ended.stderr), (1, format!("error: the check failed: {told}\n")));
    }
}
