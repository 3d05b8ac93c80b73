//! What is another tenant's, of another kind, or not there: all the same to who asks.

use serde_json::{Value, json};

use super::{Case, Scene, case, check_form};
use crate::harness::hours_from_now;

/// A request of every verb that names a reservation.
fn naming(id: &str) -> Vec<(&'static str, Value)> {
    let end = hours_from_now(26);
    vec![
        ("get", json!({"reservation_id": id})),
        ("cancel", json!({"reservation_id": id})),
        ("confirm", json!({"reservation_id": id})),
        ("confirm", json!({"reservation_id": id, "quantity": 1})),
        ("extend", json!({"reservation_id": id, "end_time": end})),
        ("terminate", json!({"reservation_id": id})),
        ("terminate", json!({"reservation_id": id, "quantity": 1, "reduce_capacity": true})),
        ("terminate", json!({"reservation_id": id, "units": [format!("{id}.0")], "reduce_capacity": true})),
    ]
}

fn all_not_found(ids: &[String]) -> Vec<Case> {
    let cases = |id: &String| naming(id).into_iter().map(|(verb, body)| case(verb, body.to_string(), "not_found"));
    ids.iter().flat_map(cases).collect()
}

/// The same id in another lane, which is told by its last six bits.
fn in_another_lane(id: &str) -> String {
    let id = uuid::Uuid::parse_str(id).unwrap().as_u128();
    uuid::Uuid::from_u128(id ^ 1).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn anothers_reservation_a_lock_and_a_made_up_id_are_equally_not_found() {
    let scene = Scene::set().await;
    let absent = "01890000-0000-7000-8000-000000000000".to_owned();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let ids = [
        absent.clone(),
        text(&scene.others["reservation_id"]),
        text(&scene.own_lock["lock_id"]),
        text(&scene.others_lock["lock_id"]),
        in_another_lane(scene.own["reservation_id"].as_str().unwrap()),
        "ffffffff-ffff-ffff-ffff-ffffffffffff".to_owned(),
        "00000000-0000-0000-0000-000000000000".to_owned(),
    ];
    scene.hold_to(all_not_found(&ids)).await;
    for (verb, body) in naming(&ids[1]) {
        let theirs = scene.berth.ask(verb, body).await;
        let nobodys = naming(&absent).into_iter().find(|(other, _)| *other == verb).unwrap().1;
        let nobodys = scene.berth.ask(verb, nobodys).await;
        check_form(&theirs);
        assert_eq!(theirs.bytes, nobodys.bytes, "{verb}");
        assert_eq!(theirs.headers, nobodys.headers, "{verb}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn anothers_token_opens_no_lock() {
    let scene = Scene::set().await;
    let before = scene.rows().await;
    let (own, others) = (&scene.own_lock["release_token"], &scene.others_lock["release_token"]);
    let ask = async |tenant: &str, verb: &str, resource: &str, token: &Value| {
        let mut body = json!({"resource": resource, "release_token": token});
        match verb {
            "renew" => body["ttl_seconds"] = json!(1),
            _ => body["requester"] = json!("me"),
        }
        scene.berth.ask_as(tenant, verb, &[], &body.to_string()).await.ok()["status"].clone()
    };
    for verb in ["unlock", "renew"] {
        assert_eq!(ask("acme", verb, "door", others).await, "DOESNT_OWN_RESERVATION");
        assert_eq!(ask("rival", verb, "door", own).await, "DOESNT_OWN_RESERVATION");
        assert_eq!(ask("stranger", verb, "door", own).await, "NOT_RESERVED");
        assert_eq!(ask("acme", verb, "window", own).await, "NOT_RESERVED");
        let id_for_token = ask("acme", verb, "door", &scene.own_lock["lock_id"]).await;
        assert_eq!(id_for_token, "DOESNT_OWN_RESERVATION");
    }
    assert_eq!(scene.rows().await, before);
    let fence = &scene.own_lock["fencing_token"];
    let verify = json!({"resource": "door", "fencing_token": fence});
    assert_eq!(scene.berth.ask("verify", verify.clone()).await.ok()["current"], true);
    let stranger = scene.berth.ask_as("stranger", "verify", &[], &verify.to_string()).await.ok();
    assert_eq!(stranger, json!({"current": false, "fencing_token": fence}));
    let stranger = scene.berth.ask_as("stranger", "check", &[], r#"{"resource":"door"}"#).await.ok();
    assert_eq!(stranger["is_reserved"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_names_another_tenant_is_refused() {
    let scene = Scene::set().await;
    let (id, lock) = (scene.own["reservation_id"].as_str().unwrap(), &scene.own_lock);
    let unlock = json!({"requester": "me", "resource": "door", "release_token": lock["release_token"], "tenant": "x"});
    let fine = r#"{"requester":"a","resource":"b","tenant":"acme"}"#;
    scene
        .hold_to(vec![
            case("reserve", scene.reserve(r#","tenant":"rival""#), "tenant_mismatch"),
            case("reserve", scene.reserve(r#","tenant":"ACME""#), "tenant_mismatch"),
            case("get", format!(r#"{{"reservation_id":"{id}","tenant":"rival"}}"#), "tenant_mismatch"),
            case("cancel", format!(r#"{{"reservation_id":"{id}","tenant":"rival"}}"#), "tenant_mismatch"),
            case("list", r#"{"tenant":"rival"}"#, "tenant_mismatch"),
            case("unlock", unlock.to_string(), "tenant_mismatch"),
            case("lock", format!(r#"[{fine},{}]"#, fine.replace("acme", "rival")), "tenant_mismatch"),
            case("reserve", scene.reserve(r#","tenant":7"#), "tenant wrong_type"),
            case("reserve", scene.reserve(r#","tenant":"rival","x":1"#), "x unknown_field"),
        ])
        .await;
    scene.berth.ask_as("acme", "reserve", &[], &scene.reserve(r#","tenant":"acme""#)).await.ok();
}
