//! Registered resources: slots, blockers and trees.

use serde_json::json;

use crate::checker::check_locks;
use crate::harness::Berth;

#[tokio::test(flavor = "multi_thread")]
async fn of_a_capacity_of_three_with_a_blocker_of_one_one_is_held_at_a_time() {
    let berth = Berth::with_workers(2).await;
    berth.register(json!({"name": "Press", "capacity": 3, "blocks": ["Power"]})).await;
    let asked = (0..20).map(async |number| berth.lock(&format!("r{number}"), "Press", json!({})).await);
    let answers = futures::future::join_all(asked).await;
    let taken: Vec<_> = answers.iter().filter(|answer| answer["status"] == "ACQUIRED").collect();
    assert_eq!(taken.len(), 1, "{taken:?}");
    assert_eq!(taken[0]["acquired_slots"], json!({"Press": "Press_0"}));
    assert_eq!(berth.try_lock("other", "Power").await, "ALREADY_HELD");
    let checked = berth.check_one("Power").await;
    assert_eq!(checked["holder"], taken[0]["requester"]);
    assert_eq!(berth.unlock(taken[0]).await["released"], json!(["Press_0", "Power"]));
    assert_eq!(berth.check_one("Power").await["is_reserved"], false);
    berth.register(json!({"name": "Power", "capacity": 2})).await;
    let both = [berth.locked("a", "Press", json!({})).await, berth.locked("b", "Press", json!({})).await];
    assert_eq!(both[1]["acquired_slots"], json!({"Press": "Press_1", "Power": "Power_1"}));
    assert_eq!(berth.try_lock("c", "Press").await, "NOT_AVAILABLE");
    check_locks(&berth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fewer_slots_take_none_from_a_holder_and_more_slots_are_granted_at_once() {
    let berth = Berth::with_workers(2).await;
    berth.register(json!({"name": "bay", "capacity": 3})).await;
    let mut taken = Vec::new();
    for requester in ["a", "b", "c"] {
        taken.push(berth.locked(requester, "bay", json!({})).await);
    }
    berth.register(json!({"name": "bay", "capacity": 2})).await;
    for (requester, before) in ["a", "b", "c"].iter().zip(&taken) {
        let had = berth.lock(requester, "bay", json!({})).await;
        assert_eq!(had["status"], "ALREADY_HAD");
        assert_eq!(had["acquired_slots"], before["acquired_slots"]);
    }
    // What is surplus is granted no more.
    berth.unlock(&taken[2]).await;
    assert_eq!(berth.try_lock("d", "bay").await, "NOT_AVAILABLE");
    let waits = berth.lock("d", "bay", json!({"wait_seconds": 60})).await;
    assert_eq!(waits["status"], "QUEUED");
    let mut events = berth.events().await;
    events.take(5).await;
    berth.register(json!({"name": "bay", "capacity": 5})).await;
    let granted = events.next().await;
    assert_eq!((granted.kind(), &granted.body["data"]["slot"]), ("active", &json!("bay_2")));
    for (requester, slot) in [("e", "bay_3"), ("f", "bay_4")] {
        assert_eq!(berth.locked(requester, "bay", json!({})).await["acquired_slots"], json!({"bay": slot}));
    }
    assert_eq!(berth.try_lock("g", "bay").await, "NOT_AVAILABLE");
    check_locks(&berth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_lock_that_is_held_before_its_name_is_registered_counts_and_is_given_back() {
    let berth = Berth::with_workers(2).await;
    let before = berth.locked("a", "dock", json!({})).await;
    assert_eq!(before["acquired_slots"], json!(null));
    berth.register(json!({"name": "dock", "capacity": 2, "blocks": ["crane"]})).await;
    // It has its place, and nothing of what is blocked from now on.
    let second = berth.locked("b", "dock", json!({})).await;
    assert_eq!(second["acquired_slots"], json!({"dock": "dock_1"}));
    assert_eq!(second["acquired_blockers"], json!(["crane"]));
    assert_eq!(berth.try_lock("c", "dock").await, "NOT_AVAILABLE");
    assert_eq!(berth.unlock(&before).await["released"], json!(["dock"]));
    assert_eq!(berth.check_one("crane").await["holder"], "b");
    assert_eq!(berth.try_lock("c", "dock").await, "ALREADY_HELD", "the crane is held");
    berth.unlock(&second).await;
    assert_eq!(berth.locked("c", "dock", json!({})).await["acquired_slots"], json!({"dock": "dock_0"}));
    check_locks(&berth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_is_held_from_above_or_from_below_and_siblings_do_not_mind_each_other() {
    let berth = Berth::with_workers(2).await;
    berth.register(json!({"name": "Printers", "tree_path": "Equipment>IT"})).await;
    berth.register(json!({"name": "Screens", "tree_path": "Equipment>IT>Screens"})).await;
    // Parent, then child.
    let parent = berth.locked("a", "IT", json!({})).await;
    assert_eq!(parent["reserved_at_path"], "Equipment>IT");
    for name in ["Printers", "Screens", "Equipment"] {
        assert_eq!(berth.try_lock("b", name).await, "ALREADY_HELD", "{name}");
        let checked = berth.check_one(name).await;
        assert_eq!((&checked["is_reserved"], &checked["holder"]), (&json!(true), &json!("a")), "{name}");
    }
    // One's own do not stand in one's way, and outlast each other.
    let child = berth.locked("a", "Printers", json!({})).await;
    assert_eq!(berth.unlock(&parent).await["released"], json!(["IT"]));
    // Child, then parent; and siblings.
    assert_eq!(berth.try_lock("b", "IT").await, "ALREADY_HELD");
    assert_eq!(berth.try_lock("b", "Equipment").await, "ALREADY_HELD");
    let sibling = berth.locked("b", "Screens", json!({})).await;
    assert_eq!(sibling["reserved_at_path"], "Equipment>IT>Screens");
    berth.unlock(&child).await;
    berth.unlock(&sibling).await;
    assert_eq!(berth.try_lock("c", "Equipment").await, "ACQUIRED");
    check_locks(&berth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_under_load_is_never_held_from_above_and_from_below() {
    let berth = Berth::with_workers(2).await;
    berth.register(json!({"name": "leaf", "tree_path": "root>branch", "blocks": ["sap"]})).await;
    berth.register(json!({"name": "twig", "tree_path": "root>branch"})).await;
    let caller = async |number: usize| {
        for round in 0..25 {
            let name = ["leaf", "branch", "root", "twig", "sap"][(number + round) % 5];
            let wait = if round % 3 == 0 { json!({"wait_seconds": 1}) } else { json!({}) };
            let mut taken = berth.lock(&format!("r{number}"), name, wait).await;
            while taken["status"] == "QUEUED" {
                taken = berth.lock(&format!("r{number}"), name, json!({})).await;
            }
            if taken["release_token"].is_string() {
                berth.unlock(&taken).await;
            }
        }
    };
    crate::harness::within("all callers", futures::future::join_all((0..12).map(caller))).await;
    let events = check_locks(&berth).await;
    assert!(events.iter().any(|event| event.kind() == "queued"), "nobody had to wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_may_have_spaces_and_other_letters_but_not_the_sign_between_names() {
    let berth = Berth::start().await;
    for name in ["a b", "Größe 7", "東京/1", "x.y", "job:42*", "_"] {
        let taken = berth.locked("who am i", name, json!({})).await;
        assert_eq!(taken["resource"], name);
        assert_eq!(berth.check_one(name).await["holder"], "who am i");
        assert_eq!(berth.unlock(&taken).await["released"], json!([name]));
    }
    for (verb, body) in [
        ("lock", json!({"requester": "a", "resource": "a>b"})),
        ("check", json!({"resource": "a>b"})),
        ("register", json!({"name": "a>b"})),
        ("register", json!({"name": "a", "blocks": ["b>c"]})),
    ] {
        berth.ask(verb, body).await.refused("invalid_request");
    }
    let spaced = berth.register(json!({"name": "room 1", "tree_path": "house 7>floor 2"})).await;
    assert_eq!(spaced["tree_path"], "house 7>floor 2>room 1");
    assert_eq!(berth.locked("a", "room 1", json!({})).await["reserved_at_path"], "house 7>floor 2>room 1");
    check_locks(&berth).await;
}
