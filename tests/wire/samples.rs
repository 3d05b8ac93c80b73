//! Valid requests of every verb, and values of every type that is answered.

use std::sync::Arc;

use berth::domain::booked::{Booked, Stretch, Withdrawn};
use berth::domain::command::{Command, Query, Trace, UnitId};
use berth::domain::counter::{CounterOffer, Instead, OfferReason};
use berth::domain::event::{Credits, Event, EventType};
use berth::domain::hold::{Claim, EndReason, Hold, Opaque, Reservation, Status, Units};
use berth::domain::id::{
    Actor, HoldId, Label, Lane, PoolName, Requester, ResourceName, ResourceType, Tenant, ZoneName,
};
use berth::domain::lock::{Lock, Mode};
use berth::domain::look::{Look, Looked, Quoted};
use berth::domain::outcome::{Answer, FieldReason, LockReleased, Lowered, Refusal, Shortfall};
use berth::domain::quota::{Limits, Quota, TenantConfig};
use berth::domain::resource::{Capacity, CapacityStep, Offer, Policy, Pool, Zones};
use berth::domain::window::{Instant, Interval, from_micros};
use berth::wire::request::{Call, Canonical, Headers, decode};
use berth::wire::verb::Verb;
use uuid::Uuid;

pub const ID: &str = "9f67b8f7-7b91-4d2d-b1cb-19d0d0a14562";
/// 2026-04-29T02:00:00Z
pub const START: i64 = 1_777_428_000_000_000;

pub fn tenant() -> Tenant {
    Tenant::parse("acme").unwrap()
}

pub fn call(verb: Verb, body: &str) -> Result<Call, Refusal> {
    decode(verb, Some(&tenant()), &Headers::default(), body.as_bytes()).map(|decoded| decoded.call)
}

pub fn command(verb: Verb, body: &str) -> (Command, Canonical) {
    match call(verb, body).unwrap() {
        Call::Command(command, canonical) => (command, canonical),
        Call::Query(query) => panic!("a query: {query:?}"),
    }
}

pub fn query(verb: Verb, body: &str) -> Query {
    match call(verb, body).unwrap() {
        Call::Query(query) => query,
        Call::Command(command, _) => panic!("a command: {command:?}"),
    }
}

pub fn look(verb: Verb, body: &str) -> Look {
    match command(verb, body) {
        (Command::Look(look), canonical) => {
            assert_eq!(canonical.as_bytes(), b"", "what changes nothing has no receipt");
            look
        }
        (command, _) => panic!("a command: {command:?}"),
    }
}

pub fn canonical(verb: Verb, body: &str) -> String {
    String::from_utf8(command(verb, body).1.as_bytes().to_vec()).unwrap()
}

pub const ZONES: &str = r#"{"pool":"gpu","capacity":8,"zones":["b","a","C_1"],"force":"newest_first",
    "capacity_by_zone":{"b":[{"effective_at":"2026-01-01T01:00:00+01:00","quantity":8}],"a":4,"C_1":null}}"#;

pub const REQUESTS: &[(Verb, &str)] = &[
    (
        Verb::Reserve,
        r#"{"pool":"gpu","start_time":"2026-04-29T02:00:00Z","end_time":"2026-04-29T02:15:00Z","quantity":16}"#,
    ),
    (
        Verb::Reserve,
        r##"{"instance_type":"a100","region":"us-central1-a","name":"nightly","pool":null,"tenant":"acme",
            "intervals":[{"start_time":"2026-04-29T02:15:00Z","end_time":"2026-04-29T02:30:00Z","quantity":16},
                         {"start_time":"2026-04-29T04:00:00+02:00","end_time":"2026-04-29T02:15:00Z","quantity":8}],
            "tags":{"team":"a","run":""},"hold_seconds":60,
            "launch_specification":{"volumes":[],"ssh_keys":["key-1"],"startup_script":"#!/bin/sh\n\techo \"hi\"\n",
                                    "kubernetes_cluster":"k","image_version":"1","memory_gb":64},
            "price_specification":{"offer_key":"spot","max_unit_price":250}}"##,
    ),
    (Verb::Confirm, r#"{"reservation_id":"9f67b8f7-7b91-4d2d-b1cb-19d0d0a14562","quantity":2}"#),
    (
        Verb::Extend,
        r#"{"reservation_id":"9f67b8f7-7b91-4d2d-b1cb-19d0d0a14562","end_time":"2026-04-30T00:00:00.25Z",
            "price_specification":{"offer_key":"standard"}}"#,
    ),
    (Verb::Terminate, r#"{"reservation_id":"9F67B8F7-7b91-4d2d-b1cb-19d0d0a14562"}"#),
    (
        Verb::Terminate,
        r#"{"reservation_id":"9f67b8f7-7b91-4d2d-b1cb-19d0d0a14562","quantity":3,"reduce_capacity":true}"#,
    ),
    (
        Verb::Terminate,
        r#"{"reservation_id":"9f67b8f7-7b91-4d2d-b1cb-19d0d0a14562","reduce_capacity":true,
            "units":["9f67b8f7-7b91-4d2d-b1cb-19d0d0a14562.10","9f67b8f7-7b91-4d2d-b1cb-19d0d0a14562.0"]}"#,
    ),
    (Verb::Cancel, r#"{"reservation_id":"9f67b8f7-7b91-4d2d-b1cb-19d0d0a14562"}"#),
    (Verb::Cancel, r#"{"reservation_id":"9f67b8f7-7b91-4d2d-b1cb-19d0d0a14562","dry_run":true}"#),
    (Verb::Update, r#"{"reservation_id":"9f67b8f7-7b91-4d2d-b1cb-19d0d0a14562"}"#),
    (
        Verb::Update,
        r#"{"reservation_id":"9f67b8f7-7b91-4d2d-b1cb-19d0d0a14562","paused":true,"volumes":["v-2","v-1"],
            "name":"again","tags":{}}"#,
    ),
    (Verb::Get, r#"{"reservation_id":"9f67b8f7-7b91-4d2d-b1cb-19d0d0a14562"}"#),
    (Verb::Get, r#"{"reservation_id":"9f67b8f7-7b91-4d2d-b1cb-19d0d0a14562","as_of":"2026-04-29T02:00:00.5+02:00"}"#),
    (Verb::History, r#"{"reservation_id":"9f67b8f7-7b91-4d2d-b1cb-19d0d0a14562"}"#),
    (
        Verb::Usage,
        r#"{"reservation_id":"9f67b8f7-7b91-4d2d-b1cb-19d0d0a14562","as_of":"2026-04-29T02:00:00Z","tenant":"acme"}"#,
    ),
    (Verb::Schedule, r#"{"pool":"gpu"}"#),
    (
        Verb::Schedule,
        r#"{"id":"berth:capacity:acme:default:gpu-2_x","schedule_history_minutes":1440,
            "expand":["deployments","procurements"],"as_of":"2026-04-29T02:00:00Z"}"#,
    ),
    (Verb::List, ""),
    (Verb::List, r#"{"pool":"gpu","status":"Active","sort_by":"created_at","sort_dir":"asc","limit":100}"#),
    (Verb::Availability, r#"{"pool":"gpu","start_time":"2026-04-29T02:00:00Z","quantity":4,"tenant":"acme"}"#),
    (
        Verb::Availability,
        r#"{"instance_type":"a100","region":"eu","mode":"slots","earliest_start_time":"2026-04-29T02:00:00Z",
            "latest_end_time":"2026-04-29T08:00:00Z","quantity":null}"#,
    ),
    (
        Verb::Availability,
        r#"{"pool":"gpu","mode":"check","start_time":"2026-04-29T02:00:00Z","end_time":"2026-04-29T02:15:00Z",
            "quantity":4}"#,
    ),
    (
        Verb::Find,
        r#"{"pool":"gpu","quantity":4,"duration_seconds":3600,"earliest_start_time":"2026-04-29T02:00:00Z",
            "latest_end_time":"2026-04-29T08:00:00Z"}"#,
    ),
    (
        Verb::Find,
        r#"{"pools":["gpu","gpu-2_x"],"quantity":1,"duration_seconds":1,"limit":100,
            "earliest_start_time":"2026-04-29T02:00:00Z","latest_end_time":"2026-04-29T08:00:00Z"}"#,
    ),
    (Verb::ExtensionAvailability, r#"{"reservation_id":"9f67b8f7-7b91-4d2d-b1cb-19d0d0a14562"}"#),
    (
        Verb::Quote,
        r#"{"instance_type":"a100","region":"eu","start_time":"2026-04-29T02:00:00Z",
            "end_time":"2026-04-29T04:00:00Z","quantity":4}"#,
    ),
    (Verb::Pools, ""),
    (Verb::Pools, r#"{"limit":1,"next_cursor":"cGdwdQ","tenant":"acme"}"#),
    (Verb::Lock, r#"{"requester":"worker-1","resource":"job 42/é","ttl_seconds":60,"resource_type":"Job"}"#),
    (Verb::Lock, r#"{"requester":"a","resource":"Paper tray","mode":"shared","wait_seconds":86400}"#),
    (Verb::Lock, r#"[{"requester":"a","resource":"x"},{"requester":"a","resource":"y","tenant":"acme"}]"#),
    (Verb::Unlock, r#"{"requester":"a","resource":"x","release_token":"a3f8c2d1-4b5e-4d2d-b1cb-19d0d0a14562"}"#),
    (
        Verb::Renew,
        r#"[{"resource":"x","release_token":"a3f8c2d1-4b5e-4d2d-b1cb-19d0d0a14562","ttl_seconds":31536000}]"#,
    ),
    (
        Verb::Transact,
        r#"{"method":"ALL_OR_NONE","request_type":"RESERVE","requests":[
            {"lock":{"requester":"a","resource":"x","ttl_seconds":60,"mode":"shared"}},
            {"reserve":{"pool":"gpu","start_time":"2026-04-29T02:00:00Z","end_time":"2026-04-29T02:15:00Z","quantity":1}}]}"#,
    ),
    (
        Verb::Transact,
        r#"[{"method":"FIRST","request_type":"RESERVE","requests":[{"lock":{"requester":"a","resource":"x"}}]},
            {"method":"AS_MANY_AS_POSSIBLE","request_type":"UNRESERVE","tenant":"acme","requests":[
            {"unlock":{"requester":"a","resource":"x","release_token":"a3f8c2d1-4b5e-4d2d-b1cb-19d0d0a14562"}},
            {"cancel":{"reservation_id":"9f67b8f7-7b91-4d2d-b1cb-19d0d0a14562"}},
            {"terminate":{"reservation_id":"9f67b8f7-7b91-4d2d-b1cb-19d0d0a14562","quantity":1,"reduce_capacity":true}}]}]"#,
    ),
    (Verb::Register, r#"{"name":"Printer"}"#),
    (
        Verb::Register,
        r#"{"name":"Laser 1","capacity":1000,"blocks":["Paper tray","Feeder"],"tree_path":"Equipment>IT>Laser 1",
            "resource_type":"Printer","lock_delay_seconds":86400,"tenant":"acme"}"#,
    ),
    (Verb::Resources, ""),
    (Verb::Resources, r#"{"prefix":"jobs/","limit":1,"next_cursor":"cmpvYnMvMQ","tenant":"acme"}"#),
    (Verb::Locks, "{}"),
    (
        Verb::Locks,
        r#"{"requester":"worker-1","resource":"x","limit":100,"next_cursor":"bJ9nuPd7kU0tscsZ0NChRWI","tenant":"acme"}"#,
    ),
    (Verb::Check, r#"{"resource":"x"}"#),
    (Verb::Check, r#"{"resources":["x","y"]}"#),
    (Verb::Verify, r#"{"resource":"x","fencing_token":9223372036854775807}"#),
    (Verb::Receipt, r#"{"idempotency_key":"berth:a/1=+_-"}"#),
    (Verb::PoolPut, r#"{"pool":"gpu","capacity":0}"#),
    (Verb::PoolPut, ZONES),
    (
        Verb::PoolPut,
        r#"{"pool":"gpu-2_x","capacity_schedule":[{"effective_at":"2026-01-01T00:00:00Z","quantity":8},
                                                  {"effective_at":"2026-02-01T00:00:00Z","quantity":0}],
            "instance_type":"a100","region":"eu","instance_spec":{"name":"A100","num_gpus":8,"network_type":null},
            "grain_seconds":3600,"quantity_step":4,"quantity_min":4,"quantity_max":64,"duration_min_seconds":3600,
            "duration_max_seconds":86400,"lead_time_seconds":60,"horizon_seconds":86400,"intervals_max":2,
            "ending_soon_seconds":600,"cancellable":false,"extendable":false,"pausable":false,"reducible":false,
            "enabled":false,"tags":{"a":"b"},
            "offers":[{"key":"spot","display_name":"Spot","unit_price_cents":100,"return_buyback_price_cents":50,
                       "pause_buyback_price_cents":25,"option_premium_cents":5}]}"#,
    ),
    (Verb::ReservationTerminate, r#"{"tenant":"acme","reservation_id":"9f67b8f7-7b91-4d2d-b1cb-19d0d0a14562"}"#),
    (Verb::LockRelease, r#"{"tenant":"globex","resource":"job 42/é"}"#),
    (Verb::PoolGet, r#"{"pool":"gpu"}"#),
    (Verb::PoolList, r#"{"limit":1,"next_cursor":"cGdwdQ"}"#),
    (Verb::TenantPut, r#"{"tenant":"acme"}"#),
    (
        Verb::TenantPut,
        r#"{"tenant":"acme","quotas":{"units":0,"unit_hours":1000000000000,"locks":null},
            "registered_prefixes":["jobs/","db \"x\""]}"#,
    ),
    (Verb::TenantGet, r#"{"tenant":"acme"}"#),
    (Verb::Quota, "{}"),
    (
        Verb::Reserve,
        r#"{"pool":"gpu","start_time":"2026-04-29T02:00:00Z","end_time":"2026-04-29T02:15:00Z","quantity":1,"zone":"a"}"#,
    ),
];

pub fn at(seconds: i64) -> Instant {
    from_micros(START + seconds * 1_000_000)
}

pub fn hold_id() -> HoldId {
    HoldId::from_uuid(Uuid::parse_str(ID).unwrap())
}

pub fn reservation() -> Hold {
    let interval = |from, to, quantity| Interval { start: at(from), end: at(to), quantity };
    Hold {
        id: hold_id(),
        tenant: tenant(),
        status: Status::Active,
        end_reason: None,
        version: 2,
        created_at: from_micros(START + 123_456),
        created_by: Actor::parse("ann"),
        deactivated_at: None,
        expires_at: None,
        last_seq: 4,
        claim: Claim::Reservation(Arc::new(Reservation {
            pool: PoolName::parse("gpu").unwrap(),
            zone: None,
            name: Label::parse("nightly"),
            instance_type: None,
            region: None,
            intervals: vec![interval(0, 900, 2), interval(900, 1800, 3)],
            units: Units::first(2),
            units_bound: 2,
            launch_specification: Some(Opaque::new(
                r#"{"volumes":["v"],"ssh_keys":[],"startup_script":"echo \"secret\"","memory_gb":4}"#,
            )),
            tags: Some(Opaque::new(r#"{"team":"a"}"#)),
            offer_key: Label::parse("standard").unwrap(),
            unit_price_cents: 100,
            return_buyback_price_cents: 0,
            pause_buyback_price_cents: 0,
            total_price_cents: 125,
            start_time: at(0),
            end_time: at(1800),
            quantity: 3,
            paused_at: None,
            ending_soon_seconds: 0,
            warned_end: None,
        })),
    }
}

pub fn zoned_reservation() -> Hold {
    let mut hold = reservation();
    hold.reservation_mut().unwrap().zone = ZoneName::parse("eu-1a");
    hold
}

pub fn bare_reservation() -> Hold {
    let mut hold = reservation();
    (hold.status, hold.end_reason) = (Status::Ended, Some(EndReason::Terminated));
    (hold.created_by, hold.deactivated_at, hold.expires_at) = (None, Some(at(60)), Some(at(30)));
    let bare = hold.reservation_mut().unwrap();
    (bare.name, bare.launch_specification, bare.tags) = (None, None, None);
    (bare.intervals, bare.units) = (Vec::new(), Units::default());
    hold
}

pub fn lock() -> Hold {
    Hold {
        status: Status::Active,
        version: 1,
        expires_at: Some(at(60)),
        claim: Claim::Lock(Arc::new(Lock {
            requester: Requester::parse("worker-1").unwrap(),
            resource: ResourceName::parse("job \"42\"").unwrap(),
            resource_type: ResourceType::parse("UserDefined").unwrap(),
            release_token: Uuid::parse_str("a3f8c2d1-4b5e-4d2d-b1cb-19d0d0a14562").unwrap(),
            fencing_token: 7,
            mode: Mode::Exclusive,
            slot: None,
            ttl_seconds: Some(60),
            is_blocker: false,
            blockers: Vec::new(),
            path: Vec::new(),
            delay_seconds: 0,
        })),
        ..reservation()
    }
}

pub fn pools() -> Vec<Pool> {
    let bare = Pool {
        name: PoolName::parse("gpu").unwrap(),
        version: 1,
        capacity: Capacity::Constant(8),
        zones: Zones::new(),
        instance_type: None,
        region: None,
        policy: Policy::default(),
        offers: Vec::new(),
        instance_spec: None,
        tags: None,
    };
    let offer = Offer {
        key: Label::parse("spot").unwrap(),
        display_name: Label::parse("Spot").unwrap(),
        unit_price_cents: 100,
        return_buyback_price_cents: 50,
        pause_buyback_price_cents: 25,
        option_premium_cents: 5,
    };
    let step = CapacityStep { effective_at: at(0), quantity: 8 };
    let zone = |name| ZoneName::parse(name).unwrap();
    let full = Pool {
        capacity: Capacity::Schedule(vec![step]),
        zones: Zones::from([
            (zone("a"), Some(Capacity::Constant(4))),
            (zone("b"), None),
            (zone("c"), Some(Capacity::Schedule(vec![step]))),
        ]),
        instance_type: Label::parse("a100"),
        region: Label::parse("eu"),
        policy: Policy { quantity_max: Some(4), enabled: false, grain_seconds: 60, ..Policy::default() },
        offers: vec![offer],
        instance_spec: Some(Opaque::new(r#"{"name":"A100","num_gpus":8}"#)),
        tags: Some(Opaque::new(r#"{"a":"b"}"#)),
        ..bare.clone()
    };
    vec![bare, full]
}

/// Every answer to what is asked beforehand, with the verb that it answers.
pub fn looked() -> Vec<(Verb, Looked)> {
    let interval = |from, to, quantity| Interval { start: at(from), end: at(to), quantity };
    let offer = pools().remove(1).offers.remove(0);
    let quoted = Quoted { offer, total_price_cents: 800, total_return_cents: 400, total_pause_cents: 200 };
    let name = PoolName::parse("gpu");
    vec![
        (Verb::Availability, Looked::LatestEnd(Some(at(900)))),
        (Verb::Availability, Looked::LatestEnd(None)),
        (Verb::Availability, Looked::Check(true)),
        (Verb::Availability, Looked::Slots(vec![interval(0, 900, 2), interval(900, 1800, 3)])),
        (Verb::Availability, Looked::Slots(Vec::new())),
        (Verb::Find, Looked::Found(vec![(interval(0, 900, 2), None)])),
        (Verb::Find, Looked::Found(vec![(interval(0, 900, 2), name)])),
        (Verb::Find, Looked::Found(Vec::new())),
        (Verb::ExtensionAvailability, Looked::Extension { is_available: false, latest_end: at(900) }),
        (Verb::Quote, Looked::Quoted(vec![quoted])),
    ]
}

pub fn tenants() -> Vec<TenantConfig> {
    let bare =
        TenantConfig { tenant: tenant(), version: 1, limits: Limits::default(), registered_prefixes: Vec::new() };
    let limits = Limits { units: Some(8), unit_hours: Some(0), locks: Some(2) };
    let full =
        TenantConfig { limits, registered_prefixes: vec![ResourceName::parse("jobs/").unwrap()], ..bare.clone() };
    vec![bare, full]
}

pub fn events() -> Vec<Event> {
    let event = |event_type, hold| Event {
        lane: Lane::new(3).unwrap(),
        seq: 1,
        previous_seq: None,
        event_type,
        at: at(1),
        effective_at: at(0),
        previous_status: None,
        actor: None,
        trace: None,
        hold,
        usage: Vec::new(),
        credits: Credits::default(),
    };
    let trace =
        Trace { traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into(), tracestate: None };
    let mut active = event(EventType::Active, reservation());
    (active.previous_status, active.actor, active.trace) = (Some(Status::Pending), Actor::parse("ann"), Some(trace));
    let mut reduced = event(EventType::Reduced, reservation());
    reduced.credits = Credits { return_cents: Some(5), pause_cents: Some(0) };
    vec![active, event(EventType::Ended, bare_reservation()), event(EventType::Active, lock()), reduced]
}

pub fn units(numbers: &[u32]) -> Vec<UnitId> {
    numbers.iter().map(|number| UnitId { hold: hold_id(), number: *number }).collect()
}

/// A latest end, and an offer for each sample of a reservation.
pub fn instead() -> Instead {
    let reserves = REQUESTS.iter().filter(|(verb, _)| *verb == Verb::Reserve);
    let offers = reserves.zip([OfferReason::LaterStart, OfferReason::Shorter]).map(|((verb, body), reason)| {
        let Command::Reserve(request) = command(*verb, body).0 else { panic!() };
        CounterOffer { reason, request }
    });
    Instead { offers: offers.collect(), latest_end: Some(at(1800)) }
}

/// Every kind of refusal.
pub fn refusals() -> Vec<Refusal> {
    let shortfall = Shortfall { start: at(0), end: at(900), requested: 4, available: 1 };
    vec![
        Refusal::InvalidJson,
        Refusal::field("intervals[1].quantity", FieldReason::OutOfRange, "an integer from 1 to 10000"),
        Refusal::PayloadTooLarge { bytes_max: 1 },
        Refusal::InvalidIdempotencyKey,
        Refusal::TenantMismatch,
        Refusal::IdempotencyKeyConflict { field: "quantity".into() },
        Refusal::DeadlineExceeded,
        Refusal::NotFound,
        Refusal::UnknownPool,
        Refusal::UnknownVerb,
        Refusal::DurationOutOfPolicy { seconds_min: Some(60), seconds_max: None },
        Refusal::NotCancellable,
        Refusal::NotExtendable,
        Refusal::NotPausable,
        Refusal::NotReducible,
        Refusal::PoolDisabled,
        Refusal::InvalidState { status: Status::Ended, allowed: vec![Status::Active, Status::Paused] },
        Refusal::HoldExpired,
        Refusal::LeadTimeViolation { earliest_start: at(0) },
        Refusal::QuotaExceeded { quota: Quota::Units, limit: 8, used: 6, requested: 4 },
        Refusal::InsufficientCapacity { intervals: vec![shortfall, shortfall], instead: instead() },
        Refusal::PriceAboveMax { unit_price_cents: 9 },
        Refusal::Overloaded { retry_after_ms: 50 },
        Refusal::Unavailable,
        Refusal::UnknownOutcome,
    ]
}

/// A pool that can't be put because of what is booked.
pub fn still_booked() -> Refusal {
    let stretch = |zone| Stretch { zone, start: at(0), end: at(900), requested: 4, available: 1 };
    Refusal::StillBooked {
        stretches: vec![stretch(None), stretch(ZoneName::parse("a"))],
        reservations: vec![Booked { id: hold_id(), tenant: tenant(), quantity: 3 }],
        count: 7,
    }
}

/// A resource that can't be registered so because of who holds what.
pub fn still_held() -> Refusal {
    Refusal::StillHeld { resources: vec![ResourceName::parse("job \"42\"").unwrap()] }
}

pub fn lowered() -> Answer {
    let withdrawn =
        Withdrawn { id: hold_id(), tenant: tenant(), status: Status::Canceled, quantity: 3, credit_cents: 125 };
    Answer::Lowered(Box::new(Lowered { pool: pools().remove(1), withdrawn: vec![withdrawn; 1_001] }))
}

pub fn lock_released(claims: Vec<Hold>) -> Answer {
    let resource = ResourceName::parse("job \"42\"").unwrap();
    Answer::LockReleased(LockReleased { tenant: tenant(), resource, claims })
}
