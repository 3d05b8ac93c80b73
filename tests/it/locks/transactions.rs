//! Several locks at once, from several callers, over several workers.

use futures::future::join;
use serde_json::{Value, json};

use super::statuses;
use crate::checker::check_locks;
use crate::harness::Berth;

fn all_or_none(requester: &str, resources: &[&str]) -> Value {
    let lock = |resource: &&str| json!({"lock": {"requester": requester, "resource": resource}});
    let requests: Vec<Value> = resources.iter().map(lock).collect();
    json!({"method": "ALL_OR_NONE", "request_type": "RESERVE", "requests": requests})
}

/// Gives back what a transaction took.
fn give_back(results: &[Value]) -> Value {
    let unlock = |taken: &Value| json!({"unlock": super::release_of(taken)});
    let requests: Vec<Value> = results.iter().map(unlock).collect();
    json!({"method": "ALL_OR_NONE", "request_type": "UNRESERVE", "requests": requests})
}

const ROUNDS: usize = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_then_b_and_b_then_a_at_once_a_thousand_times_over_two_workers_never_wait_for_each_other() {
    let berth = Berth::with_workers(2).await;
    let one = berth.locked("one", "of-one", json!({})).await;
    let other = berth.locked("other", "of-other", json!({})).await;
    let mut wins = [0, 0];
    for round in 0..ROUNDS {
        let (left, right) = join(
            berth.ask("transact", all_or_none("one", &["of-one", "a", "b"])),
            berth.ask("transact", all_or_none("other", &["of-other", "b", "a"])),
        )
        .await;
        let answers = [left.ok(), right.ok()];
        let winner = answers.iter().position(|answer| answer["status"] == "SUCCESS").unwrap();
        assert_eq!(answers[1 - winner]["status"], "FAILED", "round {round}: both have it");
        assert_eq!(statuses(&answers[winner]["results"]), ["ALREADY_HAD", "ACQUIRED", "ACQUIRED"]);
        assert_eq!(statuses(&answers[1 - winner]["results"]), ["ALREADY_HAD", "ALREADY_HELD", "ALREADY_HELD"]);
        wins[winner] += 1;
        let taken = &answers[winner]["results"].as_array().unwrap()[1..];
        let given_back = berth.ask("transact", give_back(taken)).await.ok();
        assert_eq!(statuses(&given_back["results"]), ["RELINQUISHED", "RELINQUISHED"]);
    }
    assert!(wins.iter().all(|wins| *wins > 0), "one of the two always came first: {wins:?}");
    assert_eq!(wins.iter().sum::<usize>(), ROUNDS);
    for (mine, name) in [(&one, "of-one"), (&other, "of-other")] {
        assert_eq!(berth.check_one(name).await["fencing_token"], mine["fencing_token"], "it has what it had before");
    }
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    let deadlocks: i64 = sqlx::query_scalar(deadlocks).fetch_one(&berth.sql().await).await.unwrap();
    assert_eq!(deadlocks, 0);
    let events = check_locks(&berth).await;
    assert_eq!(events.len(), 2 + 4 * ROUNDS, "a transaction that failed has no events");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_fails_leaves_what_its_caller_had_with_its_expiry_and_its_token() {
    let berth = Berth::with_workers(2).await;
    let had = berth.locked("one", "a", json!({"ttl_seconds": 600})).await;
    berth.locked("other", "c", json!({})).await;
    let failed = berth.ask("transact", all_or_none("one", &["a", "b", "c"])).await.ok();
    assert_eq!(statuses(&failed["results"]), ["ALREADY_HAD", "ROLLED_BACK", "ALREADY_HELD"]);
    assert_eq!(failed["results"][0]["release_token"], had["release_token"]);
    assert_eq!(failed["results"][1].get("release_token"), None, "tokens only for what stands");
    for number in 0..4 {
        let still = berth.lock("one", "a", json!({})).await;
        assert_eq!((&still["status"], &still["expires_at"]), (&json!("ALREADY_HAD"), &had["expires_at"]), "{number}");
    }
    assert_eq!(berth.try_lock("other", "b").await, "ACQUIRED");
    // To give back what is not one's own takes nothing from anybody.
    let mut foreign = had.clone();
    foreign["resource"] = json!("c");
    let failed = berth.ask("transact", give_back(&[had.clone(), foreign])).await.ok();
    assert_eq!(statuses(&failed["results"]), ["ROLLED_BACK", "DOESNT_OWN_RESERVATION"]);
    assert_eq!(berth.check_one("a").await["holder"], "one");
    check_locks(&berth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_has_one_effect_and_one_answer_under_its_key() {
    let berth = Berth::with_workers(2).await;
    let body = all_or_none("one", &["a", "b"]);
    let asked = (0..50).map(|_| berth.ask_with_key("transact", "k", body.clone()));
    let answers = futures::future::join_all(asked).await;
    assert!(answers.iter().all(|answer| answer.bytes == answers[0].bytes));
    assert_eq!(answers.iter().filter(|answer| !answer.is_replay()).count(), 1);
    let other = berth.ask_with_key("transact", "k", all_or_none("one", &["a", "c"])).await;
    other.refused("idempotency_key_conflict");
    assert_eq!(check_locks(&berth).await.len(), 2);
}
