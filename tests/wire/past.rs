//! Reads of the past: requests, events read back, and what is answered.

use berth::domain::command::{Query, ScheduleOf};
use berth::domain::event::{Credits, EventType};
use berth::domain::hold::{EndReason, Hold, Opaque, Reservation, Status, Units};
use berth::domain::id::{Actor, PoolName, ZoneName};
use berth::domain::past::{History, Recorded};
use berth::domain::schedule::Step;
use berth::domain::statement::Statement;
use berth::domain::window::Interval;
use berth::wire::capacity::Capacity;
use berth::wire::event;
use berth::wire::recall;
use berth::wire::reply::{self, Encoded};
use berth::wire::verb::Verb;
use serde_json::json;

use crate::replies::parse;
use crate::samples::{ID, at, bare_reservation, call, events, hold_id, lock, query, reservation, tenant};

fn text(encoded: Encoded) -> String {
    String::from_utf8(encoded.body).unwrap()
}

fn recorded(version: u32, event_type: EventType, status: Status, seconds: i64) -> Recorded {
    let mut hold = Hold { status, version, ..reservation() };
    if !matches!(status, Status::Active | Status::Paused | Status::Ended) {
        hold.reservation_mut().unwrap().units = Units::default();
    }
    Recorded {
        event_type,
        effective_at: at(seconds),
        actor: Actor::parse("ann"),
        return_credit_cents: None,
        pause_credit_cents: None,
        hold,
    }
}

/// Placed, active, extended, paused, reduced while paused, and over.
fn life() -> Vec<Recorded> {
    let placed = recorded(1, EventType::Placed, Status::Pending, 0);
    let active = Recorded { actor: None, ..recorded(2, EventType::Active, Status::Active, 0) };
    let mut extended = recorded(3, EventType::Extended, Status::Active, 600);
    let longer = extended.hold.reservation_mut().unwrap();
    longer.intervals[1].end = at(3_600);
    (longer.end_time, longer.unit_price_cents, longer.total_price_cents) = (at(3_600), 200, 425);
    let mut paused = extended.clone();
    paused.effective_at = at(900);
    (paused.hold.status, paused.hold.version) = (Status::Paused, 4);
    let mut reduced = Recorded { event_type: EventType::Reduced, effective_at: at(1_800), ..paused.clone() };
    (reduced.return_credit_cents, reduced.pause_credit_cents) = (Some(7), Some(3));
    reduced.hold.version = 5;
    let less = reduced.hold.reservation_mut().unwrap();
    less.units = Units::first(1);
    less.intervals = vec![
        Interval { start: at(0), end: at(900), quantity: 2 },
        Interval { start: at(900), end: at(1_800), quantity: 3 },
        Interval { start: at(1_800), end: at(3_600), quantity: 2 },
    ];
    let mut ended = Recorded { event_type: EventType::Ended, effective_at: at(3_600), actor: None, ..reduced.clone() };
    (ended.return_credit_cents, ended.pause_credit_cents) = (None, Some(5));
    (ended.hold.status, ended.hold.version) = (Status::Ended, 6);
    vec![placed, active, extended, paused, reduced, ended]
}

fn history_of(events: &[Recorded]) -> Encoded {
    let mut history = History::default();
    events.iter().for_each(|event| history.add(event));
    reply::history(hold_id(), &history.finish(), None)
}

pub fn history() -> Encoded {
    history_of(&life())
}

pub fn bare_history() -> Encoded {
    reply::history(hold_id(), &[], Some(at(0)))
}

fn usage_of(events: Vec<Recorded>, seconds: i64) -> Encoded {
    let mut statement = Statement::default();
    events.into_iter().for_each(|event| statement.add(event));
    reply::usage(&statement.finish(at(seconds), reservation()))
}

pub fn usage() -> Encoded {
    usage_of(life(), 4_000)
}

pub fn bare_usage() -> Encoded {
    reply::usage(&Statement::default().finish(at(0), bare_reservation()))
}

pub fn capacity() -> Encoded {
    let tags = Opaque::new(r#"{"a":"b"}"#);
    let total = [Step { effective_at: at(0), units: 3 }, Step { effective_at: at(900), units: 0 }];
    let pool = PoolName::parse("gpu").unwrap();
    let tenant = tenant();
    let zone = |name| ZoneName::parse(name).unwrap();
    let zones = [zone("a"), zone("b")].into();
    let by_zone = [(zone("b"), total.to_vec())].into();
    let tags = Some(&tags);
    reply::capacity(&Capacity {
        tenant: &tenant,
        pool: &pool,
        created_at: at(0),
        tags,
        total: &total,
        zones: &zones,
        by_zone: &by_zone,
    })
}

pub fn bare_capacity() -> Encoded {
    let pool = PoolName::parse("gpu").unwrap();
    let total = [Step { effective_at: at(0), units: 0 }];
    let tenant = tenant();
    let (zones, by_zone) = Default::default();
    reply::capacity(&Capacity {
        tenant: &tenant,
        pool: &pool,
        created_at: at(0),
        tags: None,
        total: &total,
        zones: &zones,
        by_zone: &by_zone,
    })
}

#[test]
fn reads_of_the_past_take_what_was_sent() {
    let at = at(0);
    let as_of = |verb| query(verb, &format!(r#"{{"reservation_id":"{ID}","as_of":"2026-04-29T02:00:00Z"}}"#));
    let now = |verb| query(verb, &format!(r#"{{"reservation_id":"{ID}","as_of":null}}"#));
    assert!(matches!(as_of(Verb::Get), Query::GetPast(id, then) if id == hold_id() && then == at));
    assert!(matches!(now(Verb::Get), Query::Get(id) if id == hold_id()));
    assert!(matches!(as_of(Verb::History), Query::History(id, then) if id == hold_id() && then == Some(at)));
    assert!(matches!(now(Verb::History), Query::History(_, None)));
    assert!(matches!(as_of(Verb::Usage), Query::Usage(id, then) if id == hold_id() && then == Some(at)));
    assert!(matches!(now(Verb::Usage), Query::Usage(_, None)));
    let list = |body: &str| query(Verb::List, body);
    let body = r#"{"status":"Active","sort_dir":"asc","as_of":"2026-04-29T02:00:00Z"}"#;
    let Query::ListPast(past, then) = list(body) else { panic!() };
    assert_eq!((past.status, past.is_descending, then), (Some(Status::Active), false, at));
    assert!(matches!(list(r#"{"sort_by":"status","as_of":null}"#), Query::List(_)));
    let schedule = |body: &str| match query(Verb::Schedule, body) {
        Query::Schedule(of) => of,
        other => panic!("{other:?}"),
    };
    let gpu = PoolName::parse("gpu").unwrap();
    let expected = ScheduleOf { pool: gpu.clone(), history_minutes: 0, as_of: None };
    for body in [r#"{"pool":"gpu"}"#, r#"{"id":"gpu","expand":[]}"#, r#"{"id":"berth:capacity:acme:default:gpu"}"#] {
        assert_eq!(schedule(body), expected, "{body}");
    }
    let body = r#"{"pool":"gpu","schedule_history_minutes":1440,"as_of":"2026-04-29T02:00:00Z"}"#;
    assert_eq!(schedule(body), ScheduleOf { pool: gpu, history_minutes: 1_440, as_of: Some(at) });
}

#[test]
fn a_resource_path_of_another_tenant_is_refused_as_a_body_that_names_one() {
    let refusal = call(Verb::Schedule, r#"{"id":"berth:capacity:other:default:gpu"}"#).unwrap_err();
    assert_eq!(refusal.code(), "tenant_mismatch");
}

/// What an event can't tell: the script, the prices of credits, and what never changes.
fn as_told(hold: &Hold) -> Hold {
    let mut hold = hold.clone();
    if let Some(reservation) = hold.reservation_mut() {
        let redacted = r#"{"volumes":["v"],"ssh_keys":[],"memory_gb":4}"#;
        reservation.launch_specification = reservation.launch_specification.as_ref().map(|_| Opaque::new(redacted));
    }
    hold
}

#[test]
fn an_event_is_read_back_as_it_was_written() {
    let mut paused = reservation();
    (paused.status, paused.end_reason, paused.version) = (Status::Paused, None, 77);
    for event in events().into_iter().filter(|event| event.hold.reservation().is_some()) {
        let present = Hold { claim: paused.claim.clone(), version: 9, ..event.hold.clone() };
        let recorded = recall::decode(&event::encode(&event), &present).unwrap();
        assert_eq!(recorded.hold, as_told(&event.hold));
        assert_eq!((recorded.event_type, recorded.effective_at), (event.event_type, event.effective_at));
        assert_eq!(recorded.actor, event.actor);
        let Credits { return_cents, pause_cents } = event.credits;
        assert_eq!((recorded.return_credit_cents, recorded.pause_credit_cents), (return_cents, pause_cents));
    }
}

#[test]
fn what_differs_between_versions_is_the_events_and_the_rest_the_rows() {
    let event = events().swap_remove(1);
    let mut present = reservation();
    let row: &mut Reservation = present.reservation_mut().unwrap();
    (row.return_buyback_price_cents, row.units_bound) = (42, 5);
    let hold = recall::decode(&event::encode(&event), &present).unwrap().hold;
    let told = hold.reservation().unwrap();
    assert_eq!((told.return_buyback_price_cents, told.units_bound), (42, 5));
    assert_eq!((&told.name, &told.tags, &told.launch_specification), (&None, &None, &None));
    assert_eq!((hold.status, hold.deactivated_at, hold.expires_at), (Status::Ended, Some(at(60)), Some(at(30))));
    assert!(told.intervals.is_empty() && told.units.count() == 0);
}

#[test]
fn pauses_and_announcements_are_read_as_they_were_told_and_guessed_where_they_were_not() {
    let mut event = events().swap_remove(0);
    event.hold.status = Status::Paused;
    let paused = event.hold.reservation_mut().unwrap();
    (paused.paused_at, paused.ending_soon_seconds) = (Some(at(1_000)), 600);
    let mut present = event.hold.clone();
    (present.status, present.end_reason) = (Status::Ended, Some(EndReason::EndTime));
    let row = present.reservation_mut().unwrap();
    (row.paused_at, row.ending_soon_seconds, row.warned_end) = (None, 60, Some(at(1_800)));
    let mut body = parse(&event::encode(&event));
    let told = |body: &serde_json::Value, present: &Hold| {
        let hold = recall::decode(body.to_string().as_bytes(), present).unwrap().hold;
        (hold.reservation().unwrap().paused_at, hold.ending_soon_at())
    };
    assert_eq!(told(&body, &present), (Some(at(1_000)), Some(at(1_200))));
    body["data"]["ending_soon_at"] = json!(null);
    assert_eq!(told(&body, &present), (Some(at(1_000)), None), "there is none to come");
    for name in ["paused_at", "ending_soon_at"] {
        body["data"].as_object_mut().unwrap().remove(name);
    }
    assert_eq!(told(&body, &present), (None, Some(at(1_740))), "an event of old, and a row that is over");
    assert_eq!(told(&body, &event.hold), (Some(at(1_000)), Some(at(1_200))), "and one that is as it was");
}

#[test]
fn credits_are_read_where_an_event_tells_them() {
    let mut event = parse(&event::encode(&events()[0]));
    event["data"]["return_credit_cents"] = json!(12);
    event["data"]["pause_credit_cents"] = json!(0);
    event["data"]["units"] = json!([format!("{ID}.0"), format!("{ID}.2"), format!("{ID}.3")]);
    let recorded = recall::decode(event.to_string().as_bytes(), &reservation()).unwrap();
    assert_eq!((recorded.return_credit_cents, recorded.pause_credit_cents), (Some(12), Some(0)));
    assert_eq!(recorded.hold.reservation().unwrap().units.ranges(), [(0, 1), (2, 4)]);
}

#[test]
fn what_is_no_event_of_a_reservation_is_not_read() {
    let good = String::from_utf8(event::encode(&events()[0])).unwrap();
    assert!(recall::decode(good.as_bytes(), &reservation()).is_some());
    let bad = [
        String::new(),
        good.replace("berth.reservation.active.v1", "active"),
        good.replace("berth.reservation.active.v1", "berth.reservation.vanished.v1"),
        good.replace(r#""status":"Active""#, r#""status":"Gone""#),
        good.replace("2026-04-29T02:15:00Z", "noon"),
        good.replace(&format!("{ID}.1"), ID),
        String::from_utf8(event::encode(&events()[2])).unwrap(),
    ];
    for text in bad {
        assert!(recall::decode(text.as_bytes(), &reservation()).is_none(), "{text}");
        assert_ne!(text, good);
    }
    assert!(recall::decode(good.as_bytes(), &lock()).is_none());
}

#[test]
fn a_history_is_told_in_the_documented_form() {
    let entry = |second: &str, rest: &str| format!(r#"{{"timestamp":"2026-04-29T{second}Z",{rest}}}"#);
    let expected = [
        entry("02:00:00", r#""event_type":"Placed","user_id":"ann""#),
        entry("02:00:00", r#""event_type":"Terms Set","user_id":"ann","unit_price_cents":100"#),
        entry("02:00:00", r#""event_type":"Active""#),
        entry("02:00:00", r#""event_type":"Units Running","count":2"#),
        entry("02:10:00", r#""event_type":"Extended","user_id":"ann""#),
        entry("02:10:00", r#""event_type":"Terms Changed","user_id":"ann","unit_price_cents":200"#),
        // There is no event type of pauses yet: any other one does.
        entry("02:15:00", r#""event_type":"Extended","user_id":"ann""#),
        entry("02:15:00", r#""event_type":"Terms Changed","user_id":"ann","unit_price_cents":200"#),
        entry("02:15:00", r#""event_type":"Units Stopped","count":2"#),
        entry("02:30:00", r#""event_type":"Reduced","user_id":"ann""#),
        entry(
            "02:30:00",
            r#""event_type":"Terms Changed","user_id":"ann","unit_price_cents":200,"pause_credit_cents":3,"return_credit_cents":7"#,
        ),
        entry("03:00:00", r#""event_type":"Ended","pause_credit_cents":5"#),
    ];
    assert_eq!(text(history()), format!(r#"{{"reservation_id":"{ID}","events":[{}]}}"#, expected.join(",")));
    let cut = format!(r#"{{"reservation_id":"{ID}","events":[],"continues_as_of":"2026-04-29T02:00:00Z"}}"#);
    assert_eq!(text(bare_history()), cut);
}

#[test]
fn a_usage_is_told_in_the_documented_form() {
    let found = parse(&usage().body);
    let at = |time: &str| format!("2026-04-29T{time}Z");
    let reservation = json!({
        "reservation_id": ID, "order_name": "nightly", "start_date": at("02:00:00"), "end_date": at("03:00:00"),
        "status": "Terminated", "committed_cost_cents": 425
    });
    assert_eq!(found["reservation"], reservation);
    // 2 units for 15 minutes, 3 for 15 and 2 for 30; active for the first of these, paused for the others.
    let summary = json!({
        "committed_cost_cents": 425, "flex_use_credits_cents": 8, "early_termination_credits_cents": 7,
        "net_cost_cents": 410, "reserved_instance_hours": "PT2H15M", "active_instance_hours": "PT30M",
        "idle_instance_hours": "PT1H45M", "as_of": at("03:06:40")
    });
    assert_eq!(found["summary"], summary);
    let grant = |number: u32, from: &str, to: &str, quantity: u32, price: u32, credits: (u32, u32)| {
        json!({
            "grant_id": format!("{ID}/{number}"), "starts_at": at(from), "ends_at": at(to), "quantity": quantity,
            "unit_price_cents": price, "price_credit_cents": credits.0, "return_credit_cents": credits.1
        })
    };
    let grants = json!([
        grant(0, "02:00:00", "02:15:00", 2, 100, (0, 0)),
        grant(1, "02:15:00", "02:30:00", 3, 100, (0, 0)),
        grant(2, "02:30:00", "03:00:00", 3, 200, (8, 7)),
    ]);
    assert_eq!(found["grants"], grants);
    let told = |event: &serde_json::Value| {
        let time = event["occurred_at"].as_str().unwrap();
        let unit = event["instance_id"].as_str().unwrap().strip_prefix(ID).unwrap();
        format!("{} {unit} {}", &time[11..16], event["instance_status"].as_str().unwrap())
    };
    let changes: Vec<String> = found["pricing_events"].as_array().unwrap().iter().map(told).collect();
    let expected = [
        "02:00 .0 STATUS_RUNNING",
        "02:00 .1 STATUS_RUNNING",
        "02:15 .0 STATUS_PAUSED",
        "02:15 .1 STATUS_PAUSED",
        "02:30 .1 STATUS_TERMINATED",
        "03:00 .0 STATUS_TERMINATED",
    ];
    assert_eq!(changes, expected);
    let mut ids: Vec<&str> =
        found["pricing_events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 6, "each has an id of its own");
    let milestones: Vec<&str> =
        found["reservation_events"].as_array().unwrap().iter().map(|it| it["event_type"].as_str().unwrap()).collect();
    assert_eq!(milestones, ["Started", "Extended", "Extended"]);
    let last = &found["reservation_events"][2];
    assert_eq!(*last, json!({"occurred_at": at("02:15:00"), "event_type": "Extended", "reservation_name": "nightly"}));
}

#[test]
fn hours_are_durations_that_lose_nothing() {
    let active = |micros: i64| {
        let placed = recorded(1, EventType::Placed, Status::Pending, 0);
        let mut active = recorded(2, EventType::Active, Status::Active, 0);
        active.hold.reservation_mut().unwrap().intervals =
            vec![Interval { start: at(0), end: at(900_000), quantity: 1 }];
        let mut statement = Statement::default();
        [placed, active].into_iter().for_each(|event| statement.add(event));
        let then = at(0) + chrono::TimeDelta::microseconds(micros);
        parse(&reply::usage(&statement.finish(then, reservation())).body)["summary"]["active_instance_hours"].clone()
    };
    let second = 1_000_000;
    assert_eq!(active(0), "PT0S");
    assert_eq!(active(1), "PT0.000001S");
    assert_eq!(active(1_500_000), "PT1.5S");
    assert_eq!(active(60 * second), "PT1M");
    assert_eq!(active(3_600 * second), "PT1H");
    assert_eq!(active(90_061 * second), "PT25H1M1S");
    assert_eq!(active(3_600 * second + 250_000), "PT1H0.25S");
}

#[test]
fn a_capacity_is_told_in_the_documented_form() {
    let rest = r#""created_at":"2026-04-29T02:00:00Z","procurements":[],"deployments":[],"tags":{"a":"b"}}"#;
    let steps = r#"{"effective_at":"2026-04-29T02:00:00Z","node_allocation":3},{"effective_at":"2026-04-29T02:15:00Z","node_allocation":0}"#;
    let expected = format!(
        r#"{{"id":"gpu","resource_path":"berth:capacity:acme:default:gpu","owner":"acme","workspace":"default","name":"gpu","kind":"market","object":"capacity","zones":["a","b"],"allocation_schedule":{{"total":[{steps}],"by_zone":{{"b":[{steps}]}}}},{rest}"#
    );
    assert_eq!(text(capacity()), expected);
}
