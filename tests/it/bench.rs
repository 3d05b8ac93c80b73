//! `berth bench` against a real worker: each kind of load ends with a check of rows, events and receipts that finds
//! nothing, and its figures agree with each other. How fast anything is stays out of it.

use std::process::Stdio;

use serde_json::Value;

use crate::harness::{Berth, within};

/// Loads the worker, and gives the report of a run that was found to be right.
async fn bench(berth: &Berth, arguments: &[&str]) -> Value {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_berth"));
    command.args(["bench", "--json", "--warmup", "0"]).args(arguments);
    for default in [["--pools", "8"], ["--in-flight", "32"]] {
        if !arguments.contains(&default[0]) {
            command.args(default);
        }
    }
    command.args(["--nats-url", &berth.nats_url, "--subject-root", &berth.root]);
    command.args(["--database-url", &berth.database_url]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let ended = within("a run of berth bench", command.output()).await.unwrap();
    let (out, told) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success() && told.is_empty(), "{arguments:?}: {told}{out}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["faults"], serde_json::json!([]));
    assert_eq!((&report["unanswered"], &report["sent_again"]), (&0.into(), &serde_json::json!({})), "{report}");
    assert_eq!((&report["events"], &report["rows"]), (&report["granted"], &report["granted"]), "{report}");
    let kinds = report["by_verb"].as_object().unwrap();
    assert_eq!(kinds.values().map(|kind| kind["answers"].as_u64().unwrap()).sum::<u64>(), report["answers"]);
    for latency in kinds.values().map(|kind| &kind["latency_ms"]).chain([&report["latency_ms"]]) {
        let at = ["p50", "p90", "p99", "p999", "max"].map(|name| latency[name].as_f64().unwrap());
        assert!(at[0] > 0.0 && at.is_sorted(), "{report}");
    }
    report
}

fn kinds(report: &Value) -> Vec<&str> {
    report["by_verb"].as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn reservations_are_all_found_again() {
    let berth = Berth::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("percentiles").to_string_lossy().into_owned();
    let report = bench(&berth, &["--requests", "400", "--live", "50", "--percentiles", &file]).await;
    assert_eq!((&report["verb"], &report["mode"]), (&"reserve".into(), &"closed".into()));
    assert_eq!((&report["offered_rate"], &report["behind_ms"]), (&Value::Null, &Value::Null));
    assert_eq!((&report["answers"], &report["granted"]), (&400.into(), &450.into()));
    assert_eq!(kinds(&report), ["reserve"]);
    let text = std::fs::read_to_string(file).unwrap();
    let last: Vec<&str> = text.lines().last().unwrap().split(' ').collect();
    assert_eq!(last[1..], ["1.000000000", "400"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_extended_canceled_and_looked_at_is_as_it_was_answered_last() {
    let berth = Berth::start().await;
    let mix = "reserve=3,extend=3,cancel=2,get=2,availability=2";
    for extra in [&["--tenants", "5"][..], &["--no-keys"]] {
        let report = bench(&berth, &[&["--verb", mix, "--requests", "600"], extra].concat()).await;
        assert_eq!((&report["verb"], &report["answers"]), (&mix.into(), &600.into()));
        assert_eq!(kinds(&report), ["availability", "cancel", "extend", "get", "reserve"]);
        assert_eq!(report["granted"], report["by_verb"]["reserve"]["answers"], "{report}");
        assert_eq!(report["refused"], serde_json::json!({}));
    }
}

/// More demand than there is: what is refused leaves no trace, and no pool is overcommitted.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_counted_and_are_no_faults() {
    let berth = Berth::start().await;
    let scarce =
        ["--requests", "1500", "--pools", "1", "--capacity", "1", "--live", "3000", "--verb", "reserve,extend"];
    let report = bench(&berth, &scarce).await;
    let count = |kind: &str| report["by_verb"][kind]["refused"]["insufficient_capacity"].as_u64().unwrap_or(0);
    assert!(count("reserve") > 0, "{report}");
    assert_eq!(report["refused"]["insufficient_capacity"], count("reserve") + count("extend"));
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_are_kept_or_given_back() {
    let berth = Berth::start().await;
    let kept = bench(&berth, &["--verb", "lock", "--requests", "200"]).await;
    assert_eq!((&kept["answers"], &kept["granted"]), (&200.into(), &200.into()));

    let returned = bench(&berth, &["--verb", "lock-unlock", "--requests", "400", "--tenants", "7"]).await;
    assert_eq!((&returned["answers"], &returned["tenants"]), (&400.into(), &7.into()));
    // Each of the 32 slots ends with a lock that it holds, or with none.
    let granted = returned["granted"].as_u64().unwrap();
    assert!((200..=216).contains(&granted), "{returned}");
    assert_eq!(kinds(&returned), ["lock-unlock"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_of_one_message_count_each() {
    let berth = Berth::start().await;
    let arguments = ["--verb", "lock-unlock", "--items", "20", "--requests", "100", "--in-flight", "10"];
    let report = bench(&berth, &arguments).await;
    assert_eq!((&report["items"], &report["answers"]), (&20.into(), &2000.into()));
    assert!(report["granted"].as_u64().unwrap().is_multiple_of(20), "{report}");
    assert!((1000..=1100).contains(&report["granted"].as_u64().unwrap()), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_loop_keeps_its_pace() {
    let berth = Berth::start().await;
    let report = bench(&berth, &["--rate", "200", "--requests", "100"]).await;
    assert_eq!((&report["mode"], &report["offered_rate"]), (&"open".into(), &200.into()));
    assert_eq!((&report["answers"], &report["granted"]), (&100.into(), &100.into()));
    // The last is due 99 spacings after the first, and none is sent before it is due.
    assert!(report["seconds"].as_f64().unwrap() >= 0.495, "{report}");
    assert!(report["behind_ms"].is_f64(), "{report}");
}

/// All are due within 3 ms, and each has to wait for those before it: that counts.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_loop_counts_the_wait_for_a_free_slot() {
    let berth = Berth::start().await;
    let report = bench(&berth, &["--rate", "100000", "--requests", "300", "--in-flight", "1"]).await;
    let seconds = report["seconds"].as_f64().unwrap();
    let (late, slowest) = (report["behind_ms"].as_f64().unwrap(), report["latency_ms"]["max"].as_f64().unwrap());
    assert!(late > seconds * 500.0 && slowest > seconds * 500.0, "{report}");
}
