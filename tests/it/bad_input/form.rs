//! What is wrong with a body, whoever sends it.

use serde_json::{Value, json};

use super::{Scene, case};
use crate::harness::hours_from_now;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_one_json_object_is_refused_among_good_neighbours() {
    let scene = Scene::set().await;
    let many: Vec<Value> = vec![json!({"requester": "a", "resource": "b"}); 1_001];
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let mut cut = scene.reserve("").into_bytes();
    cut.truncate(cut.len() / 2);
    let mut not_utf8 = scene.reserve(r#","name":"?""#).into_bytes();
    *not_utf8.iter_mut().find(|byte| **byte == b'?').unwrap() = 0xff;
    scene
        .hold_to(vec![
            case("reserve", "nonsense", "invalid_json"),
            case("reserve", " ", "invalid_json"),
            case("reserve", "", "pool missing_field"),
            case("reserve", "null", "invalid_json"),
            case("reserve", "\"pool\"", "invalid_json"),
            case("reserve", "[]", "invalid_json"),
            case("reserve", format!("[{}]", scene.reserve("")), "invalid_json"),
            case("reserve", format!("{0} {0}", scene.reserve("")), "invalid_json"),
            case("reserve", [b"\xef\xbb\xbf", scene.reserve("").as_bytes()].concat(), "invalid_json"),
            case("reserve", not_utf8, "invalid_json"),
            case("reserve", vec![0; 4096], "invalid_json"),
            case("reserve", cut, "invalid_json"),
            case("reserve", scene.reserve(&format!(",\"tags\":{deep}")), "invalid_json"),
            case("lock", deep, "invalid_json"),
            case("reserve", vec![b' '; 1_000_000], "payload_too_large"),
            case("reserve", scene.reserve(&format!(",\"name\":\"{}\"", "x".repeat(1_000_000))), "payload_too_large"),
            case("get", "[]", "invalid_json"),
            case("list", "[{}]", "invalid_json"),
            case("pool_put", "[{}]", "invalid_json"),
            case("lock", "[]", "[] out_of_range"),
            case("unlock", "[]", "[] out_of_range"),
            case("renew", "[]", "[] out_of_range"),
            case("lock", json!(many).to_string(), "[] too_many_items"),
            case("lock", r#"[{"requester":"a","resource":"b"},7]"#, "[1] wrong_type"),
            case("lock", r#"[{"requester":"a","resource":"b"},{"resource":"b"}]"#, "[1].requester missing_field"),
            case("lock", r#"[{"requester":"a","resource":"b","x":1}]"#, "[0].x unknown_field"),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_are_unknown_doubled_or_no_text_are_refused_by_name() {
    let scene = Scene::set().await;
    let reserve = |members: &str| scene.reserve(members);
    let nul = r"\u0000";
    scene
        .hold_to(vec![
            case("reserve", reserve(r#","quantity":1"#), "quantity duplicate_field"),
            case("reserve", reserve(r#","quantity":null"#), "quantity duplicate_field"),
            case("reserve", reserve(r#","quantitiy":1"#), "quantitiy unknown_field"),
            case("reserve", reserve(r#","zone":"a.b""#), "zone invalid_string"),
            case("reserve", reserve(r#","dry_run":"true""#), "dry_run wrong_type"),
            case("reserve", reserve(r#","<script>":1"#), "? unknown_field"),
            case("reserve", reserve(r#","tags":{"a":"1","a":"2"}"#), "tags duplicate_field"),
            case(
                "reserve",
                reserve(r#","price_specification":{"offer_key":"a","offer_key":"a"}"#),
                "price_specification.offer_key duplicate_field",
            ),
            case("reserve", reserve(r#","price_specification":{"x":1}"#), "price_specification.x unknown_field"),
            case(
                "reserve",
                reserve(r#","launch_specification":{"volumes":[]}"#),
                "launch_specification.ssh_keys missing_field",
            ),
            case("reserve", reserve(&format!(r#","name":"a{nul}""#)), "name invalid_string"),
            case("reserve", reserve(&format!(r#","tags":{{"a":"{nul}"}}"#)), "tags invalid_string"),
            case("reserve", reserve(&format!(r#","tags":{{"{nul}":"a"}}"#)), "tags invalid_string"),
            case("reserve", reserve(&format!(r#","{nul}":"a""#)), "? unknown_field"),
            case(
                "reserve",
                reserve(&format!(r#","launch_specification":{{"volumes":[],"ssh_keys":[],"startup_script":"{nul}"}}"#)),
                "launch_specification.startup_script invalid_string",
            ),
            case("lock", format!(r#"{{"requester":"a","resource":"{nul}"}}"#), "resource invalid_string"),
            case("lock", format!(r#"{{"requester":"{nul}","resource":"a"}}"#), "requester invalid_string"),
            case("check", format!(r#"{{"resources":["a","{nul}"]}}"#), "resources[1] invalid_string"),
            case("reserve", reserve(r#","name":"\ud800""#), "name invalid_string"),
            case("reserve", reserve(r#","name":"""#), "name invalid_string"),
            case("reserve", reserve(&format!(r#","name":"{}""#, "ä".repeat(256))), "name invalid_string"),
            case("confirm", "{}", "reservation_id missing_field"),
            case("list", r#"{"limit":0}"#, "limit out_of_range"),
            case("list", r#"{"limit":101}"#, "limit out_of_range"),
            case("list", r#"{"status":"Gone"}"#, "status invalid_string"),
            case("list", r#"{"next_cursor":"AAAA"}"#, "next_cursor invalid_string"),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_plain_digits_within_their_range_are_an_integer() {
    let scene = Scene::set().await;
    let told = [
        ("16.0", "quantity wrong_type"),
        ("\"16\"", "quantity wrong_type"),
        ("1e1", "quantity wrong_type"),
        ("1E400", "quantity wrong_type"),
        ("true", "quantity wrong_type"),
        ("[1]", "quantity wrong_type"),
        ("0", "quantity out_of_range"),
        ("-1", "quantity out_of_range"),
        ("-0", "quantity out_of_range"),
        ("10001", "quantity out_of_range"),
        ("4294967297", "quantity out_of_range"),
        ("9223372036854775807", "quantity out_of_range"),
        ("9223372036854775808", "quantity out_of_range"),
        ("-9223372036854775809", "quantity out_of_range"),
        ("99999999999999999999999999999999", "quantity out_of_range"),
        ("NaN", "invalid_json"),
        ("01", "invalid_json"),
        ("null", "quantity missing_field"),
    ];
    let mut cases: Vec<_> = told.iter().map(|(text, told)| case("reserve", scene.quantity(text), told)).collect();
    let vast = "9223372036854775808";
    let hold = format!(r#","hold_seconds":{vast}"#);
    cases.push(case("reserve", scene.reserve(&hold), "hold_seconds out_of_range"));
    cases.push(case("verify", format!(r#"{{"resource":"a","fencing_token":{vast}}}"#), "fencing_token out_of_range"));
    let lock = format!(r#"{{"requester":"a","resource":"b","ttl_seconds":{vast}}}"#);
    cases.push(case("lock", lock, "ttl_seconds out_of_range"));
    cases.push(case("pool_put", format!(r#"{{"pool":"p","capacity":{vast}}}"#), "capacity out_of_range"));
    scene.hold_to(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instant_without_offset_or_beyond_microseconds_is_no_instant() {
    let scene = Scene::set().await;
    let day = &scene.start[..10];
    let bad = [
        format!("{day}T10:00:00"),
        format!("{day} 10:00:00Z"),
        format!("{day}T10:00:00.1234567Z"),
        format!("{day}T10:00:00.0000000Z"),
        format!("{day}T10:00:60Z"),
        format!("{day}T23:59:60Z"),
        format!("{day}T24:00:00Z"),
        format!("{day}T10:00:00+24:00"),
        "2026-02-30T10:00:00Z".to_owned(),
        "10000-01-01T00:00:00Z".to_owned(),
        "9999-12-31T23:59:59-00:01".to_owned(),
        "1969-12-31T23:59:59Z".to_owned(),
        "-2026-01-01T00:00:00Z".to_owned(),
        "tomorrow".to_owned(),
    ];
    let mut cases: Vec<_> = bad
        .iter()
        .flat_map(|bad| {
            let intervals = format!(
                r#"{{"pool":"good","intervals":[{{"start_time":"{}","end_time":"{bad}","quantity":1}}]}}"#,
                scene.start
            );
            [
                case("reserve", scene.window(bad, &scene.end), "start_time invalid_timestamp"),
                case("reserve", intervals, "intervals[0].end_time invalid_timestamp"),
            ]
        })
        .collect();
    let id = scene.own["reservation_id"].as_str().unwrap();
    let extend = format!(r#"{{"reservation_id":"{id}","end_time":1777428000}}"#);
    cases.push(case("extend", extend, "end_time wrong_type"));
    scene.hold_to(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_is_empty_reversed_off_the_grid_or_overlapping_is_refused() {
    let scene = Scene::set().await;
    let at = |minute| scene.at(minute);
    let interval = |from, to| json!({"start_time": at(from), "end_time": at(to), "quantity": 1});
    let several = |intervals: &[Value]| json!({"pool": "good", "intervals": intervals}).to_string();
    let quarters = vec![interval(0, 15); 673];
    let far = hours_from_now(24 * 367);
    let odd = scene.start.replace(":00:00Z", ":00:00.000001Z");
    let past = hours_from_now(-24);
    let id = scene.own["reservation_id"].as_str().unwrap();
    let extend = |end: &str| json!({"reservation_id": id, "end_time": end}).to_string();
    scene
        .hold_to(vec![
            case("reserve", scene.window(&at(0), &at(0)), "end_time invalid_interval"),
            case("reserve", scene.window(&at(15), &at(0)), "end_time invalid_interval"),
            case("reserve", scene.window(&at(1), &at(15)), "start_time misaligned"),
            case("reserve", scene.window(&odd, &at(15)), "start_time misaligned"),
            case("reserve", scene.window(&at(0), &at(14)), "end_time misaligned"),
            case("reserve", several(&[interval(0, 15), interval(15, 31)]), "intervals[1].end_time misaligned"),
            case("reserve", several(&[interval(31, 45), interval(0, 15)]), "intervals[0].start_time misaligned"),
            case("reserve", several(&[interval(0, 30), interval(15, 45)]), "intervals[1] invalid_interval"),
            case("reserve", several(&[interval(15, 45), interval(0, 30)]), "intervals[0] invalid_interval"),
            case("reserve", several(&[interval(0, 15), interval(0, 15)]), "intervals[1] invalid_interval"),
            case("reserve", several(&[interval(0, 15), interval(15, 15)]), "intervals[1].end_time invalid_interval"),
            case("reserve", several(&quarters), "intervals too_many_items"),
            case("reserve", several(&[]), "intervals out_of_range"),
            case("reserve", several(&[json!({})]), "intervals[0].start_time missing_field"),
            case("reserve", scene.window(&scene.start, &far), "end_time out_of_range"),
            case("extend", extend(&at(31)), "end_time misaligned"),
            case("extend", extend(&at(30)), "end_time out_of_range"),
            case("extend", extend(&far), "end_time out_of_range"),
            case("reserve", scene.window(&past, &scene.end), "lead_time_violation"),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_not_be_a_token_of_a_subject_is_no_name() {
    let scene = Scene::set().await;
    let bad = ["*", ">", "a.b", "good.*", "Good", "-a", "", "a b", "ä", &"a".repeat(64)];
    let mut cases: Vec<_> = bad
        .iter()
        .flat_map(|bad| {
            let put = json!({"pool": bad, "capacity": 1});
            [
                case("reserve", scene.reserve("").replace("good", bad), "pool invalid_string"),
                case("pool_put", put.to_string(), "pool invalid_string"),
                case("pool_get", json!({"pool": bad}).to_string(), "pool invalid_string"),
                case("list", json!({"pool": bad}).to_string(), "pool invalid_string"),
            ]
        })
        .collect();
    for bad in ["*", ">", "a.b", "", "ä", &"a".repeat(65)] {
        let lock = json!({"requester": "a", "resource": "b", "resource_type": bad});
        cases.push(case("lock", lock.to_string(), "resource_type invalid_string"));
    }
    for bad in ["", "x", "9f67b8f77b914d2db1cb19d0d0a14562", "{9f67b8f7-7b91-4d2d-b1cb-19d0d0a14562}"] {
        cases.push(case("get", json!({"reservation_id": bad}).to_string(), "reservation_id invalid_id"));
        cases.push(case("cancel", json!({"reservation_id": bad}).to_string(), "reservation_id invalid_id"));
    }
    scene.hold_to(cases).await;
}
