//! Requests that were good until something happened to them: each is answered, by JSON, whatever it is.

use futures::StreamExt;
use serde_json::{Map, Value, json};

use super::{Scene, check_form};
use crate::harness::{hours_from_now, http_get};

const REQUESTS: usize = 2_000;
/// How many are under way at once.
const AT_ONCE: usize = 250;
/// Another seed, other requests; one that failed can be had again.
const SEED: u64 = 0x5eed_0000_0000_0001;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// What a field may hold instead of what it should.
fn odd_values() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(""),
        json!("\u{0}"),
        json!("\u{2028}'\"\\;--"),
        json!("x".repeat(300)),
        json!("🦀".repeat(255)),
        json!([]),
        json!([[]]),
        json!({}),
        json!({"a": {"b": []}}),
        json!("2026-01-01T00:00:00Z"),
        json!("9999-12-31T23:59:59.999999Z"),
        json!("01890000-0000-7000-8000-000000000000"),
    ]
}

/// A good body for every verb, on things that are there.
fn bodies(scene: &Scene) -> Vec<(&'static str, Value)> {
    let (id, lock) = (&scene.own["reservation_id"], &scene.own_lock);
    let (start, end, later) = (&scene.start, &scene.end, hours_from_now(26));
    let interval = json!({"start_time": start, "end_time": end, "quantity": 2});
    let launch = json!({"volumes": ["v"], "ssh_keys": [], "startup_script": "#!\n", "memory_gb": 4});
    vec![
        ("reserve", json!({"pool": "fuzz", "start_time": start, "end_time": end, "quantity": 1, "hold_seconds": 60})),
        (
            "reserve",
            json!({"pool": "fuzz", "intervals": [interval], "tags": {"k": "v"}, "launch_specification": launch}),
        ),
        (
            "reserve",
            json!({"instance_type": "f", "region": "r", "intervals": [interval], "name": "n",
            "price_specification": {"offer_key": "standard", "max_unit_price": 9}}),
        ),
        ("confirm", json!({"reservation_id": id, "quantity": 1})),
        ("extend", json!({"reservation_id": id, "end_time": later})),
        ("terminate", json!({"reservation_id": id, "quantity": 1, "reduce_capacity": true})),
        (
            "terminate",
            json!({"reservation_id": id, "units": [format!("{}.0", id.as_str().unwrap())], "reduce_capacity": true}),
        ),
        ("cancel", json!({"reservation_id": id})),
        ("get", json!({"reservation_id": id})),
        ("list", json!({"pool": "fuzz", "status": "Pending", "sort_by": "status", "sort_dir": "asc", "limit": 5})),
        ("lock", json!({"requester": "me", "resource": "fuzz", "ttl_seconds": 60, "resource_type": "T"})),
        ("lock", json!([{"requester": "me", "resource": "a"}, {"requester": "you", "resource": "b"}])),
        ("unlock", json!({"requester": "me", "resource": "fuzz", "release_token": lock["release_token"]})),
        ("renew", json!([{"resource": "door", "release_token": lock["release_token"], "ttl_seconds": 60}])),
        ("check", json!({"resources": ["door", "fuzz"]})),
        ("verify", json!({"resource": "door", "fencing_token": lock["fencing_token"]})),
        ("receipt", json!({"idempotency_key": "k"})),
        (
            "pool_put",
            json!({"pool": "fuzz", "capacity": 1000, "instance_type": "f", "region": "r", "offers":
            [{"key": "standard", "display_name": "s", "unit_price_cents": 5}], "tags": {"k": "v"}}),
        ),
        ("pool_put", json!({"pool": "fuzz-2", "capacity_schedule": [{"effective_at": start, "quantity": 3}]})),
        ("pool_get", json!({"pool": "fuzz"})),
        ("pool_list", json!({"limit": 3})),
    ]
}

/// Something happens to an object within the value.
fn bend(random: &mut Random, value: &mut Value) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            let at = random.below(items.len());
            match random.below(4) {
                0 => items.push(items[at].clone()),
                1 => drop(items.remove(at)),
                _ => bend(random, &mut items[at]),
            }
        }
        Value::Object(members) if !members.is_empty() => bend_object(random, members),
        other => *other = random.pick(&odd_values()).clone(),
    }
}

fn bend_object(random: &mut Random, members: &mut Map<String, Value>) {
    let names: Vec<String> = members.keys().cloned().collect();
    let (one, other) = (random.pick(&names).clone(), random.pick(&names).clone());
    match random.below(6) {
        0 => drop(members.remove(&one)),
        1 => drop(members.insert(one, random.pick(&odd_values()).clone())),
        2 => {
            let (first, second) = (members[&one].clone(), members[&other].clone());
            members.insert(one, second);
            members.insert(other, first);
        }
        3 => {
            let value = members[&one].clone();
            members.insert(format!("{one}x"), value);
        }
        _ => bend(random, &mut members[&one]),
    }
}

/// Something happens to the bytes.
fn corrupt(random: &mut Random, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let at = random.below(bytes.len());
    match random.below(7) {
        0 => bytes.truncate(at),
        1 => drop(bytes.remove(at)),
        2 => bytes.insert(at, random.next() as u8),
        3 => drop(bytes.splice(at..at, bytes.clone())),
        4 => bytes.insert(at, *random.pick(b"{}[]\",:\\0e-.\0\n")),
        _ => bytes[at] ^= 1 << random.below(8),
    }
}

fn headers(random: &mut Random) -> Vec<(&'static str, String)> {
    let names = ["Idempotency-Key", "Berth-Actor", "Berth-Not-After", "traceparent", "tracestate"];
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let values = ["k", "k2", "", "a b", "berth:1", trace, "00-0", "2026-01-01T00:00:00Z", "🦀", "ü=1,b=2", "\u{7f}"];
    let count = random.below(4);
    (0..count).map(|_| (*random.pick(&names), (*random.pick(&values)).to_owned())).collect()
}

struct Mutant {
    verb: &'static str,
    headers: Vec<(&'static str, String)>,
    payload: Vec<u8>,
}

fn mutant(random: &mut Random, bodies: &[(&'static str, Value)]) -> Mutant {
    let (verb, body) = random.pick(bodies);
    let mut body = body.clone();
    (0..random.below(3)).for_each(|_| bend(random, &mut body));
    let mut payload = body.to_string().into_bytes();
    (0..random.below(3)).for_each(|_| corrupt(random, &mut payload));
    Mutant { verb, headers: headers(random), payload }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_mutilated_requests_are_all_answered_and_nobody_else_notices() {
    let scene = Scene::set().await;
    let (berth, bodies) = (&scene.berth, bodies(&scene));
    berth.admin("pool_put", bodies.iter().find(|(verb, _)| *verb == "pool_put").unwrap().1.clone()).await.ok();
    let mut random = Random(SEED);
    let mutants: Vec<Mutant> = (0..REQUESTS).map(|_| mutant(&mut random, &bodies)).collect();
    let answered = futures::stream::iter(mutants.iter().enumerate())
        .map(async |(index, mutant)| {
            let tenant = format!("{}.v1.acme.{}", berth.root, mutant.verb);
            let admin = format!("{}.admin.v1.{}", berth.root, mutant.verb);
            let subject = if mutant.verb.starts_with("pool_") { admin } else { tenant };
            let headers: Vec<(&str, &str)> =
                mutant.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let reply = berth.ask_subject(subject, &headers, mutant.payload.clone()).await;
            let is_refused = reply.code() != "ok";
            if is_refused {
                check_form(&reply);
            }
            let unexpected = ["unavailable", "unknown_outcome", "overloaded", "unknown_verb"];
            let payload = String::from_utf8_lossy(&mutant.payload);
            assert!(!unexpected.contains(&reply.code()), "{} {payload} {}", mutant.verb, reply.body);
            if index % 20 == 0 {
                berth.ask_as("neighbour", "reserve", &[], &scene.reserve("")).await.ok();
            }
            is_refused
        })
        .buffer_unordered(AT_ONCE);
    let refused = answered.filter(|is_refused| std::future::ready(*is_refused)).count().await;
    assert!((REQUESTS / 4..REQUESTS).contains(&refused), "{refused} refused: some of both, or nothing is tried");
    let neighbours = "select count(*) from hold where tenant = 'neighbour'";
    let neighbours: i64 = sqlx::query_scalar(neighbours).fetch_one(&scene.sql).await.unwrap();
    assert_eq!(neighbours, (REQUESTS / 20) as i64);
    assert_eq!(http_get(berth.workers[0].http, "/ready").await.0, 200);
    berth.ask("reserve", serde_json::from_str(&scene.reserve("")).unwrap()).await.ok();
}
