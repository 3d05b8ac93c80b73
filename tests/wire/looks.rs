//! What is asked before something is reserved: decoded, refused, and answered byte for byte.

use berth::domain::look::{Availability, Look, Mode};
use berth::domain::outcome::{Answer, Refusal};
use berth::domain::window::Interval;
use berth::wire::reply;
use berth::wire::verb::Verb;
use serde_json::json;

use crate::replies::parse;
use crate::samples::{REQUESTS, at, call, hold_id, look, looked, pools};

fn samples(verb: Verb) -> Vec<Look> {
    REQUESTS.iter().filter(|(sampled, _)| *sampled == verb).map(|(_, body)| look(verb, body)).collect()
}

#[test]
fn each_mode_of_availability_is_decoded_with_its_own_fields() {
    let modes = samples(Verb::Availability).into_iter().map(|look| match look {
        Look::Availability(Availability { mode, .. }) => mode,
        look => panic!("{look:?}"),
    });
    let [Mode::LatestEnd { start, quantity: 4 }, Mode::Slots { earliest_start, latest_end }, Mode::Check(window)] =
        modes.collect::<Vec<_>>()[..]
    else {
        panic!()
    };
    assert_eq!((start, earliest_start, latest_end), (at(0), at(0), at(6 * 3600)));
    assert_eq!(window, Interval { start: at(0), end: at(900), quantity: 4 });
}

#[test]
fn a_search_names_one_pool_a_kind_or_several_pools() {
    let Look::Find(one) = samples(Verb::Find).remove(0) else { panic!() };
    assert_eq!((one.quantity, one.duration_seconds, one.limit, one.is_many), (4, 3600, 10, false));
    let Look::Find(many) = samples(Verb::Find).remove(1) else { panic!() };
    let names: Vec<_> = many.targets.iter().map(|target| target.pool.as_ref().unwrap().as_str()).collect();
    assert_eq!((names, many.is_many), (vec!["gpu", "gpu-2_x"], true));
    assert_eq!(Look::Find(many).lanes().len(), 2, "both are locked");
    let Look::Quote(quote) = samples(Verb::Quote).remove(0) else { panic!() };
    assert_eq!(quote.target.pool, None);
    assert_eq!(quote.target.wanted_kind.unwrap().region.as_str(), "eu");
    let Look::Extension(id) = samples(Verb::ExtensionAvailability).remove(0) else { panic!() };
    assert_eq!(id, hold_id());
}

#[test]
fn what_is_missing_or_of_another_mode_is_refused_by_name() {
    let range = r#""earliest_start_time":"2026-04-29T02:00:00Z","latest_end_time":"2026-04-29T03:00:00Z""#;
    let start = r#""start_time":"2026-04-29T02:00:00Z""#;
    let search = format!(r#""quantity":1,"duration_seconds":60,{range}"#);
    let pools = |names: usize| (0..names).map(|name| format!("\"p{name}\"")).collect::<Vec<_>>().join(",");
    for (verb, body, expected) in [
        (Verb::Availability, "".into(), "pool missing_field"),
        (Verb::Availability, r#""pool":"gpu""#.into(), "start_time missing_field"),
        (Verb::Availability, format!(r#""pool":"gpu",{start}"#), "quantity missing_field"),
        (Verb::Availability, format!(r#""pool":"gpu","mode":"Slots",{range}"#), "mode invalid_string"),
        (Verb::Availability, r#""pool":"gpu","mode":"slots""#.into(), "earliest_start_time missing_field"),
        (Verb::Availability, format!(r#""pool":"gpu","mode":"slots","quantity":1,{range}"#), "quantity out_of_range"),
        (Verb::Availability, format!(r#""pool":"gpu","mode":"check",{start},"quantity":1"#), "end_time missing_field"),
        (
            Verb::Availability,
            format!(r#""pool":"gpu","quantity":1,{start},"end_time":"2026-04-29T03:00:00Z""#),
            "end_time out_of_range",
        ),
        (
            Verb::Availability,
            format!(r#""pool":"gpu","mode":"check","quantity":1,{start},"end_time":"2026-04-29T02:00:00Z""#),
            "end_time invalid_interval",
        ),
        (
            Verb::Availability,
            r#""pool":"gpu","mode":"slots","earliest_start_time":"2026-04-29T02:00:00Z","latest_end_time":"2026-04-29T02:00:00Z""#.into(),
            "latest_end_time invalid_interval",
        ),
        (Verb::Availability, format!(r#""pool":"gpu","region":"eu",{start},"quantity":1"#), "region out_of_range"),
        (Verb::Find, format!(r#""pool":"gpu",{range}"#), "quantity missing_field"),
        (Verb::Find, search.clone(), "pool missing_field"),
        (Verb::Find, format!(r#""pool":"gpu","pools":["gpu"],{search}"#), "pool out_of_range"),
        (Verb::Find, format!(r#""pools":["a","b","a"],{search}"#), "pools[2] duplicate_field"),
        (Verb::Find, format!(r#""pools":[{}],{search}"#, pools(17)), "pools too_many_items"),
        (Verb::Quote, format!(r#""pool":"gpu",{start},"quantity":1"#), "end_time missing_field"),
        (Verb::ExtensionAvailability, "".into(), "reservation_id missing_field"),
        (Verb::Pools, r#""pool":"gpu""#.into(), "pool unknown_field"),
    ] {
        let Err(Refusal::InvalidRequest { field, reason, .. }) = call(verb, &format!("{{{body}}}")) else {
            panic!("{} {body}", verb.name())
        };
        assert_eq!(format!("{field} {}", reason.name()), expected, "{} {body}", verb.name());
    }
    let most = format!(r#"{{"pools":[{}],{search}}}"#, pools(16));
    assert!(call(Verb::Find, &most).is_ok());
}

#[test]
fn each_answer_has_the_shape_of_its_mode() {
    let texts: Vec<String> = looked()
        .into_iter()
        .map(|(_, looked)| reply::outcome(&Ok(Answer::Looked(Box::new(looked)))))
        .map(|encoded| String::from_utf8(encoded.body).unwrap())
        .collect();
    let window = r#""start_time":"2026-04-29T02:00:00Z","end_time":"2026-04-29T02:15:00Z","quantity":2"#;
    let next = r#"{"start_time":"2026-04-29T02:15:00Z","end_time":"2026-04-29T02:30:00Z","quantity":3}"#;
    let quoted = r#"{"key":"spot","display_name":"Spot","unit_price":100,"return_buyback_price":50,"pause_buyback_price":25,"total_price":800,"total_etbp_value":400,"total_fubp_value":200,"option_premium":5}"#;
    let expected = [
        r#"{"available":true,"latest_end_time":"2026-04-29T02:15:00Z"}"#.to_owned(),
        r#"{"available":false,"latest_end_time":null}"#.into(),
        r#"{"available":true}"#.into(),
        format!("[{{{window}}},{next}]"),
        "[]".into(),
        format!("[{{{window}}}]"),
        format!(r#"[{{"pool":"gpu",{window}}}]"#),
        "[]".into(),
        r#"{"available":false,"latest_extension_time":"2026-04-29T02:15:00Z"}"#.into(),
        format!(r#"{{"offers":[{quoted}]}}"#),
    ];
    assert_eq!(texts, expected);
}

#[test]
fn an_open_pool_shows_what_it_allows_and_not_how_much_there_is() {
    let page = parse(&reply::open_pools(&pools()[..1], false).body);
    let pool = json!({
        "pool": "gpu", "instance_type": null, "region": null, "instance_spec": null, "grain_seconds": 900,
        "quantity_step": 1, "quantity_min": null, "quantity_max": null, "duration_min_seconds": null,
        "duration_max_seconds": null, "lead_time_seconds": 0, "horizon_seconds": 31_622_400, "intervals_max": 672,
        "ending_soon_seconds": 0, "cancellable": true, "extendable": true, "pausable": true, "reducible": true,
        "offers": [], "tags": null
    });
    assert_eq!(page, json!({"data": [pool], "next_cursor": null}));
}
