//! Runs the tables in `tests/cases`: what each command is answered with and which events it writes.
//!
//! | line | meaning |
//! |---|---|
//! | `== name` | a new story, in an empty world at 12:00 of the first day |
//! | `at 12:30` | sets the clock; `1d08:00:01.5` is on the second day |
//! | `pool gpu capacity=8 …` | `pool_put`; what is not given takes its default |
//! | `tenant acme units=8 …`, `used acme` | `tenant_put`; what counts against the limits |
//! | `reserve r1 pool=gpu 13:00..14:00 x4 …` | asks for a reservation and calls it `r1` |
//! | `latest gpu 13:00 x4`, `slots gpu 12:00..16:00`, `fits gpu 13:00..14:00 x4` | the modes of `availability` |
//! | `find gpu,big 12:00..16:00 x4 for=3600 limit=3`, `extension r1`, `quote gpu 13:00..14:00 x4` | the other looks |
//! | `confirm`, `extend`, `terminate`, `cancel`, `update` `r1 …`, `lock`, `unlock`, `renew` `name …` | the other verbs |
//! | `… dry` | the same, only to see what would come of it |
//! | `instead reserve … -> …` | what its refusal offers, in full and each granted when it is sent; `siblings=a,b` are looked at |
//! | `several lock a by=x as=c1 ; unlock a by=x token=c1` | lock commands of one message |
//! | `pool gpu … zones=a:4/b/c:13:00=4,14:00=0 force=newest_first` | zones, some with a capacity; an order of victims |
//! | `reservation_terminate r1`, `lock_release name` with `tenant=` | the operator's verbs |
//! | `tick`, `tick until=13:00` | the clock's batch |
//! | `as_of r1`, `load gpu 13:00..14:00 zone=a` | what a reader sees; the greatest load |
//! | `… -> outcome` | the whole refusal, or facts that the answer has to show |
//! | `! placed r1 v1 - Pending @12:00 …` | the next event of the line above: all of them, in order |
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a table that can't be read fails loudly

mod script;
mod world;

use std::fmt::Write;
use std::path::Path;

use script::Story;

#[test]
fn every_table_comes_out_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 8, "the tables are there");
    let mut failures = String::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy();
        for failure in failures_of(&text) {
            writeln!(failures, "{name}:{failure}").unwrap();
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

/// A line of a table with the events written below it.
struct Entry<'a> {
    number: usize,
    line: &'a str,
    events: Vec<(usize, &'a str)>,
}

fn failures_of(text: &str) -> Vec<String> {
    let mut entries: Vec<Entry> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split(" #").next().unwrap().trim();
        match line.strip_prefix("! ") {
            _ if line.is_empty() || line.starts_with('#') => {}
            Some(event) => entries.last_mut().unwrap().events.push((index + 1, event)),
            None => entries.push(Entry { number: index + 1, line, events: Vec::new() }),
        }
    }
    let mut story = Story::new();
    entries.iter().flat_map(|entry| run(&mut story, entry)).collect()
}

fn run(story: &mut Story, entry: &Entry) -> Vec<String> {
    let (line, expected) = match entry.line.split_once(" -> ") {
        Some((line, expected)) => (line, Some(expected.trim())),
        None => (entry.line, None),
    };
    let (got, events) = story.run(line);
    let mut failures = Vec::new();
    let mut differs = |number: usize, expected: &str, got: &str| {
        failures.push(format!("{number}: {}\n  expected {expected}\n       got {got}", entry.line));
    };
    match (expected, &got) {
        (Some(expected), Some(got)) if !got.satisfies(expected) => differs(entry.number, expected, &got.text),
        (Some(expected), None) => differs(entry.number, expected, "no answer"),
        (None, Some(got)) if got.is_refusal => differs(entry.number, "success", &got.text),
        _ => {}
    }
    for index in 0..events.len().max(entry.events.len()) {
        let got = events.get(index).map_or("no event", String::as_str);
        let (number, expected) = entry.events.get(index).copied().unwrap_or((entry.number, "no event"));
        if expected != got {
            differs(number, expected, got);
        }
    }
    failures
}
