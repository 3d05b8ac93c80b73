//! Requests about locks: what they are decoded to, which are refused, and their canonical forms.

use berth::domain::command::{Command, Method, Query};
use berth::domain::id::HoldId;
use berth::domain::lock::Mode;
use berth::domain::look::Look;
use berth::wire::verb::Verb;

use crate::bad::assert_told;
use crate::samples::{ID, canonical, command, hold_id, look, query};

fn lock(members: &str) -> String {
    format!(r#"{{"requester":"a","resource":"b"{members}}}"#)
}

fn register(members: &str) -> String {
    format!(r#"{{"name":"b"{members}}}"#)
}

fn transact(request_type: &str, items: &str) -> String {
    format!(r#"{{"method":"FIRST","request_type":"{request_type}","requests":[{items}]}}"#)
}

#[test]
fn a_lock_takes_its_defaults_and_what_was_sent() {
    let (Command::Lock(bare), _) = command(Verb::Lock, &lock("")) else { panic!() };
    assert_eq!(
        (bare.resource_type, bare.ttl_seconds, bare.mode, bare.wait_seconds),
        (None, None, Mode::Exclusive, None)
    );
    let body = lock(r#","mode":"shared","wait_seconds":86400,"resource_type":"Job","ttl_seconds":1"#);
    let (Command::Lock(full), _) = command(Verb::Lock, &body) else { panic!() };
    assert_eq!((full.resource_type.unwrap().as_str(), full.ttl_seconds), ("Job", Some(1)));
    assert_eq!((full.mode, full.wait_seconds), (Mode::Shared, Some(86_400)));
    // What it is by default can't be told from its absence: a registered resource may have a label of its own.
    let (Command::Lock(written), _) = command(Verb::Lock, &lock(r#","resource_type":"UserDefined""#)) else { panic!() };
    assert_eq!(written.resource_type, None);
}

#[test]
fn a_registration_takes_its_defaults_and_what_was_sent() {
    let (Command::Register(bare), _) = command(Verb::Register, &register("")) else { panic!() };
    assert_eq!((bare.name.as_str(), bare.capacity, bare.lock_delay_seconds), ("b", 1, 0));
    assert!(bare.blocks.is_empty() && bare.ancestors.is_empty() && bare.resource_type.is_none());
    let body = register(
        r#","capacity":1000,"blocks":["z","a"],"tree_path":"Equipment>IT","resource_type":"Printer","lock_delay_seconds":60"#,
    );
    let (Command::Register(full), _) = command(Verb::Register, &body) else { panic!() };
    let names = |names: &[berth::domain::id::ResourceName]| -> Vec<String> {
        names.iter().map(|name| name.as_str().to_owned()).collect()
    };
    assert_eq!((full.capacity, full.lock_delay_seconds), (1_000, 60));
    assert_eq!(
        (names(&full.blocks), names(&full.ancestors)),
        (vec!["a".into(), "z".into()], vec!["Equipment".into(), "IT".into()])
    );
    assert_eq!(full.resource_type.unwrap().as_str(), "Printer");
    // A path may end with the name itself; a root's is that alone.
    for (path, ancestors) in [("A>b", vec!["A".to_owned()]), ("b", vec![]), ("A", vec!["A".to_owned()])] {
        let (Command::Register(put), _) = command(Verb::Register, &register(&format!(r#","tree_path":"{path}""#)))
        else {
            panic!()
        };
        assert_eq!(names(&put.ancestors), ancestors, "{path}");
    }
}

#[test]
fn a_transaction_carries_the_commands_of_its_items_in_their_order() {
    let items = r#"{"lock":{"requester":"a","resource":"x"}},{"reserve":{"pool":"gpu","start_time":"2026-04-29T02:00:00Z",
        "end_time":"2026-04-29T02:15:00Z","quantity":1}},{"lock":{"requester":"a","resource":"y","mode":"shared"}}"#;
    let (Command::Transact(taking), _) = command(Verb::Transact, &transact("RESERVE", items)) else { panic!() };
    assert_eq!(taking.method, Method::First);
    let [Command::Lock(x), Command::Reserve(reserve), Command::Lock(y)] = &taking.commands[..] else { panic!() };
    assert_eq!((x.resource.as_str(), reserve.intervals[0].quantity, y.mode), ("x", 1, Mode::Shared));
    let items = format!(
        r#"{{"unlock":{{"requester":"a","resource":"x","release_token":"{ID}"}}}},{{"cancel":{{"reservation_id":"{ID}"}}}},
           {{"terminate":{{"reservation_id":"{ID}","quantity":2,"reduce_capacity":true}}}}"#
    );
    let (Command::Transact(giving), _) = command(Verb::Transact, &transact("UNRESERVE", &items)) else { panic!() };
    let [Command::Unlock(_), Command::Cancel(cancel), Command::Terminate(_)] = &giving.commands[..] else { panic!() };
    assert_eq!(cancel.id, hold_id());
    let several = format!(
        "[{},{}]",
        transact("RESERVE", r#"{"lock":{"requester":"a","resource":"x"}}"#),
        transact("UNRESERVE", &items)
    );
    let (Command::Several(several), _) = command(Verb::Transact, &several) else { panic!() };
    assert!(matches!(&several[..], [Command::Transact(_), Command::Transact(_)]));
}

#[test]
fn what_is_asked_about_locks_takes_its_defaults_and_what_was_sent() {
    let Look::Locks(check) = look(Verb::Check, r#"{"resources":["b","a","b"]}"#) else { panic!() };
    assert!(check.is_many && check.resources.iter().map(|name| name.as_str()).eq(["b", "a", "b"]));
    let Look::Locks(check) = look(Verb::Check, r#"{"resource":"b"}"#) else { panic!() };
    assert!(!check.is_many && check.resources.len() == 1);
    let Query::Resources(all) = query(Verb::Resources, "") else { panic!() };
    assert_eq!((all.prefix, all.limit, all.after), (None, 50, None));
    let Query::Resources(some) = query(Verb::Resources, r#"{"prefix":"jobs/","limit":1,"next_cursor":"cmpvYnMvMQ"}"#)
    else {
        panic!()
    };
    assert_eq!((some.prefix.as_deref(), some.limit, some.after.unwrap().as_str()), (Some("jobs/"), 1, "jobs/1"));
    let Query::Locks(all) = query(Verb::Locks, "") else { panic!() };
    assert!(all.requester.is_none() && all.resource.is_none() && all.after.is_none() && all.limit == 50);
    let body = r#"{"requester":"a","resource":"b","limit":100,"next_cursor":"bJ9nuPd7kU0tscsZ0NChRWI"}"#;
    let Query::Locks(some) = query(Verb::Locks, body) else { panic!() };
    assert_eq!((some.requester.unwrap().as_str(), some.resource.unwrap().as_str(), some.limit), ("a", "b", 100));
    assert_eq!(some.after.map(HoldId::uuid), Some(hold_id().uuid()));
}

#[test]
fn fields_about_locks_are_refused_by_name() {
    for (verb, body, expected) in [
        (Verb::Lock, lock(r#","mode":"both""#), "mode invalid_string"),
        (Verb::Lock, lock(r#","mode":1"#), "mode wrong_type"),
        (Verb::Lock, lock(r#","wait_seconds":0"#), "wait_seconds out_of_range"),
        (Verb::Lock, lock(r#","wait_seconds":86401"#), "wait_seconds out_of_range"),
        (Verb::Lock, lock(r#","position":1"#), "position unknown_field"),
        (Verb::Register, "{}".into(), "name missing_field"),
        (Verb::Register, register(r#","capacity":0"#), "capacity out_of_range"),
        (Verb::Register, register(r#","capacity":1001"#), "capacity out_of_range"),
        (Verb::Register, register(r#","lock_delay_seconds":86401"#), "lock_delay_seconds out_of_range"),
        (Verb::Register, register(r#","resource_type":"a.b""#), "resource_type invalid_string"),
        (Verb::Register, register(r#","blocks":"a""#), "blocks wrong_type"),
        (Verb::Register, register(r#","blocks":["a",1]"#), "blocks[1] wrong_type"),
        (Verb::Register, register(r#","blocks":["a",""]"#), "blocks[1] invalid_string"),
        (Verb::Register, register(r#","blocks":["a","c","a"]"#), "blocks duplicate_field"),
        (Verb::Register, register(r#","blocks":["b"]"#), "blocks out_of_range"),
        (Verb::Register, register(&format!(r#","blocks":[{}]"#, numbers(101))), "blocks too_many_items"),
        (Verb::Register, register(r#","tree_path":"""#), "tree_path invalid_string"),
        (Verb::Register, register(r#","tree_path":"A>>B""#), "tree_path invalid_string"),
        (Verb::Register, register(r#","tree_path":">A""#), "tree_path invalid_string"),
        (Verb::Register, register(r#","tree_path":"A>b>C""#), "tree_path out_of_range"),
        (Verb::Register, register(r#","tree_path":"A>B>A""#), "tree_path out_of_range"),
        (Verb::Register, register(&format!(r#","tree_path":"{}""#, path(17))), "tree_path invalid_string"),
        (Verb::Register, format!("[{}]", register("")), "invalid_json"),
        (Verb::Resources, r#"{"prefix":""}"#.into(), "prefix invalid_string"),
        (Verb::Resources, r#"{"limit":0}"#.into(), "limit out_of_range"),
        (Verb::Resources, r#"{"next_cursor":"cGdwdQ"}"#.into(), "next_cursor invalid_string"),
        (Verb::Locks, r#"{"limit":101}"#.into(), "limit out_of_range"),
        (Verb::Locks, r#"{"requester":""}"#.into(), "requester invalid_string"),
        (Verb::Locks, r#"{"next_cursor":"cmpvYnMvMQ"}"#.into(), "next_cursor invalid_string"),
    ] {
        assert_told(verb, &body, expected);
    }
    for body in
        [register(&format!(r#","tree_path":"{}""#, path(16))), register(&format!(r#","blocks":[{}]"#, numbers(100)))]
    {
        assert!(crate::samples::call(Verb::Register, &body).is_ok(), "{body}");
    }
}

fn numbers(count: usize) -> String {
    (0..count).map(|number| format!(r#""n{number}""#)).collect::<Vec<_>>().join(",")
}

fn path(depth: usize) -> String {
    (0..depth).map(|level| format!("level {level}")).collect::<Vec<_>>().join(">")
}

#[test]
fn a_name_has_no_separator_of_paths_and_may_have_spaces() {
    for name in ["A>B", ">", "A > B"] {
        let token = format!(r#","release_token":"{ID}""#);
        for (verb, body, field) in [
            (Verb::Lock, format!(r#"{{"requester":"a","resource":"{name}"}}"#), "resource"),
            (Verb::Unlock, format!(r#"{{"requester":"a","resource":"{name}"{token}}}"#), "resource"),
            (Verb::Renew, format!(r#"{{"resource":"{name}","ttl_seconds":1{token}}}"#), "resource"),
            (Verb::Verify, format!(r#"{{"resource":"{name}","fencing_token":1}}"#), "resource"),
            (Verb::Check, format!(r#"{{"resource":"{name}"}}"#), "resource"),
            (Verb::Check, format!(r#"{{"resources":["x","{name}"]}}"#), "resources[1]"),
            (Verb::Register, format!(r#"{{"name":"{name}"}}"#), "name"),
            (Verb::Register, register(&format!(r#","blocks":["{name}"]"#)), "blocks[0]"),
            (Verb::Locks, format!(r#"{{"resource":"{name}"}}"#), "resource"),
            (Verb::LockRelease, format!(r#"{{"tenant":"acme","resource":"{name}"}}"#), "resource"),
            (
                Verb::TenantPut,
                format!(r#"{{"tenant":"acme","registered_prefixes":["{name}"]}}"#),
                "registered_prefixes[0]",
            ),
        ] {
            assert_told(verb, &body, &format!("{field} invalid_string"));
        }
    }
    let (Command::Lock(spaced), _) = command(Verb::Lock, r#"{"requester":"a","resource":" a  b "}"#) else { panic!() };
    assert_eq!(spaced.resource.as_str(), " a  b ", "as it was sent");
}

#[test]
fn an_item_of_a_transaction_is_one_request_of_its_kind() {
    let own = |members: &str| format!(r#"{{"lock":{{"requester":"a","resource":"x"{members}}}}}"#);
    let unlock = format!(r#"{{"unlock":{{"requester":"a","resource":"x","release_token":"{ID}"}}}}"#);
    let cancel = format!(r#"{{"cancel":{{"reservation_id":"{ID}"}}}}"#);
    for (request_type, items, expected) in [
        ("BOTH", own(""), "request_type invalid_string"),
        ("RESERVE", String::new(), "requests out_of_range"),
        ("RESERVE", vec![own(""); 1_001].join(","), "requests too_many_items"),
        ("RESERVE", "1".into(), "requests[0] wrong_type"),
        ("RESERVE", "{}".into(), "requests[0].lock missing_field"),
        ("RESERVE", r#"{"lock":null}"#.into(), "requests[0].lock missing_field"),
        ("RESERVE", r#"{"lock":{}}"#.into(), "requests[0].lock.requester missing_field"),
        ("RESERVE", r#"{"renew":{}}"#.into(), "requests[0].renew unknown_field"),
        ("RESERVE", format!("{},{unlock}", own("")), "requests[1].unlock out_of_range"),
        ("UNRESERVE", format!("{unlock},{}", own("")), "requests[1].lock out_of_range"),
        ("UNRESERVE", "{}".into(), "requests[0].unlock missing_field"),
        ("UNRESERVE", format!("{},{}", unlock.trim_end_matches('}'), &cancel[1..]).replacen("\",\"cancel", "\"},\"cancel", 1), "requests[0].cancel out_of_range"),
        ("RESERVE", own(r#","wait_seconds":1"#), "requests[0].lock.wait_seconds out_of_range"),
        ("RESERVE", own(r#","tenant":"acme""#), "requests[0].lock.tenant out_of_range"),
        ("RESERVE", own(r#","ttl_seconds":0"#), "requests[0].lock.ttl_seconds out_of_range"),
        ("UNRESERVE", cancel.replace("}}", r#","dry_run":true}}"#), "requests[0].cancel.dry_run out_of_range"),
        (
            "RESERVE",
            r#"{"reserve":{"pool":"gpu","start_time":"2026-04-29T02:15:00Z","end_time":"2026-04-29T02:00:00Z","quantity":1}}"#
                .into(),
            "requests[0].reserve.end_time invalid_interval",
        ),
    ] {
        assert_told(Verb::Transact, &transact(request_type, &items), expected);
    }
    let several = format!("[{},{}]", transact("RESERVE", &own("")), transact("UNRESERVE", &own("")));
    assert_told(Verb::Transact, &several, "[1].requests[0].lock out_of_range");
    assert_told(Verb::Transact, "{}", "method missing_field");
    assert_told(Verb::Transact, r#"{"method":"ALL","request_type":"RESERVE","requests":[]}"#, "method invalid_string");
}

#[test]
fn a_dry_run_is_asked_for_by_an_object_and_not_by_an_item() {
    let token = format!(r#""release_token":"{ID}""#);
    for (verb, body) in [
        (Verb::Lock, lock("")),
        (Verb::Unlock, lock(&format!(",{token}"))),
        (Verb::Renew, format!(r#"{{"resource":"x","ttl_seconds":1,{token}}}"#)),
    ] {
        let with = |value: bool| body.replacen('{', &format!(r#"{{"dry_run":{value},"#), 1);
        assert_told(verb, &format!("[{body},{}]", with(true)), "[1].dry_run out_of_range");
        assert_eq!(canonical(verb, &format!("[{}]", with(false))), format!("[{}]", canonical(verb, &body)));
    }
}

#[test]
fn what_means_the_same_about_locks_has_the_same_canonical_form() {
    let same = |verb, one: &str, other: &str| assert_eq!(canonical(verb, one), canonical(verb, other));
    let written = r#","mode":"exclusive","resource_type":"UserDefined","wait_seconds":null,"tenant":"acme""#;
    same(Verb::Lock, &lock(written), &lock(""));
    let written = r#","capacity":1,"blocks":[],"tree_path":null,"lock_delay_seconds":0,"resource_type":null"#;
    same(Verb::Register, &register(written), &register(""));
    same(Verb::Register, &register(r#","blocks":["x","y"]"#), &register(r#","blocks":["y","x"]"#));
    let item = |members: &str| format!(r#"{{"lock":{}}}"#, lock(members));
    let one = transact("RESERVE", &item(r#","mode":"exclusive""#));
    same(Verb::Transact, &one, &transact("RESERVE", &item("")));
    assert_eq!(
        canonical(Verb::Transact, &one),
        r#"{"method":"FIRST","request_type":"RESERVE","requests":[{"lock":{"requester":"a","resource":"b"}}]}"#
    );
}

#[test]
fn the_first_difference_about_locks_is_named() {
    let differ = |verb, one: &str, other: &str| command(verb, one).1.first_difference(&command(verb, other).1);
    assert_eq!(differ(Verb::Lock, &lock(""), &lock(r#","mode":"shared""#)), Some("mode".into()));
    assert_eq!(
        differ(Verb::Lock, &lock(r#","wait_seconds":1"#), &lock(r#","wait_seconds":2"#)),
        Some("wait_seconds".into())
    );
    assert_eq!(differ(Verb::Register, &register(""), &register(r#","blocks":["x"]"#)), Some("blocks".into()));
    let item = |resource: &str| format!(r#"{{"lock":{{"requester":"a","resource":"{resource}"}}}}"#);
    let of =
        |resources: &[&str]| transact("RESERVE", &resources.iter().map(|it| item(it)).collect::<Vec<_>>().join(","));
    let swapped = differ(Verb::Transact, &of(&["x", "y"]), &of(&["y", "x"]));
    assert_eq!(swapped, Some("requests[0].lock.resource".into()), "their order means something");
    assert_eq!(differ(Verb::Transact, &of(&["x"]), &of(&["x", "y"])), Some("requests[1]".into()));
}
