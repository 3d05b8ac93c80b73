//! The examples and the statuses of the document that the verbs about locks come from, in berth's names.

use serde_json::{Value, json};

use super::statuses;
use crate::harness::{Berth, seconds_from_now};

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_a_request_is_answered_with_the_fields_of_the_example() {
    let berth = Berth::start().await;
    let body = json!([{"requester": "worker-1", "resource": "job-42", "ttl_seconds": 60}]);
    let answers = berth.ask("lock", body).await.ok();
    let answer = &answers[0];
    assert_eq!(answers.as_array().unwrap().len(), 1);
    let expected = json!({
        "resource": "job-42", "requester": "worker-1", "status": "ACQUIRED",
        "acquired_slots": null, "acquired_blockers": null, "reserved_at_path": null,
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&answer[field], value, "{field}");
    }
    assert!(answer["explanation"].is_string() && answer["release_token"].is_string(), "{answer}");
    let expires_at = answer["expires_at"].as_str().unwrap();
    assert!(expires_at > seconds_from_now(30).as_str() && expires_at < seconds_from_now(90).as_str(), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn acquired_has_a_token_and_without_a_ttl_no_expiry() {
    let berth = Berth::start().await;
    let answer = berth.locked("worker-1", "job-42", json!({})).await;
    assert!(answer["release_token"].is_string());
    assert_eq!(answer["expires_at"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn already_had_answers_the_existing_token_and_changes_nothing() {
    let berth = Berth::start().await;
    let first = berth.locked("worker-1", "job-42", json!({"ttl_seconds": 60})).await;
    let again = berth.lock("worker-1", "job-42", json!({"ttl_seconds": 3600})).await;
    assert_eq!(again["status"], "ALREADY_HAD");
    for field in ["release_token", "expires_at", "fencing_token", "lock_id"] {
        assert_eq!(again[field], first[field], "{field}");
    }
    assert_eq!(berth.events().await.kinds(1).await, ["active"]);
    assert_eq!(berth.unlock(&again).await["status"], "RELINQUISHED");
}

#[tokio::test(flavor = "multi_thread")]
async fn already_held_is_an_answer_and_no_error_and_tells_no_token() {
    let berth = Berth::start().await;
    berth.locked("worker-1", "job-42", json!({})).await;
    let answer = berth.lock("worker-2", "job-42", json!({})).await; // without error headers
    assert_eq!(answer["status"], "ALREADY_HELD");
    for field in ["release_token", "fencing_token", "lock_id", "expires_at"] {
        assert_eq!(answer[field], json!(null), "{field}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn not_available_is_a_resource_of_which_no_slot_is_free() {
    let berth = Berth::start().await;
    berth.register(json!({"name": "Printer", "capacity": 2})).await;
    let first = berth.locked("a", "Printer", json!({})).await;
    assert_eq!(first["acquired_slots"], json!({"Printer": "Printer_0"}));
    let second = berth.locked("b", "Printer", json!({})).await;
    assert_eq!(second["acquired_slots"], json!({"Printer": "Printer_1"}));
    assert_eq!(berth.try_lock("c", "Printer").await, "NOT_AVAILABLE");
}

#[tokio::test(flavor = "multi_thread")]
async fn not_valid_is_a_name_that_has_to_be_registered_and_is_not() {
    let berth = Berth::with_workers(2).await;
    let body = json!({"tenant": "acme", "quotas": {}, "registered_prefixes": ["machine-"]});
    berth.admin("tenant_put", body).await.ok();
    for _ in 0..4 {
        assert_eq!(berth.try_lock("a", "machine-1").await, "NOT_VALID");
        assert_eq!(berth.try_lock("a", "job-1").await.replace("ALREADY_HAD", "ACQUIRED"), "ACQUIRED");
    }
    let waiting = berth.lock("a", "machine-1", json!({"wait_seconds": 5})).await;
    assert_eq!(waiting["status"], "NOT_VALID");
    berth.register(json!({"name": "machine-1"})).await;
    assert_eq!(berth.try_lock("a", "machine-1").await, "ACQUIRED");
    // Of another tenant nothing is said.
    let other = berth.ask_as("globex", "lock", &[], r#"{"requester":"a","resource":"machine-2"}"#).await.ok();
    assert_eq!(other["status"], "ACQUIRED");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acquired_lock_tells_its_slot_its_blockers_and_its_path() {
    let berth = Berth::start().await;
    let body = json!({"name": "Printers", "tree_path": "Equipment>IT", "blocks": ["Power"], "capacity": 3});
    let registered = berth.register(body).await;
    assert_eq!(registered["tree_path"], "Equipment>IT>Printers");
    assert_eq!(registered["slots"], json!(["Printers_0", "Printers_1", "Printers_2"]));
    let taken = berth.locked("a", "Printers", json!({})).await;
    assert_eq!(taken["acquired_slots"], json!({"Printers": "Printers_0"}));
    assert_eq!(taken["acquired_blockers"], json!(["Power"]));
    assert_eq!(taken["reserved_at_path"], "Equipment>IT>Printers");
    assert_eq!(berth.unlock(&taken).await["released"], json!(["Printers_0", "Power"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_a_ttl_is_released_by_itself() {
    let berth = Berth::start().await;
    let mut events = berth.events().await;
    let body = json!([{"requester": "svc-a", "resource": "deploy-lock", "ttl_seconds": 1}]);
    berth.ask("lock", body).await.ok();
    assert_eq!(events.kinds(2).await, ["active", "expired"]);
    assert_eq!(berth.try_lock("svc-b", "deploy-lock").await, "ACQUIRED");
}

/// The example's transaction, by another method.
fn transaction(method: &str, resources: &[&str]) -> Value {
    let lock = |resource: &&str| json!({"lock": {"requester": "svc-a", "resource": resource}});
    json!({"method": method, "request_type": "RESERVE", "requests": resources.iter().map(lock).collect::<Vec<_>>()})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_a_transaction_takes_all_or_none() {
    let berth = Berth::start().await;
    let answers = berth.ask("transact", json!([transaction("ALL_OR_NONE", &["lock-1", "lock-2"])])).await.ok();
    assert_eq!(answers[0]["status"], "SUCCESS");
    assert_eq!(statuses(&answers[0]["results"]), ["ACQUIRED", "ACQUIRED"]);
    berth.locked("svc-b", "lock-4", json!({})).await;
    let answer = berth.ask("transact", transaction("ALL_OR_NONE", &["lock-3", "lock-4"])).await.ok();
    assert_eq!(answer["status"], "FAILED");
    assert_eq!(statuses(&answer["results"]), ["ROLLED_BACK", "ALREADY_HELD"]);
    assert_eq!(berth.check_one("lock-3").await["is_reserved"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_as_possible_skips_what_is_held() {
    let berth = Berth::start().await;
    berth.locked("svc-b", "lock-2", json!({})).await;
    let answer = berth.ask("transact", transaction("AS_MANY_AS_POSSIBLE", &["lock-1", "lock-2", "lock-3"])).await.ok();
    assert_eq!(answer["status"], "PARTIAL");
    assert_eq!(statuses(&answer["results"]), ["ACQUIRED", "ALREADY_HELD", "ACQUIRED"]);
    assert_eq!(berth.unlock(&answer["results"][2]).await["status"], "RELINQUISHED");
}

#[tokio::test(flavor = "multi_thread")]
async fn first_takes_the_first_that_is_free_and_stops() {
    let berth = Berth::start().await;
    berth.locked("svc-b", "lock-1", json!({})).await;
    let answer = berth.ask("transact", transaction("FIRST", &["lock-1", "lock-2", "lock-3"])).await.ok();
    assert_eq!(answer["status"], "SUCCESS");
    assert_eq!(statuses(&answer["results"]), ["ALREADY_HELD", "ACQUIRED", "SKIPPED"]);
    assert_eq!(berth.check_one("lock-3").await["is_reserved"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_a_check_tells_the_holder_and_takes_nothing() {
    let berth = Berth::start().await;
    berth.locked("worker-1", "job-42", json!({})).await;
    let one = berth.check_one("job-42").await;
    assert_eq!(
        (&one["resource"], &one["is_reserved"], &one["holder"]),
        (&json!("job-42"), &json!(true), &json!("worker-1"))
    );
    let several = berth.ask("check", json!({"resources": ["job-42", "job-43", "job-44"]})).await.ok();
    let told: Vec<(&Value, &Value)> =
        several.as_array().unwrap().iter().map(|it| (&it["is_reserved"], &it["holder"])).collect();
    let (yes, no, nobody) = (json!(true), json!(false), json!(null));
    assert_eq!(told, [(&yes, &json!("worker-1")), (&no, &nobody), (&no, &nobody)]);
    assert_eq!(berth.try_lock("worker-2", "job-43").await, "ACQUIRED");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_error_codes_are_the_refusals_400_and_429() {
    let berth = Berth::start().await;
    for (body, field) in [
        ("", "requester"),
        ("{}", "requester"),
        (r#"{"requester":"a"}"#, "resource"),
        (r#"{"resource":"r"}"#, "requester"),
        (r#"{"requester":"a","resource":"r","ttl_seconds":0}"#, "ttl_seconds"),
        (r#"{"requester":"a","resource":"r","ttl_seconds":-1}"#, "ttl_seconds"),
    ] {
        let refused = berth.ask_as("acme", "lock", &[], body).await;
        assert_eq!(refused.headers.get("Nats-Service-Error-Code").unwrap().as_str(), "400", "{body}");
        assert_eq!(refused.refused("invalid_request")["field"], field, "{body}");
    }
    assert_eq!(berth.ask_as("acme", "lock", &[], "[]").await.refused("invalid_request")["field"], "[]");
    berth.admin("tenant_put", json!({"tenant": "acme", "quotas": {"locks": 1}})).await.ok();
    berth.locked("a", "one", json!({})).await;
    let refused = berth.ask("lock", json!({"requester": "a", "resource": "two"})).await;
    assert_eq!(refused.headers.get("Nats-Service-Error-Code").unwrap().as_str(), "429");
    let told = json!({"quota": "locks", "limit": 1, "used": 1, "requested": 1});
    assert_eq!(refused.refused("quota_exceeded"), told);
}
