//! The figures of a run, for a person or as one line of JSON.

use std::collections::BTreeMap;
use std::io::Write;

use indicatif::HumanCount;
use serde_json::json;

use super::check::Checked;
use super::{BenchArgs, Kind, Measured};

const QUANTILES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)];

pub fn print(args: &BenchArgs, measured: &Measured, checked: &Checked) -> std::io::Result<()> {
    let text = if args.json { line(args, measured, checked) } else { summary(args, measured, checked) };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn verb(args: &BenchArgs) -> &'static str {
    args.verb.verb().name()
}

fn rate(measured: &Measured) -> f64 {
    measured.answers as f64 / measured.seconds.max(0.001)
}

fn line(args: &BenchArgs, measured: &Measured, checked: &Checked) -> String {
    let tally = &measured.tally;
    let milliseconds = |quantile: f64| tally.latency.value_at_quantile(quantile) as f64 / 1000.0;
    let latency: BTreeMap<&str, f64> = QUANTILES.iter().map(|(name, at)| (*name, milliseconds(*at))).collect();
    let report = json!({
        "verb": verb(args),
        "in_flight": args.in_flight,
        "pools": args.pools,
        "live": args.live,
        "connections": args.connections,
        "keys": !args.no_keys,
        "seconds": measured.seconds,
        "answers": measured.answers,
        "rate": rate(measured),
        "latency_ms": latency,
        "refused": tally.refused,
        "sent_again": tally.sent_again,
        "unanswered": tally.unknown,
        "granted": checked.granted,
        "events": checked.events,
        "asked_again": checked.asked,
        "rows": checked.rows,
        "faults": checked.faults,
    });
    format!("{report}\n")
}

fn summary(args: &BenchArgs, measured: &Measured, checked: &Checked) -> String {
    let tally = &measured.tally;
    let milliseconds =
        |(name, at): &(&str, f64)| format!("{name} {:.1} ms", tally.latency.value_at_quantile(*at) as f64 / 1000.0);
    let over = match args.verb {
        Kind::Lock => String::new(),
        _ => format!(", {} pools", HumanCount(args.pools.into())),
    };
    let keys = if args.no_keys { "without keys" } else { "with keys" };
    let count = |count: usize| HumanCount(count as u64);
    let mut lines = vec![
        format!(
            "{} {keys}, {} in flight{over}, {} connections",
            verb(args),
            HumanCount(args.in_flight.into()),
            args.connections
        ),
        format!(
            "rate        {} answers/s ({} in {:.1} s)",
            HumanCount(rate(measured) as u64),
            HumanCount(measured.answers),
            measured.seconds
        ),
        format!("latency     {}", QUANTILES.iter().map(milliseconds).collect::<Vec<_>>().join("   ")),
        format!("refused     {}", counts(&tally.refused)),
        format!("sent again  {}", counts(&tally.sent_again)),
        format!("unanswered  {}", HumanCount(tally.unknown)),
        format!("events      {} for {} grants, warmup included", count(checked.events), count(checked.granted)),
        format!("asked again {} of the grants", count(checked.asked)),
    ];
    match checked.rows {
        Some(rows) => lines.push(format!("rows        {} in the database", count(rows))),
        None => lines.push("rows        not looked at (give --database-url)".to_owned()),
    }
    let verdict = if checked.faults.is_empty() { "what was answered is what happened" } else { "WRONG, see below" };
    lines.push(format!("check       {verdict}"));
    lines.join("\n") + "\n"
}

fn counts(counts: &BTreeMap<String, u64>) -> String {
    match counts.is_empty() {
        true => "none".to_owned(),
        false => {
            counts.iter().map(|(code, count)| format!("{} {code}", HumanCount(*count))).collect::<Vec<_>>().join(", ")
        }
    }
}
