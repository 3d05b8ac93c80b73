//! Bad requests, each with the refusal that it gets.

use berth::domain::outcome::Refusal;
use berth::wire::reply;
use berth::wire::request::{Headers, PAYLOAD_MAX, decode};
use berth::wire::verb::Verb;

use crate::samples::{ID, call, tenant};

fn refusal(verb: Verb, payload: &[u8]) -> Refusal {
    match decode(verb, Some(&tenant()), &Headers::default(), payload) {
        Err(refusal) => refusal,
        Ok(decoded) => panic!("accepted as {decoded:?}: {}", String::from_utf8_lossy(payload)),
    }
}

/// `code`, or for a field `field reason`.
fn told(refusal: &Refusal) -> String {
    match refusal {
        Refusal::InvalidRequest { field, reason, .. } => format!("{field} {}", reason.name()),
        other => other.code().to_owned(),
    }
}

pub fn assert_told(verb: Verb, body: &str, expected: &str) {
    assert_eq!(told(&refusal(verb, body.as_bytes())), expected, "{} {body}", verb.name());
}

/// A reserve that is valid but for its last members.
fn reserve(members: &str) -> String {
    format!(
        r#"{{"pool":"gpu","start_time":"2026-04-29T02:00:00Z","end_time":"2026-04-29T02:15:00Z","quantity":1,{members}}}"#
    )
}

fn window(start: &str, end: &str) -> String {
    format!(r#"{{"pool":"gpu","start_time":"{start}","end_time":"{end}","quantity":1}}"#)
}

#[test]
fn what_is_not_one_json_object_is_invalid_json() {
    let deep = format!("{{\"tags\":{}{}}}", "[".repeat(500), "]".repeat(500));
    let bodies: [&[u8]; 18] = [
        b"nonsense",
        b" ",
        b"{",
        b"{}}",
        b"{} {}",
        b"[]",
        b"[{}]",
        b"null",
        b"1",
        b"\"pool\"",
        b"{'pool':1}",
        b"{\"pool\":gpu}",
        b"{\"pool\":\"gpu\",}",
        b"\xef\xbb\xbf{}",
        b"{\"pool\":\"\xff\"}",
        b"{\"\\ud800\":1}",
        b"{\"pool\":\"a\nb\"}",
        deep.as_bytes(),
    ];
    for body in bodies {
        assert_eq!(refusal(Verb::Reserve, body), Refusal::InvalidJson, "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn nesting_is_taken_to_32_levels() {
    let nested = |depth: usize| format!("{{\"x\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert_told(Verb::Reserve, &nested(32), "x unknown_field");
    assert_told(Verb::Reserve, &nested(33), "invalid_json");
    assert_told(Verb::Reserve, &format!("{{\"x\":\"{}\\\"[\"}}", "[".repeat(99)), "x unknown_field");
}

#[test]
fn a_payload_over_the_limit_is_refused_unread() {
    let large = vec![b'x'; 600_000];
    assert_eq!(refusal(Verb::Reserve, &large), Refusal::PayloadTooLarge { bytes_max: PAYLOAD_MAX });
    assert_eq!(refusal(Verb::Reserve, &large[..PAYLOAD_MAX]), Refusal::InvalidJson);
}

#[test]
fn fields_are_refused_by_name() {
    for (verb, body, expected) in [
        (Verb::Reserve, "", "pool missing_field"),
        (Verb::Reserve, "{}", "pool missing_field"),
        (Verb::Reserve, r#"{"region":"eu"}"#, "instance_type missing_field"),
        (Verb::Reserve, r#"{"instance_type":"a"}"#, "region missing_field"),
        (Verb::Reserve, r#"{"pool":"gpu"}"#, "start_time missing_field"),
        (Verb::Reserve, r#"{"pool":"gpu","quantitiy":1}"#, "quantitiy unknown_field"),
        (Verb::Reserve, r#"{"pool":"gpu","<b>":1}"#, "? unknown_field"),
        (Verb::Reserve, r#"{"pool":"gpu","a b":1,"wait":1}"#, "? unknown_field"),
        (Verb::Reserve, r#"{"pool":"gpu","pool":"gpu"}"#, "pool duplicate_field"),
        (Verb::Reserve, r#"{"pool":null,"pool":"gpu"}"#, "pool duplicate_field"),
        (Verb::Reserve, &reserve(r#""zone":"a.b""#), "zone invalid_string"),
        (Verb::Reserve, &reserve(r#""dry_run":1"#), "dry_run wrong_type"),
        (Verb::Lock, r#"{"requester":"a","resource":"x","dry_run":"true"}"#, "dry_run wrong_type"),
        (
            Verb::Transact,
            r#"{"method":"FIRST","request_type":"RESERVE","requests":[],"dry_run":true}"#,
            "dry_run unknown_field",
        ),
        (Verb::Reserve, &reserve(r#""instance_type":"a""#), "instance_type out_of_range"),
        (Verb::Reserve, &reserve(r#""region":"a""#), "region out_of_range"),
        (Verb::Reserve, &reserve(r#""tags":{"a":"1","a":"2"}"#), "tags duplicate_field"),
        (Verb::Reserve, &reserve(r#""tags":{"a":1}"#), "tags wrong_type"),
        (Verb::Reserve, &reserve(r#""tags":{"":"1"}"#), "tags invalid_string"),
        (Verb::Reserve, &reserve(r#""tags":[]"#), "tags wrong_type"),
        (Verb::Reserve, &reserve(r#""price_specification":[]"#), "price_specification wrong_type"),
        (
            Verb::Reserve,
            &reserve(r#""price_specification":{"max_unit_price":1,"max_unit_price":1}"#),
            "price_specification.max_unit_price duplicate_field",
        ),
        (
            Verb::Reserve,
            &reserve(r#""price_specification":{"max_unit_price":-1}"#),
            "price_specification.max_unit_price out_of_range",
        ),
        (Verb::Reserve, &reserve(r#""price_specification":{"x":1}"#), "price_specification.x unknown_field"),
        (
            Verb::Reserve,
            &reserve(r#""launch_specification":{"volumes":[]}"#),
            "launch_specification.ssh_keys missing_field",
        ),
        (
            Verb::Reserve,
            &reserve(r#""launch_specification":{"volumes":["a",1],"ssh_keys":[]}"#),
            "launch_specification.volumes[1] wrong_type",
        ),
        (Verb::Reserve, &reserve(r#""hold_seconds":604801"#), "hold_seconds out_of_range"),
        (Verb::Reserve, &reserve(r#""hold_seconds":0"#), "hold_seconds out_of_range"),
        (Verb::Get, r#"{"reservation_id":null}"#, "reservation_id missing_field"),
        (Verb::Get, r#"{"reservation_id":"x"}"#, "reservation_id invalid_id"),
        (Verb::Get, r#"{"reservation_id":"9f67b8f77b914d2db1cb19d0d0a14562"}"#, "reservation_id invalid_id"),
        (Verb::Get, r#"{"reservation_id":5}"#, "reservation_id wrong_type"),
        (
            Verb::Get,
            r#"{"reservation_id":"9f67b8f7-7b91-4d2d-b1cb-19d0d0a14562","as_of":"2026-04-29"}"#,
            "as_of invalid_timestamp",
        ),
        (Verb::History, r#"{"as_of":"2026-04-29T02:00:00Z"}"#, "reservation_id missing_field"),
        (Verb::Usage, r#"{"reservation_id":"x"}"#, "reservation_id invalid_id"),
        (Verb::Cancel, r#"{"reservation_id":"x","as_of":"2026-04-29T02:00:00Z"}"#, "as_of unknown_field"),
        (Verb::Schedule, "{}", "pool missing_field"),
        (Verb::Schedule, r#"{"pool":"gpu","id":"gpu"}"#, "pool out_of_range"),
        (Verb::Schedule, r#"{"id":"sfc:capacity:acme:default:gpu"}"#, "id invalid_string"),
        (Verb::Schedule, r#"{"id":"berth:capacity:acme:prod:gpu"}"#, "id invalid_string"),
        (Verb::Schedule, r#"{"id":"berth:capacity:acme:gpu"}"#, "id invalid_string"),
        (Verb::Schedule, r#"{"pool":"gpu","schedule_history_minutes":1441}"#, "schedule_history_minutes out_of_range"),
        (Verb::Schedule, r#"{"pool":"gpu","schedule_history_minutes":-1}"#, "schedule_history_minutes out_of_range"),
        (Verb::Schedule, r#"{"pool":"gpu","expand":["offers"]}"#, "expand[0] invalid_string"),
        (Verb::Schedule, r#"{"pool":"gpu","expand":"deployments"}"#, "expand wrong_type"),
        (Verb::List, r#"{"limit":101}"#, "limit out_of_range"),
        (Verb::List, r#"{"sort_by":"status","as_of":"2026-04-29T02:00:00Z"}"#, "sort_by out_of_range"),
        (Verb::List, r#"{"status":"Waitlisted"}"#, "status invalid_string"),
        (Verb::List, r#"{"sort_dir":"DESC"}"#, "sort_dir invalid_string"),
        (Verb::List, r#"{"next_cursor":"!"}"#, "next_cursor invalid_string"),
        (Verb::List, r#"{"next_cursor":"cGdwdQ"}"#, "next_cursor invalid_string"),
        (Verb::Check, "{}", "resource missing_field"),
        (Verb::Check, r#"{"resource":"a","resources":["a"]}"#, "resource out_of_range"),
        (Verb::Check, r#"{"resources":[]}"#, "resources out_of_range"),
        (Verb::Lock, r#"{"requester":"a","resource":""}"#, "resource invalid_string"),
        (Verb::Lock, r#"{"requester":"a","resource":"b","ttl_seconds":0}"#, "ttl_seconds out_of_range"),
        (Verb::Lock, r#"{"requester":"a","resource":"b","resource_type":"a.b"}"#, "resource_type invalid_string"),
        (Verb::PoolGet, r#"{"pool":"gpu","tenant":"acme"}"#, "tenant unknown_field"),
        (Verb::PoolList, r#"{"next_cursor":"cA"}"#, "next_cursor invalid_string"),
    ] {
        assert_told(verb, body, expected);
    }
}

#[test]
fn faults_are_told_missing_first_then_unknown_then_duplicate_then_values_in_the_order_of_the_table() {
    let token = format!(r#""release_token":"{ID}""#);
    let missing = r#"{"zzz":1,"resource":"","resource":"","ttl_seconds":0}"#;
    let unknown = format!(r#"{{"zzz":1,"yyy":1,"ttl_seconds":0,"ttl_seconds":0,"resource":"",{token}}}"#);
    let duplicate = format!(r#"{{"ttl_seconds":0,"ttl_seconds":0,"resource":"",{token}}}"#);
    let value = format!(r#"{{"ttl_seconds":0,"resource":"",{token}}}"#);
    assert_told(Verb::Renew, missing, "release_token missing_field");
    assert_told(Verb::Renew, &unknown, "zzz unknown_field");
    assert_told(Verb::Renew, &duplicate, "ttl_seconds duplicate_field");
    assert_told(Verb::Renew, &value, "resource invalid_string");
}

#[test]
fn only_digits_make_an_integer() {
    for (number, expected) in [
        ("16.0", "quantity wrong_type"),
        ("\"16\"", "quantity wrong_type"),
        ("1e3", "quantity wrong_type"),
        ("1E3", "quantity wrong_type"),
        ("1e400", "quantity wrong_type"),
        ("true", "quantity wrong_type"),
        ("[1]", "quantity wrong_type"),
        ("{}", "quantity wrong_type"),
        ("-1", "quantity out_of_range"),
        ("0", "quantity out_of_range"),
        ("-0", "quantity out_of_range"),
        ("10001", "quantity out_of_range"),
        ("9223372036854775807", "quantity out_of_range"),
        ("9223372036854775808", "quantity out_of_range"),
        ("18446744073709551616", "quantity out_of_range"),
        ("-99999999999999999999999999", "quantity out_of_range"),
        ("01", "invalid_json"),
        ("+1", "invalid_json"),
        (".5", "invalid_json"),
        ("NaN", "invalid_json"),
        ("null", "quantity missing_field"),
    ] {
        let body = format!(
            r#"{{"pool":"gpu","start_time":"2026-04-29T02:00:00Z","end_time":"2026-04-29T02:15:00Z","quantity":{number}}}"#
        );
        assert_told(Verb::Reserve, &body, expected);
    }
    assert_told(Verb::Verify, r#"{"resource":"x","fencing_token":9223372036854775808}"#, "fencing_token out_of_range");
}

#[test]
fn instants_have_an_offset_and_at_most_microseconds() {
    for bad in [
        "2026-04-29T02:00:00",
        "2026-04-29 02:00:00Z",
        "2026-04-29",
        "2026-04-29T02:00Z",
        "2026-04-29T02:00:00.Z",
        "2026-04-29T02:00:00.1234567Z",
        "2026-04-29T02:00:00.0000000Z",
        "2026-04-29T02:00:00,5Z",
        "2026-04-29T02:00:60Z",
        "2026-04-29T23:59:60Z",
        "2026-04-29T24:00:00Z",
        "2026-04-29T02:60:00Z",
        "2026-02-29T02:00:00Z",
        "2026-13-01T02:00:00Z",
        "2026-04-29T02:00:00+24:00",
        "2026-04-29T02:00:00+02:60",
        "2026-04-29T02:00:00+0200",
        "2026-04-29T02:00:00+02",
        "2026-04-29T02:00:00ZZ",
        "2026-04-29T02:00:00Z ",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+00:01",
        "10000-01-01T00:00:00Z",
        "9999-12-31T23:59:59-00:01",
        "+2026-04-29T02:00:00Z",
        "２026-04-29T02:00:00Z",
        "",
        "\\u0000",
    ] {
        assert_told(Verb::Reserve, &window(bad, "2026-04-29T02:15:00Z"), "start_time invalid_timestamp");
    }
    assert_told(Verb::Extend, &format!(r#"{{"reservation_id":"{ID}","end_time":1777428000}}"#), "end_time wrong_type");
}

#[test]
fn windows_have_a_duration_and_do_not_overlap() {
    let at = |hour: u32| format!("2026-04-29T{hour:02}:00:00Z");
    let interval = |from, to| format!(r#"{{"start_time":"{}","end_time":"{}","quantity":1}}"#, at(from), at(to));
    let several = |items: &[String]| format!(r#"{{"pool":"gpu","intervals":[{}]}}"#, items.join(","));
    assert_told(Verb::Reserve, &window(&at(2), &at(2)), "end_time invalid_interval");
    assert_told(Verb::Reserve, &window(&at(3), &at(2)), "end_time invalid_interval");
    let reversed = several(&[interval(1, 2), interval(3, 2)]);
    assert_told(Verb::Reserve, &reversed, "intervals[1].end_time invalid_interval");
    let overlapping = several(&[interval(5, 7), interval(1, 3), interval(4, 6)]);
    assert_told(Verb::Reserve, &overlapping, "intervals[0] invalid_interval");
    assert_told(Verb::Reserve, &several(&[interval(1, 2), interval(1, 2)]), "intervals[1] invalid_interval");
    assert_told(Verb::Reserve, &several(&[]), "intervals out_of_range");
    assert_told(Verb::Reserve, &several(&["1".into()]), "intervals[0] wrong_type");
    assert_told(Verb::Reserve, &several(&["{}".into()]), "intervals[0].start_time missing_field");
    assert_told(Verb::Reserve, &several(&vec![interval(1, 2); 673]), "intervals too_many_items");
    let both = format!(r#"{{"pool":"gpu","quantity":1,"intervals":[{}]}}"#, interval(1, 2));
    assert_told(Verb::Reserve, &both, "quantity out_of_range");
}

#[test]
fn strings_have_no_control_characters_anywhere() {
    for text in ["\\u0000", "a\\u001f", "\\u007f", "a\\u0085", "\\ud800", "\\udc00x"] {
        assert_told(Verb::Reserve, &reserve(&format!(r#""name":"{text}""#)), "name invalid_string");
        assert_told(Verb::Reserve, &reserve(&format!(r#""tags":{{"a":"{text}"}}"#)), "tags invalid_string");
        let launch = format!(r#""launch_specification":{{"volumes":["{text}"],"ssh_keys":[]}}"#);
        assert_told(Verb::Reserve, &reserve(&launch), "launch_specification.volumes[0] invalid_string");
        let script = format!(r#""launch_specification":{{"volumes":[],"ssh_keys":[],"startup_script":"{text}"}}"#);
        assert_told(Verb::Reserve, &reserve(&script), "launch_specification.startup_script invalid_string");
    }
    assert_told(Verb::Reserve, &reserve(r#""tags":{"a\u0000":"1"}"#), "tags invalid_string");
    assert_told(Verb::Reserve, &reserve(r#""tags":{"\ud800":"1"}"#), "invalid_json");
    assert_told(Verb::Reserve, &reserve(r#""name":"a\nb""#), "name invalid_string");
    assert_told(Verb::Reserve, &reserve(&format!(r#""name":"{}""#, "é".repeat(256))), "name invalid_string");
    for pool in ["*", ">", "a.b", "a b", "", "-a", "GPU", "é", &"a".repeat(64)] {
        assert_told(Verb::PoolGet, &format!(r#"{{"pool":"{pool}"}}"#), "pool invalid_string");
    }
}

#[test]
fn arrays_have_a_limit() {
    let lock = r#"{"requester":"a","resource":"b"}"#;
    let many = |count| format!("[{}]", vec![lock; count].join(","));
    assert!(call(Verb::Lock, &many(1_000)).is_ok());
    assert_told(Verb::Lock, &many(1_001), "[] too_many_items");
    assert_told(Verb::Lock, "[]", "[] out_of_range");
    assert_told(Verb::Lock, &format!("[{lock},1]"), "[1] wrong_type");
    assert_told(Verb::Lock, &format!("[{lock},{lock},{{\"resource\":\"b\"}}]"), "[2].requester missing_field");
    assert_told(Verb::Lock, &format!("[{}]", vec!["0"; 200_000].join(",")), "[] too_many_items");
    let names = format!(r#"{{"resources":[{}]}}"#, vec!["\"x\""; 1_001].join(","));
    assert_told(Verb::Check, &names, "resources too_many_items");
    let tags: Vec<String> = (0..65).map(|number| format!(r#""{number}":"""#)).collect();
    assert_told(Verb::Reserve, &reserve(&format!(r#""tags":{{{}}}"#, tags.join(","))), "tags too_many_items");
    for verb in [Verb::Check, Verb::PoolPut, Verb::Get] {
        assert_told(verb, "[{}]", "invalid_json");
    }
}

#[test]
fn part_of_a_reservation_is_given_back_only_with_reduce_capacity() {
    let terminate = |rest: &str| format!(r#"{{"reservation_id":"{ID}"{rest}}}"#);
    for (rest, expected) in [
        (r#","quantity":1"#.to_owned(), "reduce_capacity missing_field"),
        (r#","quantity":1,"reduce_capacity":null"#.to_owned(), "reduce_capacity missing_field"),
        (r#","quantity":1,"reduce_capacity":false"#.to_owned(), "reduce_capacity out_of_range"),
        (r#","quantity":1,"reduce_capacity":"true""#.to_owned(), "reduce_capacity wrong_type"),
        (r#","reduce_capacity":true"#.to_owned(), "reduce_capacity out_of_range"),
        (format!(r#","quantity":1,"reduce_capacity":true,"units":["{ID}.0"]"#), "quantity out_of_range"),
        (format!(r#","reduce_capacity":true,"units":["{ID}.0","{ID}.0"]"#), "units[1] duplicate_field"),
        (format!(r#","reduce_capacity":true,"units":["{ID}.01"]"#), "units[0] invalid_id"),
        (format!(r#","reduce_capacity":true,"units":["{ID}.+1"]"#), "units[0] invalid_id"),
        (format!(r#","reduce_capacity":true,"units":["{ID}."]"#), "units[0] invalid_id"),
        (format!(r#","reduce_capacity":true,"units":["{ID}"]"#), "units[0] invalid_id"),
        (format!(r#","reduce_capacity":true,"units":["{ID}.4294967296"]"#), "units[0] invalid_id"),
        (r#","reduce_capacity":true,"units":[]"#.to_owned(), "units out_of_range"),
    ] {
        assert_told(Verb::Terminate, &terminate(&rest), expected);
    }
}

#[test]
fn a_pool_is_configured_consistently() {
    let step = |day: u32| format!(r#"{{"effective_at":"2026-01-{day:02}T00:00:00Z","quantity":1}}"#);
    let offer = |key: &str| format!(r#"{{"key":"{key}","display_name":"x","unit_price_cents":1}}"#);
    for (rest, expected) in [
        (r#""x":1"#.to_owned(), "x unknown_field"),
        (r#""force":"newest""#.to_owned(), "force invalid_string"),
        (r#""tags":{}"#.to_owned(), "capacity missing_field"),
        (r#""capacity":1000000001"#.to_owned(), "capacity out_of_range"),
        (format!(r#""capacity":1,"capacity_schedule":[{}]"#, step(1)), "capacity out_of_range"),
        (format!(r#""capacity_schedule":[{},{}]"#, step(2), step(2)), "capacity_schedule[1].effective_at out_of_range"),
        (r#""capacity_schedule":[]"#.to_owned(), "capacity_schedule out_of_range"),
        (r#""capacity":1,"region":"eu""#.to_owned(), "instance_type missing_field"),
        (r#""capacity":1,"instance_type":"a""#.to_owned(), "region missing_field"),
        (r#""capacity":1,"quantity_min":2,"quantity_max":1"#.to_owned(), "quantity_max out_of_range"),
        (
            r#""capacity":1,"duration_min_seconds":2,"duration_max_seconds":1"#.to_owned(),
            "duration_max_seconds out_of_range",
        ),
        (r#""capacity":1,"grain_seconds":86401"#.to_owned(), "grain_seconds out_of_range"),
        (r#""capacity":1,"enabled":1"#.to_owned(), "enabled wrong_type"),
        (format!(r#""capacity":1,"offers":[{},{}]"#, offer("a"), offer("a")), "offers[1].key duplicate_field"),
        (format!(r#""capacity":1,"offers":[{}]"#, vec![offer("a"); 33].join(",")), "offers too_many_items"),
        (r#""capacity":1,"offers":[{"key":"a"}]"#.to_owned(), "offers[0].display_name missing_field"),
        (r#""capacity":1,"instance_spec":{"cores":1}"#.to_owned(), "instance_spec.cores unknown_field"),
    ] {
        assert_told(Verb::PoolPut, &format!(r#"{{"pool":"gpu",{rest}}}"#), expected);
    }
}

#[test]
fn a_body_that_names_another_tenant_is_refused_once_its_form_is_right() {
    assert_told(Verb::Reserve, &reserve(r#""tenant":"other""#), "tenant_mismatch");
    assert_told(Verb::Reserve, &reserve(r#""tenant":"other","name":"""#), "name invalid_string");
    assert_told(Verb::Reserve, &reserve(r#""tenant":1"#), "tenant wrong_type");
    let items = r#"[{"requester":"a","resource":"b"},{"requester":"a","resource":"b","tenant":"other"}]"#;
    assert_told(Verb::Lock, items, "tenant_mismatch");
    let headers = Headers { idempotency_key: Some("not a key"), ..Headers::default() };
    let body = reserve(r#""tenant":"other""#);
    assert_eq!(decode(Verb::Reserve, Some(&tenant()), &headers, body.as_bytes()).unwrap_err(), Refusal::TenantMismatch);
}

#[test]
fn headers_are_checked_after_the_body() {
    let long = "k".repeat(256);
    let lock = br#"{"requester":"a","resource":"b"}"#;
    let told_with = |verb, headers: &Headers<'_>, body: &[u8]| {
        decode(verb, Some(&tenant()), headers, body).map(|_| ()).map_err(|refusal| told(&refusal))
    };
    for key in ["", "berth:1", "a b", "é", long.as_str()] {
        let headers = Headers { idempotency_key: Some(key), ..Headers::default() };
        assert_eq!(told_with(Verb::Lock, &headers, lock), Err("invalid_idempotency_key".into()));
        assert_eq!(told_with(Verb::Check, &headers, br#"{"resource":"b"}"#), Ok(()));
        assert_eq!(told_with(Verb::Lock, &headers, b"{}"), Err("requester missing_field".into()));
    }
    let actor = Headers { actor: Some("a\u{1}"), idempotency_key: Some(""), ..Headers::default() };
    assert_eq!(told_with(Verb::Lock, &actor, lock), Err("Berth-Actor invalid_string".into()));
    let not_after = Headers { not_after: Some("tomorrow"), ..Headers::default() };
    assert_eq!(told_with(Verb::Lock, &not_after, lock), Err("Berth-Not-After invalid_timestamp".into()));
}

#[test]
fn a_refusal_never_repeats_what_was_sent() {
    let sent = "S3CR T";
    let bodies = [
        reserve(&format!(r#""{sent}":1"#)),
        reserve(&format!(r#""name":"{sent}\u0000""#)),
        reserve(&format!(r#""tags":{{"{sent}":1}}"#)),
        reserve(&format!(r#""tags":{{"{sent}":"1","{sent}":"1"}}"#)),
        reserve(&format!(r#""tenant":"{sent}""#)),
        reserve(&format!(r#""launch_specification":{{"{sent}":1}}"#)),
        window(sent, sent),
        format!(r#"{{"pool":"{sent}"}}"#),
        format!(r#"{{"pool" {sent}}}"#),
    ];
    for body in bodies {
        let encoded = reply::refusal(&refusal(Verb::Reserve, body.as_bytes()));
        let answered = String::from_utf8(encoded.body).unwrap();
        assert!(!answered.contains("S3CR"), "{answered} for {body}");
    }
}
