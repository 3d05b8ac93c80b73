//! The figures of a run, for a person or as one line of JSON.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use hdrhistogram::Histogram;
use indicatif::HumanCount;
use serde_json::{Value, json};

use super::check::Checked;
use super::phase::Measured;
use super::tally::KindTally;
use super::{BenchArgs, CliError, distribution};

/// An open loop whose last request was sent later than this did not offer the load that was asked for: well above what
/// it takes to be woken, and far below what a queue that grows leads to.
const BEHIND_MAX: Duration = Duration::from_millis(50);

pub fn print(args: &BenchArgs, measured: &Measured, checked: &Checked) -> Result<(), CliError> {
    let latency = measured.tally.latency()?;
    let text = match args.json {
        true => line(args, measured, checked, &latency),
        false => summary(args, measured, checked, &latency),
    };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CliError::of("write the report"))
}

fn rate(measured: &Measured) -> f64 {
    measured.tally.answers() as f64 / measured.seconds.max(0.001)
}

fn line(args: &BenchArgs, measured: &Measured, checked: &Checked, latency: &Histogram<u64>) -> String {
    let tally = &measured.tally;
    let of_kind = |kind: &KindTally| {
        let latency = distribution::quantiles(&kind.latency);
        json!({"answers": kind.answers, "refused": kind.refused, "latency_ms": latency})
    };
    let by_verb: BTreeMap<&str, Value> = tally.kinds.iter().map(|(kind, part)| (kind.name(), of_kind(part))).collect();
    let report = json!({
        "verb": args.verb.to_string(),
        "mode": if args.rate.is_some() { "open" } else { "closed" },
        "offered_rate": args.rate,
        "in_flight": args.in_flight,
        "tenants": args.tenants,
        "items": args.items,
        "pools": args.pools,
        "live": args.live,
        "connections": args.connections,
        "keys": !args.no_keys,
        "seconds": measured.seconds,
        "answers": tally.answers(),
        "rate": rate(measured),
        "latency_ms": distribution::quantiles(latency),
        "by_verb": by_verb,
        "behind_ms": args.rate.map(|_| tally.behind.as_secs_f64() * 1000.0),
        "refused": tally.refused(),
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

fn summary(args: &BenchArgs, measured: &Measured, checked: &Checked, latency: &Histogram<u64>) -> String {
    let tally = &measured.tally;
    let mut lines = vec![
        asked_for(args),
        format!(
            "rate        {} answers/s ({} in {:.1} s)",
            HumanCount(rate(measured) as u64),
            HumanCount(tally.answers()),
            measured.seconds
        ),
    ];
    lines.extend(args.rate.map(|rate| offered(rate, tally.behind)));
    lines.push(format!("latency     {}", distribution::line(latency)));
    lines.extend(distribution::bars(latency));
    if tally.kinds.len() > 1 {
        lines.extend(table(&tally.kinds.iter().map(|(kind, part)| (kind.name(), part)).collect::<Vec<_>>()));
    }
    lines.extend([
        format!("refused     {}", counts(&tally.refused())),
        format!("sent again  {}", counts(&tally.sent_again)),
        format!("unanswered  {}", HumanCount(tally.unknown)),
    ]);
    lines.extend(found(checked));
    lines.join("\n") + "\n"
}

fn asked_for(args: &BenchArgs) -> String {
    let count = |count: u32| HumanCount(count.into());
    let mut parts = vec![
        format!("{} {}", args.verb, if args.no_keys { "without keys" } else { "with keys" }),
        match args.rate {
            Some(_) => format!("at most {} in flight", count(args.in_flight)),
            None => format!("{} in flight", count(args.in_flight)),
        },
    ];
    parts.extend(args.verb.needs_pools().then(|| format!("{} pools", count(args.pools))));
    parts.extend((args.tenants > 1).then(|| format!("{} tenants", count(args.tenants))));
    parts.extend((args.items > 1).then(|| format!("{} locks a message", count(args.items))));
    parts.push(format!("{} connections", args.connections));
    parts.join(", ")
}

fn offered(rate: u64, behind: Duration) -> String {
    let late = behind.as_secs_f64() * 1000.0;
    let verdict = match behind > BEHIND_MAX {
        true => format!("NOT reached: at the end a request was {late:.1} ms late"),
        false => format!("the last was {late:.1} ms late"),
    };
    format!("offered     {} requests/s, {verdict}", HumanCount(rate))
}

/// A line for each kind of request.
fn table(kinds: &[(&str, &KindTally)]) -> Vec<String> {
    let head = format!("{:14} {:>12} {:>10} {:>9} {:>9} {:>9}", "", "answers", "refused", "p50 ms", "p99 ms", "max ms");
    let line = |(name, kind): &(&str, &KindTally)| {
        let at = |quantile| distribution::milliseconds(&kind.latency, quantile);
        let (answers, refused) = (HumanCount(kind.answers).to_string(), kind.refused.values().sum());
        let refused = HumanCount(refused).to_string();
        format!("  {name:12} {answers:>12} {refused:>10} {:>9.1} {:>9.1} {:>9.1}", at(0.5), at(0.99), at(1.0))
    };
    [head].into_iter().chain(kinds.iter().map(line)).collect()
}

fn found(checked: &Checked) -> Vec<String> {
    let count = |count: usize| HumanCount(count as u64);
    vec![
        format!("events      of {} of {} grants, warmup included", count(checked.events), count(checked.granted)),
        format!("asked again {} of the grants and changes", count(checked.asked)),
        match checked.rows {
            Some(rows) => format!("rows        {} in the database", count(rows)),
            None => "rows        not looked at (give --database-url)".to_owned(),
        },
        match checked.faults.is_empty() {
            true => "check       what was answered is what happened".to_owned(),
            false => "check       WRONG, see below".to_owned(),
        },
    ]
}

fn counts(counts: &BTreeMap<String, u64>) -> String {
    match counts.is_empty() {
        true => "none".to_owned(),
        false => {
            counts.iter().map(|(code, count)| format!("{} {code}", HumanCount(*count))).collect::<Vec<_>>().join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_that_fell_behind_is_told() {
        let told = offered(2000, Duration::from_micros(1_240_500));
        assert_eq!(told, "offered     2,000 requests/s, NOT reached: at the end a request was 1240.5 ms late");
        assert_eq!(offered(2000, BEHIND_MAX), "offered     2,000 requests/s, the last was 50.0 ms late");
    }
}
