//! The schemas are generated from the code, and say what the code does. `BERTH_WRITE_SCHEMAS=1` writes them anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use berth::domain::outcome::Answer;
use berth::domain::quota::TenantUse;
use berth::wire::verb::Verb;
use berth::wire::{event, reply, schema};
use jsonschema::{Registry, Validator};
use serde_json::{Value, json};

use crate::past::{bare_capacity, bare_history, bare_usage, capacity, history, usage};
use crate::replies::{parse, terminated};
use crate::samples::{
    REQUESTS, at, bare_reservation, events, looked, lowered, pools, refusals, reservation, still_booked, still_held,
    tenants, zoned_reservation,
};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schemas/v1")
}

pub struct Schemas(BTreeMap<String, Validator>);

impl Schemas {
    pub fn new() -> Schemas {
        let documents: Vec<(String, Value)> =
            schema::documents().into_iter().filter(|(name, _)| name != "asyncapi.json").collect();
        let mut registry = Registry::new();
        for (name, document) in &documents {
            registry = registry.add(format!("berth:/v1/{name}"), document.clone()).unwrap();
        }
        let registry = registry.prepare().unwrap();
        let build = |(name, document): &(String, Value)| {
            let validator = jsonschema::options().with_registry(&registry).build(document);
            (name.clone(), validator.unwrap_or_else(|error| panic!("{name}: {error}")))
        };
        Schemas(documents.iter().map(build).collect())
    }

    pub fn is_valid(&self, name: &str, value: &Value) -> bool {
        self.0[name].is_valid(value)
    }

    pub fn assert_valid(&self, name: &str, value: &Value) {
        let faults: Vec<String> =
            self.0[name].iter_errors(value).map(|fault| format!("{fault} at {}", fault.instance_path())).collect();
        assert!(faults.is_empty(), "{name}: {faults:?} in {value}");
    }
}

#[test]
fn the_files_are_what_the_code_generates() {
    let expected: BTreeMap<String, String> = schema::documents()
        .into_iter()
        .map(|(name, document)| (name, format!("{}\n", serde_json::to_string_pretty(&document).unwrap())))
        .collect();
    if std::env::var_os("BERTH_WRITE_SCHEMAS").is_some() {
        fs::create_dir_all(folder()).unwrap();
        for (name, text) in &expected {
            fs::write(folder().join(name), text).unwrap();
        }
    }
    let names = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let found: BTreeMap<String, String> =
        names.map(|name| (name.clone(), fs::read_to_string(folder().join(&name)).unwrap())).collect();
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, text) in &expected {
        assert!(found[name] == *text, "{name} is out of date: BERTH_WRITE_SCHEMAS=1 cargo test --test wire");
    }
}

#[test]
fn every_schema_is_a_schema() {
    for (name, document) in schema::documents().iter().filter(|(name, _)| name != "asyncapi.json") {
        assert!(jsonschema::meta::is_valid(document), "{name}");
    }
}

#[test]
fn every_sample_request_validates() {
    let schemas = Schemas::new();
    for (verb, body) in REQUESTS.iter().filter(|(_, body)| !body.is_empty()) {
        schemas.assert_valid(&format!("{}.request.json", verb.name()), &parse(body.as_bytes()));
    }
}

#[test]
fn a_bad_request_does_not_validate_where_a_schema_can_tell() {
    let schemas = Schemas::new();
    let window =
        json!({"pool": "gpu", "start_time": "2026-04-29T02:00:00Z", "end_time": "2026-04-29T02:15:00Z", "quantity": 1});
    let with = |name: &str, value: Value| {
        let mut window = window.clone();
        window[name] = value;
        (Verb::Reserve, window)
    };
    let merged = |mut base: Value, more: Value| {
        base.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        base
    };
    let look = |more| merged(json!({"pool": "gpu", "start_time": "2026-04-29T02:00:00Z", "quantity": 1}), more);
    let range = json!({"earliest_start_time": "2026-04-29T02:00:00Z", "latest_end_time": "2026-04-29T09:00:00Z"});
    let search = |more| merged(merged(range.clone(), json!({"quantity": 1, "duration_seconds": 900})), more);
    let id = crate::samples::ID;
    let transact =
        |request_type: &str, item: Value| json!({"method": "FIRST", "request_type": request_type, "requests": [item]});
    let bad = [
        (Verb::Reserve, json!({})),
        (Verb::Reserve, json!([window])),
        with("zone", json!("a.b")),
        with("pool", Value::Null),
        with("pool", json!("a.b")),
        with("region", json!("eu")),
        with("quantity", json!(0)),
        with("quantity", json!("1")),
        with("quantity", json!(1.5)),
        with("start_time", json!("2026-04-29T02:00:00")),
        with("start_time", json!("2026-04-29T02:00:60Z")),
        with("start_time", json!("2026-04-29T02:00:00.1234567Z")),
        with("name", json!("\u{0}")),
        with("tags", json!({"a": 1})),
        with("tags", json!({"a\u{0}": "1"})),
        with(
            "intervals",
            json!([{"start_time": "2026-04-29T02:00:00Z", "end_time": "2026-04-29T02:15:00Z", "quantity": 1}]),
        ),
        with("launch_specification", json!({"volumes": []})),
        with("price_specification", json!({"max_unit_price": -1})),
        (Verb::Get, json!({"reservation_id": "x"})),
        (Verb::Terminate, json!({"reservation_id": id, "quantity": 1})),
        (Verb::Terminate, json!({"reservation_id": id, "quantity": 1, "reduce_capacity": false})),
        (Verb::Terminate, json!({"reservation_id": id, "reduce_capacity": true})),
        (Verb::Terminate, json!({"reservation_id": id, "units": ["x"], "reduce_capacity": true})),
        (Verb::Update, json!({"paused": true})),
        (Verb::Update, json!({"reservation_id": id, "paused": "true"})),
        (Verb::Update, json!({"reservation_id": id, "volumes": [1]})),
        (Verb::Update, json!({"reservation_id": id, "tags": []})),
        (Verb::Update, json!({"reservation_id": id, "quantity": 1})),
        (Verb::List, json!({"limit": 0})),
        (Verb::List, json!({"status": "Waitlisted"})),
        (Verb::Availability, json!({"pool": "gpu"})),
        (Verb::Availability, look(json!({"mode": "check"}))),
        (Verb::Availability, look(json!({"mode": "slots"}))),
        (Verb::Availability, look(json!({"mode": "none"}))),
        (Verb::Availability, look(json!({"region": "eu"}))),
        (Verb::Availability, look(json!({"end_time": "2026-04-29T03:00:00Z"}))),
        (Verb::Availability, look(json!({"latest_end_time": "2026-04-29T03:00:00Z"}))),
        (Verb::Find, search(json!({}))),
        (Verb::Find, search(json!({"pool": "gpu", "pools": ["gpu"]}))),
        (Verb::Find, search(json!({"pools": []}))),
        (Verb::Find, search(json!({"pool": "gpu", "limit": 101}))),
        (Verb::Find, search(json!({"pool": "gpu", "duration_seconds": 0}))),
        (Verb::Quote, look(json!({}))),
        (Verb::Pools, json!({"limit": 0})),
        (Verb::Lock, json!([])),
        (Verb::Lock, json!({"requester": "a"})),
        (Verb::Lock, json!({"requester": "a", "resource": "b", "ttl_seconds": 0})),
        (Verb::Lock, json!({"requester": "a", "resource": "A>B"})),
        (Verb::Lock, json!({"requester": "a", "resource": "b", "mode": "both"})),
        (Verb::Lock, json!([{"requester": "a", "resource": "b", "dry_run": true}])),
        (Verb::Register, json!({"name": "A>B"})),
        (Verb::Register, json!({"name": "b", "capacity": 0})),
        (Verb::Register, json!({"name": "b", "blocks": ["a", "a"]})),
        (Verb::Resources, json!({"limit": 0})),
        (Verb::Locks, json!({"resource": ">"})),
        (Verb::Transact, transact("RESERVE", json!({}))),
        (Verb::Transact, transact("RESERVE", json!({"lock": {"requester": "a"}}))),
        (Verb::Transact, transact("UNRESERVE", json!({"lock": {"requester": "a", "resource": "b"}}))),
        (Verb::Transact, transact("RESERVE", json!({"lock": {"requester": "a", "resource": "b", "wait_seconds": 1}}))),
        (Verb::Transact, transact("RESERVE", json!({"lock": {"requester": "a", "resource": "b", "tenant": "acme"}}))),
        (Verb::Transact, transact("RESERVE", json!({"reserve": {"pool": "gpu"}}))),
        (Verb::Transact, transact("UNRESERVE", json!({"cancel": {"reservation_id": id, "dry_run": true}}))),
        (
            Verb::Transact,
            transact("UNRESERVE", json!({"cancel": {"reservation_id": id}, "terminate": {"reservation_id": id}})),
        ),
        (Verb::Check, json!({})),
        (Verb::Check, json!({"resource": "a", "resources": ["a"]})),
        (Verb::PoolPut, json!({"pool": "gpu"})),
        (Verb::PoolPut, json!({"pool": "gpu", "capacity": 1, "region": "eu"})),
        (Verb::PoolPut, json!({"pool": "gpu", "capacity": 1, "zones": "a"})),
        (Verb::PoolPut, json!({"pool": "gpu", "capacity": 1, "zones": ["a.b"]})),
        (Verb::PoolPut, json!({"pool": "gpu", "capacity": 1, "zones": ["a"], "capacity_by_zone": {"a": -1}})),
        (Verb::PoolPut, json!({"pool": "gpu", "capacity": 1, "zones": ["a"], "capacity_by_zone": {"a": []}})),
        (Verb::PoolPut, json!({"pool": "gpu", "capacity": 1, "force": "first"})),
        (Verb::ReservationTerminate, json!({"reservation_id": id})),
        (Verb::LockRelease, json!({"tenant": "A", "resource": "r"})),
        (Verb::PoolGet, json!({"pool": "gpu", "tenant": "acme"})),
        (Verb::TenantPut, json!({"tenant": "Acme"})),
        (Verb::TenantPut, json!({"tenant": "acme", "quotas": {"units": -1}})),
        (Verb::TenantPut, json!({"tenant": "acme", "quotas": {"pools": 1}})),
        (Verb::TenantPut, json!({"tenant": "acme", "registered_prefixes": ["a", "a"]})),
        (Verb::TenantPut, json!({"tenant": "acme", "registered_prefixes": [""]})),
        (Verb::TenantGet, json!({})),
        (Verb::Quota, json!({"units": 1})),
    ];
    for (verb, body) in bad {
        assert!(crate::samples::call(verb, &body.to_string()).is_err(), "decoded: {} {body}", verb.name());
        assert!(!schemas.is_valid(&format!("{}.request.json", verb.name()), &body), "{} {body}", verb.name());
    }
}

#[test]
fn every_reply_validates() {
    let schemas = Schemas::new();
    let assert_reply = |verb: Verb, encoded: reply::Encoded| {
        schemas.assert_valid(&format!("{}.reply.json", verb.name()), &parse(&encoded.body));
    };
    for hold in [reservation(), bare_reservation(), zoned_reservation()] {
        for verb in [Verb::Reserve, Verb::Confirm, Verb::Extend, Verb::Cancel, Verb::Update, Verb::Get] {
            assert_reply(verb, reply::outcome(&Ok(Answer::Reservation(Box::new(hold.clone())))));
        }
        assert_reply(Verb::List, reply::reservations(std::slice::from_ref(&hold), true, true));
        schemas.assert_valid("reservation.json", &parse(&reply::reservation(&hold).body));
    }
    assert_reply(Verb::List, reply::reservations(&[], false, false));
    for encoded in [history(), bare_history()] {
        assert_reply(Verb::History, encoded);
    }
    for encoded in [usage(), bare_usage()] {
        assert_reply(Verb::Usage, encoded);
    }
    for encoded in [capacity(), bare_capacity()] {
        assert_reply(Verb::Schedule, encoded);
    }
    assert_reply(Verb::Terminate, reply::outcome(&Ok(terminated())));
    for pool in pools() {
        for verb in [Verb::PoolPut, Verb::PoolGet] {
            assert_reply(verb, reply::pool(&pool));
        }
    }
    assert_reply(Verb::PoolPut, reply::outcome(&Ok(lowered())));
    assert_reply(Verb::ReservationTerminate, reply::outcome(&Ok(terminated())));
    assert_reply(Verb::PoolList, reply::pools(&pools(), true));
    assert_reply(Verb::Pools, reply::open_pools(&pools(), true));
    for (verb, looked) in looked() {
        assert_reply(verb, reply::outcome(&Ok(Answer::Looked(Box::new(looked)))));
    }
    for config in tenants() {
        assert_reply(Verb::TenantPut, reply::outcome(&Ok(Answer::Tenant(Box::new(config.clone())))));
        assert_reply(Verb::TenantGet, reply::tenant_config(&config));
        assert_reply(Verb::Quota, reply::quota(&config.limits, &TenantUse::default(), at(0)));
    }
}

#[test]
fn every_answer_to_a_dry_run_validates_and_is_told_from_the_others() {
    let schemas = Schemas::new();
    let body = |answer| parse(&reply::outcome(&Ok(Answer::DryRun(Box::new(answer)))).body);
    let (mut unborn, changed) = (reservation(), reservation());
    unborn.version = 0;
    for (verb, hold) in [(Verb::Reserve, &unborn), (Verb::Confirm, &changed), (Verb::Extend, &changed)] {
        let body = body(Answer::Reservation(Box::new(hold.clone())));
        schemas.assert_valid(&format!("{}.reply.json", verb.name()), &body);
        assert!(!schemas.is_valid("reservation.json", &body) && !schemas.is_valid("get.reply.json", &body));
    }
    schemas.assert_valid("terminate.reply.json", &body(terminated()));
    schemas.assert_valid("reservation_terminate.reply.json", &body(terminated()));
    let pools_put = pools().into_iter().map(|pool| Answer::Pool(Box::new(pool))).chain([lowered()]);
    for body in pools_put.map(body) {
        schemas.assert_valid("pool_put.reply.json", &body);
        assert!(!schemas.is_valid("pool.json", &body));
    }
    for body in tenants().into_iter().map(|config| body(Answer::Tenant(Box::new(config)))) {
        schemas.assert_valid("tenant_put.reply.json", &body);
        assert!(!schemas.is_valid("tenant_get.reply.json", &body));
    }
    let unmarked = parse(&reply::outcome(&Ok(Answer::Reservation(Box::new(unborn)))).body);
    assert!(!schemas.is_valid("reserve.reply.json", &unmarked), "only a dry run has no id");
}

#[test]
fn every_refusal_validates_and_every_code_is_one() {
    let schemas = Schemas::new();
    let mut codes = Vec::new();
    for refusal in refusals().into_iter().chain([still_booked(), still_held()]) {
        let mut body = parse(&reply::refusal(&refusal).body);
        schemas.assert_valid("error.json", &body);
        if !codes.contains(&json!(refusal.code())) {
            codes.push(json!(refusal.code()));
        }
        body["error"]["details"]["more"] = json!(1);
        assert!(!schemas.is_valid("error.json", &body), "details are closed: {body}");
    }
    let documents = schema::documents();
    let (_, error) = documents.iter().find(|(name, _)| name == "error.json").unwrap();
    assert_eq!(error["properties"]["error"]["properties"]["code"]["enum"], json!(codes));
}

#[test]
fn every_event_validates() {
    let schemas = Schemas::new();
    for event in events() {
        let mut body = parse(&event::encode(&event));
        schemas.assert_valid("event.json", &body);
        body["data"]["release_token"] = json!("x");
        assert!(!schemas.is_valid("event.json", &body));
    }
    let mut claim = parse(&event::encode(&events()[2]))["data"].clone();
    let members = claim.as_object_mut().unwrap();
    members.retain(|name, _| !["effective_at", "previous_status", "actor", "traceparent"].contains(&name.as_str()));
    schemas.assert_valid("lock.json", &claim);
}

#[test]
fn every_reference_of_the_asyncapi_document_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let documents: BTreeMap<String, Value> = schema::documents().into_iter().collect();
    let document = &documents["asyncapi.json"];
    let mut found = Vec::new();
    references(document, &mut found);
    assert!(found.len() > 100);
    for reference in found {
        let is_there = match reference.strip_prefix('#') {
            Some(pointer) => document.pointer(pointer).is_some(),
            None => documents.contains_key(reference),
        };
        assert!(is_there, "{reference}");
    }
}
