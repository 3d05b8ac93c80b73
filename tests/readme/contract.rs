//! The contract's examples, asked of a worker in their order: each answer and each event is the one that is shown.
//!
//! On the page it is a little after 10:00 on 1 January 2030; here that is the quarter of an hour that runs now. Ids
//! stand for whatever ids the worker gave.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::book::{Block, blocks, page};
use crate::harness::{Berth, Event, Events, Reply};
use crate::schemas::Schemas;
use crate::shown::has_form;

const NOW: &str = "2030-01-01T10:00:00Z";
const QUARTER_SECONDS: i64 = 900;
/// An example takes milliseconds; all of them together must lie in one quarter of an hour.
const EXAMPLES_SECONDS_MAX: i64 = 30;
const ID: &str = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
const INSTANT: &str = "dddd-dd-ddTdd:dd:dd";
/// A member by this name, or a last item that is this: more may follow.
const MORE: &str = "…";

fn parse(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc())
}

/// From the page's ids and instants to those here.
struct Meaning {
    ids: BTreeMap<String, String>,
    later: TimeDelta,
}

impl Meaning {
    /// The page's text as it is sent here.
    fn sent(&self, text: &str) -> String {
        let mut sent = String::new();
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let (here, length) = if has_form(rest, ID) {
                let id = &rest[..ID.len()];
                (self.ids.get(id).cloned().unwrap_or_else(|| id.to_owned()), ID.len())
            } else if has_form(rest, INSTANT) && rest[INSTANT.len()..].starts_with('Z') {
                (self.here(&rest[..=INSTANT.len()]), INSTANT.len() + 1)
            } else {
                (next.to_string(), next.len_utf8())
            };
            sent.push_str(&here);
            rest = &rest[length..];
        }
        sent
    }

    fn here(&self, instant: &str) -> String {
        let at = parse(instant).unwrap() + self.later;
        at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// `Err`: where the two differ, and how.
    fn compare(&mut self, path: &str, shown: &Value, found: &Value) -> Result<(), String> {
        match (shown, found) {
            (Value::Object(shown), Value::Object(found)) => {
                let is_part = shown.contains_key(MORE);
                let unknown = found.keys().find(|name| !is_part && !shown.contains_key(*name));
                if let Some(name) = unknown {
                    return Err(format!("{path}.{name} is not shown"));
                }
                shown.iter().filter(|(name, _)| *name != MORE).try_for_each(|(name, value)| {
                    let path = format!("{path}.{name}");
                    self.compare(&path, value, found.get(name).ok_or(format!("{path} was not answered"))?)
                })
            }
            (Value::Array(shown), Value::Array(found)) => {
                let is_part = shown.last().is_some_and(|last| last == MORE);
                let shown = if is_part { &shown[..shown.len() - 1] } else { shown };
                if shown.len() > found.len() || (!is_part && shown.len() < found.len()) {
                    return Err(format!("{path}: {} items are shown, {} were answered", shown.len(), found.len()));
                }
                let items = shown.iter().zip(found).enumerate();
                items
                    .into_iter()
                    .try_for_each(|(index, (shown, found))| self.compare(&format!("{path}[{index}]"), shown, found))
            }
            (Value::String(shown), Value::String(found)) => match self.is_text(shown, found) {
                true => Ok(()),
                false => Err(format!("{path}: {shown} is shown, {found} was answered")),
            },
            _ if shown == found => Ok(()),
            _ => Err(format!("{path}: {shown} is shown, {found} was answered")),
        }
    }

    fn is_text(&mut self, shown: &str, found: &str) -> bool {
        if shown == MORE {
            return true;
        }
        if has_form(shown, ID) && has_form(found, ID) {
            let (shown_id, shown_rest) = shown.split_at(ID.len());
            let (found_id, found_rest) = found.split_at(ID.len());
            let known = self.ids.entry(shown_id.to_owned()).or_insert_with(|| found_id.to_owned());
            return known == found_id && shown_rest == found_rest;
        }
        match (parse(shown), parse(found)) {
            (Some(shown_at), Some(_)) if shown_at.timestamp_subsec_micros() != 0 => true, // whenever it was decided
            (Some(_), Some(_)) => self.here(shown) == found,
            _ => shown == found,
        }
    }
}

/// Where the page's clock and this machine's stand together. Just before the next quarter of an hour: waits for it.
#[allow(clippy::disallowed_methods)] // tests live in the machine's time
async fn meaning() -> Meaning {
    let running = || Utc::now().timestamp().rem_euclid(QUARTER_SECONDS);
    while running() > QUARTER_SECONDS - EXAMPLES_SECONDS_MAX {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let quarter = DateTime::from_timestamp(Utc::now().timestamp() - running(), 0).unwrap();
    Meaning { ids: BTreeMap::new(), later: quarter - parse(NOW).unwrap() }
}

async fn ask(berth: &Berth, meaning: &Meaning, block: &Block) -> Reply {
    let verb = block.value("request").unwrap();
    let headers = [("Idempotency-Key", "key"), ("Berth-Actor", "actor"), ("Berth-Not-After", "not_after")];
    let headers: Vec<(&str, String)> =
        headers.into_iter().filter_map(|(header, name)| Some((header, meaning.sent(block.value(name)?)))).collect();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let tenant = block.value("tenant").unwrap_or("acme");
    let is_admin = berth::wire::verb::Verb::parse(verb).is_some_and(berth::wire::verb::Verb::is_admin);
    let subject = match is_admin {
        true => format!("{}.admin.v1.{verb}", berth.root),
        false => format!("{}.v1.{tenant}.{verb}", berth.root),
    };
    berth.ask_subject(subject, &headers, meaning.sent(&block.text).into_bytes()).await
}

/// The next event of this type (`reservation.placed`), whatever comes before it.
async fn event(events: &mut Events, kind: &str) -> Event {
    loop {
        let event = events.next().await;
        if event.body["type"] == format!("berth.{kind}.v1") {
            return event;
        }
    }
}

/// A worker that is asked the page's examples, and what was found wrong with the page.
struct Reading {
    berth: Berth,
    events: Events,
    meaning: Meaning,
    schemas: Schemas,
    answered: Option<Reply>,
    faults: String,
}

impl Reading {
    /// Its answer is the next block; where there is none it is looked at by nothing but its schema.
    async fn request(&mut self, block: &Block, verb: &str) {
        let reply = ask(&self.berth, &self.meaning, block).await;
        let name = match reply.code() {
            "ok" => {
                let body = serde_json::from_str(&self.meaning.sent(&block.text)).unwrap();
                let checked = self.schemas.check(&format!("{verb}.request.json"), &body);
                self.note(block, checked);
                format!("{verb}.reply.json")
            }
            _ => "error.json".to_owned(),
        };
        let checked = self.schemas.check(&name, &reply.body);
        self.note(block, checked);
        self.answered = Some(reply);
    }

    fn answer(&mut self, block: &Block) -> Value {
        let reply = self.answered.take().unwrap_or_else(|| panic!("line {}: an answer to nothing", block.line));
        check_headers(block, &reply);
        reply.body
    }

    async fn event(&mut self, block: &Block, kind: &str) -> Value {
        let body = event(&mut self.events, kind).await.body;
        let checked = self.schemas.check("event.json", &body);
        self.note(block, checked);
        body
    }

    fn note(&mut self, block: &Block, checked: Result<(), String>) {
        if let Err(fault) = checked {
            self.faults.push_str(&format!("line {}: {fault}\n", block.line));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_the_contract_is_answered_as_the_contract_shows() {
    let berth = Berth::start().await;
    let (events, meaning, schemas) = (berth.events().await, meaning().await, Schemas::load());
    let mut reading = Reading { berth, events, meaning, schemas, answered: None, faults: String::new() };
    let mut verbs: Vec<String> = Vec::new();
    for block in blocks(&page("docs/contract.md")).into_iter().filter(|block| block.language == "json") {
        if let Some(verb) = block.value("request") {
            if let Some(unread) = reading.answered.take() {
                unread.ok(); // a step on the way, whose answer is not shown
            }
            verbs.push(verb.to_owned());
            reading.request(&block, verb).await;
            continue;
        }
        let found = match block.value("event") {
            Some(kind) => reading.event(&block, kind).await,
            None => reading.answer(&block),
        };
        let shown = serde_json::from_str(&block.text).unwrap_or_else(|error| panic!("{}: {error}", block.line));
        let compared = reading.meaning.compare("", &shown, &found).map_err(|fault| format!("{fault}\n{found}"));
        reading.note(&block, compared);
    }
    assert!(reading.faults.is_empty(), "docs/contract.md shows what is not so\n{}", reading.faults);
    let without = berth::wire::verb::Verb::ALL.into_iter().filter(|verb| !verbs.iter().any(|name| name == verb.name()));
    assert_eq!(without.count(), 0, "every verb has an example: {verbs:?}");
}

fn check_headers(block: &Block, reply: &Reply) {
    let number = reply.headers.get("Nats-Service-Error-Code").map(|number| number.as_str());
    assert_eq!(number, block.value("refusal"), "line {}: {}", block.line, reply.body);
    assert_eq!(reply.is_replay(), block.is("json", "replayed"), "line {}", block.line);
}

#[test]
fn a_shown_answer_is_compared_member_by_member_and_ids_keep_their_meaning() {
    let (one, other) = ("00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-00000000000a");
    let compare = |shown: Value, found: Value| {
        let mut meaning = Meaning { ids: BTreeMap::new(), later: TimeDelta::hours(24) };
        meaning.compare("", &shown, &found)
    };
    let found =
        serde_json::json!({"id": other, "unit": format!("{other}.0"), "end": "2030-01-02T11:00:00Z", "n": [1, 2]});
    let shown =
        serde_json::json!({"id": one, "unit": format!("{one}.0"), "end": "2030-01-01T11:00:00Z", "n": [1, "…"]});
    assert_eq!(compare(shown.clone(), found.clone()), Ok(()));
    for (name, value) in [("unit", format!("{other}.1")), ("unit", format!("{one}.0")), ("end", NOW.to_owned())] {
        let mut other = found.clone();
        other[name] = value.into();
        assert!(compare(shown.clone(), other).is_err(), "{name}");
    }
    let more = serde_json::json!({"id": other, "more": 1});
    assert!(compare(serde_json::json!({"id": one}), more.clone()).is_err());
    assert_eq!(compare(serde_json::json!({"id": one, "…": "…"}), more), Ok(()));
}
