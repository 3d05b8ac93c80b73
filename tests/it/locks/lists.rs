//! The lists of locks and of resources, and the operator's hand.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::checker::check_locks;
use crate::harness::Berth;

/// All pages of a list, each with at most so many.
async fn pages(berth: &Berth, verb: &str, query: Value, limit: usize) -> Vec<Value> {
    let mut found = Vec::new();
    let mut query = query;
    query["limit"] = json!(limit);
    loop {
        let page = berth.ask(verb, query.clone()).await.ok();
        let data = page["data"].as_array().unwrap();
        assert!(data.len() <= limit);
        found.extend(data.iter().cloned());
        if page["next_cursor"].is_null() {
            return found;
        }
        assert_eq!(data.len(), limit, "a page that is not the last is full");
        query["next_cursor"] = page["next_cursor"].clone();
    }
}

fn names<'a>(list: &'a [Value], field: &str) -> Vec<&'a str> {
    list.iter().map(|item| item[field].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_are_listed_by_page_by_requester_and_by_resource_without_tokens() {
    let berth = Berth::start().await;
    for number in 0..25 {
        berth.locked(&format!("r{}", number % 2), &format!("lock-{number}"), json!({})).await;
    }
    berth.lock("waits", "lock-3", json!({"wait_seconds": 60})).await;
    let gone = berth.locked("gone", "gone", json!({})).await;
    berth.unlock(&gone).await;
    berth.ask_as("globex", "lock", &[], r#"{"requester":"r0","resource":"theirs"}"#).await.ok();
    let all = pages(&berth, "locks", json!({}), 7).await;
    let expected: Vec<String> = (0..25).map(|number| format!("lock-{number}")).chain(["lock-3".to_owned()]).collect();
    assert_eq!(names(&all, "resource"), expected, "the oldest first");
    assert!(all.iter().all(|lock| lock.get("release_token").is_none()));
    assert_eq!(all[25]["status"], "Waitlisted");
    let of_one = pages(&berth, "locks", json!({"requester": "r1"}), 5).await;
    assert_eq!(of_one.len(), 12);
    let on_one = pages(&berth, "locks", json!({"resource": "lock-3"}), 1).await;
    assert_eq!(names(&on_one, "requester"), ["r1", "waits"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_are_listed_by_page_and_prefix_with_those_who_hold_them() {
    let berth = Berth::with_workers(2).await;
    for number in 0..12 {
        berth.register(json!({"name": format!("bay-{number:02}"), "capacity": 2, "tree_path": "yard"})).await;
    }
    berth.register(json!({"name": "alone", "blocks": ["crane"]})).await;
    for requester in ["a", "b"] {
        berth.locked(requester, "bay-07", json!({})).await;
    }
    let all = pages(&berth, "resources", json!({}), 4).await;
    let expected: BTreeSet<String> =
        (0..12).map(|number| format!("bay-{number:02}")).chain(["alone", "crane", "yard"].map(str::to_owned)).collect();
    assert_eq!(names(&all, "name"), expected.iter().collect::<Vec<_>>(), "by name, with what they brought along");
    let bays = pages(&berth, "resources", json!({"prefix": "bay-0"}), 3).await;
    assert_eq!(bays.len(), 10);
    assert_eq!(bays[7]["tree_path"], "yard>bay-07");
    let holders = bays[7]["holders"].as_array().unwrap();
    assert_eq!(names(holders, "holder"), ["a", "b"]);
    assert_eq!(names(holders, "slot"), ["bay-07_0", "bay-07_1"]);
    assert_eq!(bays[6]["holders"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_takes_a_lock_away_and_who_waits_gets_it() {
    let berth = Berth::with_workers(2).await;
    berth.register(json!({"name": "door", "blocks": ["key"], "lock_delay_seconds": 600})).await;
    berth.locked("lost", "door", json!({})).await;
    let waits = berth.lock("next", "door", json!({"wait_seconds": 60})).await;
    let mut events = berth.events().await;
    events.take(3).await;
    let released = berth.admin("lock_release", json!({"tenant": "acme", "resource": "door"})).await.ok();
    assert_eq!((&released["requester"], &released["released"]), (&json!("lost"), &json!(["door"])), "{released}");
    let told = events.take(4).await;
    let kinds: Vec<(&str, &str)> =
        told.iter().map(|event| (event.kind(), event.body["data"]["resource"].as_str().unwrap())).collect();
    assert_eq!(kinds, [("ended", "door"), ("ended", "key"), ("active", "door"), ("active", "key")]);
    assert_eq!(told[0].body["data"]["end_reason"], "operator");
    assert_eq!(told[2].hold(), waits["lock_id"].as_str().unwrap());
    assert_eq!(berth.unlock(&waits).await["released"], json!(["door", "key"]));
    check_locks(&berth).await;
}
