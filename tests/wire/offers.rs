//! Counter-offers: each a request that means what was offered.

use berth::domain::command::{Command, Reserve};
use berth::domain::counter::{CounterOffer, Instead, OfferReason};
use berth::domain::outcome::Refusal;
use berth::wire::reply;
use berth::wire::verb::Verb;
use serde_json::{Value, json};

use crate::replies::parse;
use crate::samples::{REQUESTS, canonical, command};

fn reserve(body: &str) -> Reserve {
    match command(Verb::Reserve, body).0 {
        Command::Reserve(reserve) => reserve,
        other => panic!("{other:?}"),
    }
}

/// The details of a refusal that offers these.
fn details(offers: Vec<CounterOffer>) -> Value {
    let instead = Instead { offers, latest_end: None };
    let refusal = reply::refusal(&Refusal::InsufficientCapacity { intervals: Vec::new(), instead });
    assert_eq!(refusal.error, Some((409, "insufficient_capacity".into())));
    parse(&refusal.body)["error"]["details"].clone()
}

fn offer(request: Reserve) -> CounterOffer {
    CounterOffer { reason: OfferReason::Shorter, request }
}

#[test]
fn an_offered_request_means_what_was_asked_for_and_repeats_all_of_it() {
    let window = |more: Value| {
        let mut body = json!({"pool": "gpu", "start_time": "2026-04-29T02:00:00.25Z",
                              "end_time": "2026-04-29T02:15:00Z", "quantity": 1});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body.to_string()
    };
    let several = json!([{"start_time": "2026-04-29T02:00:00Z", "end_time": "2026-04-29T02:15:00Z", "quantity": 1}]);
    let mut bodies = vec![
        window(json!({"name": "a \"b\" é", "tags": {}, "hold_seconds": 5})),
        window(json!({"price_specification": {"max_unit_price": 0}})),
        window(json!({"price_specification": {"offer_key": "spot"}})),
        window(json!({"price_specification": {"offer_key": "standard"}, "tags": {"b": "\\", "a": ""}})),
        window(json!({"launch_specification": {"volumes": ["v"], "ssh_keys": [], "startup_script": "a\n\t\"b\""}})),
        json!({"pool": "gpu", "intervals": several}).to_string(),
    ];
    let samples = REQUESTS.iter().filter(|(verb, _)| *verb == Verb::Reserve);
    bodies.extend(samples.map(|(_, body)| (*body).to_owned()));
    for body in bodies {
        let details = details(vec![offer(reserve(&body))]);
        assert_eq!(details["offers"][0]["reason"], "shorter");
        let request = details["offers"][0]["request"].to_string();
        assert_eq!(canonical(Verb::Reserve, &request), canonical(Verb::Reserve, &body));
        let nulls = request.matches("null").count();
        assert_eq!(nulls, 0, "what it does not say is left out: {request}");
    }
}

#[test]
fn a_pool_that_was_found_by_its_kind_is_offered_by_its_kind() {
    let (_, body) = REQUESTS[1];
    let mut found = reserve(body);
    found.pool = berth::domain::id::PoolName::parse("gpu");
    let request = details(vec![offer(found)])["offers"][0]["request"].clone();
    assert_eq!((&request["instance_type"], &request["region"]), (&json!("a100"), &json!("us-central1-a")));
    assert_eq!(request.get("pool"), None);
}

#[test]
fn offers_that_are_too_large_together_are_left_out() {
    let script = "x".repeat(65_536);
    let specification = json!({"volumes": vec!["v".repeat(250); 500], "ssh_keys": [], "startup_script": script});
    let body = json!({"pool": "gpu", "start_time": "2026-04-29T02:00:00Z", "end_time": "2026-04-29T02:15:00Z",
                      "quantity": 1, "launch_specification": specification});
    let large = reserve(&body.to_string());
    let small = reserve(REQUESTS[0].1);
    let details = details(vec![offer(large.clone()), offer(large), offer(small)]);
    let sizes: Vec<usize> =
        details["offers"].as_array().unwrap().iter().map(|it| it["request"].to_string().len()).collect();
    assert!(matches!(sizes[..], [190_000..200_000, 90..200]), "{sizes:?}");
}

#[test]
fn an_extension_is_told_the_latest_end() {
    let latest_end = Some(crate::samples::at(900));
    let instead = Instead { offers: Vec::new(), latest_end };
    let body = parse(&reply::refusal(&Refusal::InsufficientCapacity { intervals: Vec::new(), instead }).body);
    let expected = json!({"intervals": [], "offers": [], "latest_end_time": "2026-04-29T02:15:00Z"});
    assert_eq!(body["error"]["details"], expected);
    assert_eq!(details(Vec::new()), json!({"intervals": [], "offers": []}));
}
