//! Logs, spans and metrics of a process. What installs a subscriber or a panic's hook, which a process has one of, is
//! one test, or runs in a copy of this binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests may fail loudly too

use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use berth::domain::command::Trace;
use berth::health;
use berth::telemetry::{LogFormat, Metrics, TelemetrySettings, abort_on_panic, init_with, request_span};
use berth::wire::verb::Verb;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT_ID: &str = "b7ad6b7169203331";
const LONGEST: Duration = Duration::from_secs(20);

fn parent() -> Trace {
    Trace { traceparent: format!("00-{TRACE_ID}-{PARENT_ID}-01"), tracestate: Some("vendor=opaque".to_owned()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_is_exported_as_the_requests_child_and_without_an_exporter_the_context_passes_unchanged() {
    let (span, trace) = request_span(Some(&parent()), Verb::Reserve);
    assert!(span.is_none());
    assert_eq!(trace, Some(parent()));
    assert_eq!(request_span(None, Verb::Reserve).1, None);

    let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = TelemetrySettings {
        log_format: LogFormat::Json,
        log_filter: Some("off".to_owned()),
        otlp_endpoint: Some(format!("http://{}", collector.local_addr().unwrap())),
    };
    let received = tokio::spawn(async move { read_export(collector.accept().await.unwrap().0).await });
    let guard = init_with(&settings, "worker-7");

    let (span, trace) = request_span(Some(&parent()), Verb::Reserve);
    let trace = trace.unwrap();
    let parts: Vec<&str> = trace.traceparent.split('-').collect();
    assert_eq!((parts[0], parts[1], parts[3]), ("00", TRACE_ID, "01"));
    assert_ne!(parts[2], PARENT_ID, "the reply continues berth's span");
    assert_eq!(trace.tracestate, parent().tracestate);
    let span_id = bytes_of(parts[2]);
    drop(span);

    let (_, rootless) = request_span(None, Verb::Get);
    assert!(rootless.is_some_and(|trace| !trace.traceparent.contains(TRACE_ID)), "it begins a trace of its own");

    tokio::task::spawn_blocking(move || drop(guard)).await.unwrap();
    let export = tokio::time::timeout(LONGEST, received).await.unwrap().unwrap();
    assert!(export.starts_with(b"POST /v1/traces "));
    for expected in [&bytes_of(TRACE_ID)[..], &bytes_of(PARENT_ID), &span_id, b"berth.request", b"worker-7", b"reserve"]
    {
        assert!(export.windows(expected.len()).any(|window| window == expected), "{expected:?} is not exported");
    }
    assert!(request_span(Some(&parent()), Verb::Reserve).0.is_none(), "after the guard nothing is recorded");
}

/// One POST with a Content-Length, answered with 200.
async fn read_export(mut connection: TcpStream) -> Vec<u8> {
    let mut request = Vec::new();
    loop {
        let head = request.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if request.len() >= head + length.parse::<usize>().unwrap() {
                break;
            }
        }
        assert_ne!(connection.read_buf(&mut request).await.unwrap(), 0, "the export broke off");
    }
    connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    request
}

fn bytes_of(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn every_figure_is_rendered_under_its_name() {
    let metrics = Metrics::new();
    let counted = metrics.clone();
    counted.answered(Verb::Reserve, "ok", 0.003);
    counted.answered(Verb::Reserve, "ok", 0.7);
    counted.answered(Verb::PoolList, "not_found", 0.003);
    counted.in_flight(3);
    counted.in_flight(-1);
    counted.committed(100, 150, 0.004);
    counted.not_committed("receipt_taken");
    counted.foreign_reply();
    counted.slow_consumer();
    counted.ticked(5, 0.2);
    counted.relayed(7, 0.02);
    counted.backlog(11);
    let text = metrics.render();
    for line in [
        r#"berth_requests_total{code="ok",verb="reserve"} 2"#,
        r#"berth_requests_total{code="not_found",verb="pool_list"} 1"#,
        r#"berth_request_duration_seconds_bucket{verb="reserve",le="0.0025"} 0"#,
        r#"berth_request_duration_seconds_bucket{verb="reserve",le="0.005"} 1"#,
        r#"berth_request_duration_seconds_count{verb="reserve"} 2"#,
        "berth_requests_in_flight 2",
        "berth_batches_total 1",
        r#"berth_batch_requests_bucket{le="128"} 1"#,
        "berth_batch_events_sum 150",
        "berth_batch_duration_seconds_sum 0.004",
        r#"berth_batches_not_committed_total{why="receipt_taken"} 1"#,
        "berth_replies_dropped_total 1",
        "berth_slow_consumer_total 1",
        "berth_ticks_total 5",
        "berth_tick_lateness_seconds_count 1",
        "berth_events_published_total 7",
        "berth_relay_lag_seconds_sum 0.02",
        "berth_relay_backlog_events 11",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in:\n{text}");
    }
    assert!(!Metrics::new().render().contains("reserve"), "each worker has figures of its own");
}

#[test]
fn every_verb_counts_under_its_own_name() {
    let metrics = Metrics::new();
    for verb in Verb::ALL {
        metrics.answered(verb, "ok", 0.0);
    }
    let text = metrics.render();
    for verb in Verb::ALL {
        let line = format!(r#"berth_requests_total{{code="ok",verb="{}"}} 1"#, verb.name());
        assert!(text.contains(&line), "{line} is missing");
    }
}

#[tokio::test]
async fn health_says_live_ready_or_not_and_serves_the_metrics() {
    let (ready, stop) = (Arc::new(AtomicBool::new(false)), CancellationToken::new());
    let metrics = Metrics::new();
    metrics.foreign_reply();
    let address = "127.0.0.1:0".parse().unwrap();
    let (address, server) = health::serve(address, metrics, Arc::clone(&ready), stop.clone()).await.unwrap();
    assert!(get(address, "/live").await.starts_with("HTTP/1.1 200 "));
    assert!(get(address, "/ready").await.starts_with("HTTP/1.1 503 "));
    ready.store(true, Ordering::Relaxed);
    assert!(get(address, "/ready").await.starts_with("HTTP/1.1 200 "));
    let scraped = get(address, "/metrics").await;
    assert!(scraped.contains("content-type: text/plain; version=0.0.4"));
    assert!(scraped.contains("berth_replies_dropped_total 1"));
    assert!(get(address, "/other").await.starts_with("HTTP/1.1 404 "));
    // Somebody who stays connected and says nothing keeps nobody.
    let _idle = TcpStream::connect(address).await.unwrap();
    stop.cancel();
    tokio::time::timeout(LONGEST, server).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: berth\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Of the signal that `abort` sends.
const SIGABRT: i32 = 6;
/// Says to a copy of this test binary that it is one.
const PANICS: &str = "BERTH_TEST_PANICS";

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_any_task_ends_the_process_and_the_log_says_so() {
    if std::env::var_os(PANICS).is_some() {
        let settings = TelemetrySettings { log_format: LogFormat::Json, ..TelemetrySettings::default() };
        let _guard = init_with(&settings, "worker-7");
        abort_on_panic();
        let _ = tokio::spawn(async { panic!("a fault of a library") }).await;
        std::process::exit(0); // not reached: nobody has asked what became of the task
    }
    let name = "a_panic_in_any_task_ends_the_process_and_the_log_says_so";
    let mut copy = tokio::process::Command::new(std::env::current_exe().unwrap());
    copy.args(["--exact", "--nocapture", name]).env(PANICS, "1").kill_on_drop(true);
    let output = tokio::time::timeout(LONGEST, copy.output()).await.unwrap().unwrap();
    assert_eq!(output.status.signal(), Some(SIGABRT));
    let log = String::from_utf8(output.stderr).unwrap();
    let line = log.lines().find(|line| line.starts_with('{')).unwrap();
    assert!(line.contains("ERROR") && line.contains("a fault of a library"), "{log}");
}
