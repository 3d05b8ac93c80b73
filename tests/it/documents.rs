//! The examples of the documented APIs that berth unites, request and answer, in berth's names: see
//! docs/coming-from.md. Their instants lie in the past by now, so the days are others; times of day are theirs.

use serde_json::{Value, json};

use crate::harness::Berth;

/// So many days from now, at this time of day.
#[allow(clippy::disallowed_methods)] // tests live in the machine's time
fn day(days: i64, time: &str) -> String {
    let date = (chrono::Utc::now() + chrono::TimeDelta::days(days)).date_naive();
    format!("{date}T{time}Z")
}

fn quarter(from: &str, to: &str, quantity: u32) -> Value {
    json!({"start_time": day(30, from), "end_time": day(30, to), "quantity": quantity})
}

/// A pool of the kind that the examples ask for.
async fn instances(berth: &Berth) {
    let offers = json!([{"key": "standard", "display_name": "Standard", "unit_price_cents": 199,
                         "return_buyback_price_cents": 100, "pause_buyback_price_cents": 50}]);
    let spec = json!({"name": "a100-80gb.sxm.8x", "num_cpus": 176, "cpu_type": "EPYC", "ram_gb": 1900, "num_gpus": 8,
                      "gpu_type": "A100", "gpu_memory_gb": 80, "gpu_socket": "SXM4", "local_storage_gb": 27000,
                      "ib_count": 8, "bridge_count": 4});
    let pool = json!({"pool": "a100", "instance_type": "it_abc123456", "region": "us-central1-a", "capacity": 8,
                      "grain_seconds": 3600, "instance_spec": spec, "offers": offers});
    berth.admin("pool_put", pool).await.ok();
}

fn kind(body: Value) -> Value {
    let mut body = body;
    body["instance_type"] = json!("it_abc123456");
    body["region"] = json!("us-central1-a");
    body
}

/// 001's and 002's create request.
async fn create(berth: &Berth, start: &str, end: &str) -> Value {
    let launch = json!({"volumes": ["vol_1234567890", "vol_1234567891"],
                        "ssh_keys": ["sshkey_1234567890", "sshkey_1234567891"], "startup_script": "text",
                        "kubernetes_cluster": "clust_abc123456", "image_version": "text"});
    let body = kind(json!({"start_time": start, "end_time": end, "quantity": 4, "name": "text",
                           "launch_specification": launch, "price_specification": {"max_unit_price": 199}}));
    berth.ask("reserve", body).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn opencomputer_reserves_quarters_of_an_hour_of_memory_for_good() {
    let berth = Berth::start().await;
    let pool = json!({"pool": "memory-gb", "capacity": 64, "grain_seconds": 900, "quantity_step": 4,
                      "cancellable": false, "extendable": false, "reducible": false, "pausable": false});
    berth.admin("pool_put", pool).await.ok();
    let quarters = [quarter("02:00:00", "02:15:00", 16), quarter("02:15:00", "02:30:00", 16)];
    let order = json!({"pool": "memory-gb", "intervals": quarters});
    let first = berth.ask_with_key("reserve", "order-1", order.clone()).await;
    assert!(!first.is_replay());
    let first = first.ok();
    assert_eq!(first["intervals"], json!(quarters));
    assert!(first["reservation_id"].is_string() && first["created_at"].is_string());
    let again = berth.ask_with_key("reserve", "order-1", order.clone()).await;
    assert!(again.is_replay());
    assert_eq!(again.ok(), first);

    let other = json!({"pool": "memory-gb", "intervals": [quarter("02:00:00", "02:15:00", 20)]});
    let conflict = berth.ask_with_key("reserve", "order-1", other).await.refused("idempotency_key_conflict");
    assert_eq!(conflict, json!({"field": "intervals[0].quantity"}));
    let shape = |interval| json!({"pool": "memory-gb", "intervals": [interval]});
    let unaligned = berth.ask("reserve", shape(quarter("02:05:00", "02:20:00", 16))).await.refused("invalid_request");
    assert_eq!(unaligned["reason"], "misaligned");
    let odd = berth.ask("reserve", shape(quarter("02:00:00", "02:15:00", 18))).await.refused("invalid_request");
    assert_eq!(odd["field"], "intervals[0].quantity");
    // Every interval that fails is told, the others not.
    let most = [("02:00:00", "02:15:00", 52), ("02:15:00", "02:30:00", 64), ("02:30:00", "02:45:00", 64)];
    let most: Vec<Value> = most.into_iter().map(|(from, to, quantity)| quarter(from, to, quantity)).collect();
    let body = json!({"pool": "memory-gb", "intervals": most});
    let short = berth.ask("reserve", body).await.refused("insufficient_capacity")["intervals"].clone();
    assert_eq!(short.as_array().unwrap().len(), 2);
    assert_eq!((&short[0]["requested"], &short[0]["available"]), (&json!(52), &json!(48)));
    assert_eq!((&short[1]["requested"], &short[1]["available"]), (&json!(64), &json!(48)));
    let id = json!({"reservation_id": first["reservation_id"]});
    berth.ask("cancel", id.clone()).await.refused("not_cancellable");
    let longer = json!({"reservation_id": first["reservation_id"], "end_time": day(30, "03:00:00")});
    berth.ask("extend", longer).await.refused("not_extendable");
    assert_eq!(berth.ask("get", id).await.ok(), first, "a refusal changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn mithril_asks_what_is_free_and_reserves_it() {
    let berth = Berth::start().await;
    instances(&berth).await;
    let types = berth.ask("pools", json!({})).await.ok();
    assert_eq!(types["data"][0]["instance_spec"]["gpu_type"], "A100");
    let (start, noon, end) = (day(30, "00:00:00"), day(30, "12:00:00"), day(31, "00:00:00"));
    let latest = kind(json!({"start_time": start, "quantity": 4}));
    assert_eq!(berth.ask("availability", latest).await.ok()["available"], true);
    let slots = kind(json!({"mode": "slots", "earliest_start_time": start, "latest_end_time": end}));
    assert_eq!(
        berth.ask("availability", slots.clone()).await.ok(),
        json!([{"start_time": start, "end_time": end, "quantity": 8}])
    );
    let check = kind(json!({"mode": "check", "start_time": start, "end_time": noon, "quantity": 4}));
    assert_eq!(berth.ask("availability", check).await.ok(), json!({"available": true}));
    let quote = kind(json!({"start_time": start, "end_time": noon, "quantity": 4}));
    let quoted = berth.ask("quote", quote).await.ok()["offers"][0].clone();
    assert_eq!((&quoted["unit_price"], &quoted["total_price"]), (&json!(199), &json!(4 * 12 * 199)));

    let placed = create(&berth, &start, &noon).await;
    assert_eq!(
        (&placed["status"], &placed["quantity"], &placed["name"]),
        (&json!("Pending"), &json!(4), &json!("text"))
    );
    assert_eq!(placed["total_price_cents"], quoted["total_price"]);
    assert_eq!(placed["launch_specification"]["kubernetes_cluster"], "clust_abc123456");
    let halves = json!([{"start_time": start, "end_time": noon, "quantity": 4},
                        {"start_time": noon, "end_time": end, "quantity": 8}]);
    assert_eq!(berth.ask("availability", slots).await.ok(), halves);
    let listed = kind(json!({"status": "Pending", "sort_by": "created_at", "sort_dir": "desc", "limit": 1}));
    let listed = berth.ask("list", listed).await.ok();
    assert_eq!((&listed["data"][0], &listed["next_cursor"]), (&placed, &Value::Null));

    let id = placed["reservation_id"].clone();
    let extension = berth.ask("extension_availability", json!({"reservation_id": id})).await.ok();
    assert_eq!(extension["available"], true);
    let latest = json!({"reservation_id": id, "end_time": extension["latest_extension_time"]});
    assert_eq!(berth.ask("extend", latest).await.ok()["end_time"], extension["latest_extension_time"]);
    let dear = kind(json!({"start_time": day(40, "00:00:00"), "end_time": day(41, "00:00:00"), "quantity": 1,
                           "price_specification": {"max_unit_price": 198}}));
    berth.ask("reserve", dear).await.refused("price_above_max");
}

#[tokio::test(flavor = "multi_thread")]
async fn mithril_pauses_gives_back_and_reads_what_happened() {
    let berth = Berth::start().await;
    instances(&berth).await;
    let hour = crate::harness::hours_from_now(0);
    let active = create(&berth, &hour, &day(2, "00:00:00")).await;
    assert_eq!((&active["status"], active["units"].as_array().unwrap().len()), (&json!("Active"), 4));
    let id = active["reservation_id"].clone();
    let paused = berth.ask("update", json!({"reservation_id": id, "paused": true, "volumes": ["vol_2"]})).await.ok();
    assert_eq!((&paused["status"], &paused["launch_specification"]["volumes"]), (&json!("Paused"), &json!(["vol_2"])));
    assert_eq!(berth.ask("update", json!({"reservation_id": id, "paused": false})).await.ok()["status"], "Active");
    let units = json!([active["units"][3], active["units"][1]]);
    let part = json!({"reservation_id": id, "units": units, "reduce_capacity": true});
    let reduced = berth.ask("terminate", part.clone()).await.ok();
    assert_eq!(reduced["terminated_units"].as_array().unwrap().len(), 2);
    assert_eq!(berth.ask("terminate", part).await.ok()["already_terminated"].as_array().unwrap().len(), 2);

    let history = berth.ask("history", json!({"reservation_id": id})).await.ok();
    let types: Vec<&str> =
        history["events"].as_array().unwrap().iter().map(|event| event["event_type"].as_str().unwrap()).collect();
    for expected in ["Placed", "Terms Set", "Active", "Units Running", "Paused", "Resumed", "Reduced", "Terms Changed"]
    {
        assert!(types.contains(&expected), "{expected} in {types:?}");
    }
    let usage = berth.ask("usage", json!({"reservation_id": id})).await.ok();
    assert_eq!(usage["reservation"]["status"], "Allocated");
    let (summary, grants) = (&usage["summary"], usage["grants"].as_array().unwrap());
    assert_eq!(summary["committed_cost_cents"], active["total_price_cents"]);
    assert_eq!((grants.len(), &grants[0]["quantity"]), (1, &json!(4)));
}

#[tokio::test(flavor = "multi_thread")]
async fn sf_compute_reads_the_capacity_as_a_step_function() {
    let berth = Berth::start().await;
    instances(&berth).await;
    create(&berth, &day(30, "00:00:00"), &day(30, "12:00:00")).await;
    create(&berth, &day(30, "06:00:00"), &day(30, "18:00:00")).await;
    let path = "berth:capacity:acme:default:a100";
    let capacity =
        berth.ask("schedule", json!({"id": path, "schedule_history_minutes": 1440, "expand": ["procurements"]}));
    let capacity = capacity.await.ok();
    assert_eq!((&capacity["resource_path"], &capacity["owner"]), (&json!(path), &json!("acme")));
    assert_eq!((&capacity["kind"], &capacity["object"]), (&json!("market"), &json!("capacity")));
    let steps = capacity["allocation_schedule"]["total"].as_array().unwrap();
    let nodes: Vec<i64> = steps.iter().map(|step| step["node_allocation"].as_i64().unwrap()).collect();
    assert_eq!(nodes, [0, 4, 8, 4, 0]);
    let instants: Vec<&str> = steps[1..].iter().map(|step| step["effective_at"].as_str().unwrap()).collect();
    let expected = ["00:00:00", "06:00:00", "12:00:00", "18:00:00"].map(|time| day(30, time));
    assert_eq!(instants, expected);
    assert_eq!((&capacity["procurements"], &capacity["deployments"]), (&json!([]), &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_service_takes_a_job_and_gives_it_back() {
    let berth = Berth::start().await;
    let order = json!([{"requester": "worker-1", "resource": "job-42", "ttl_seconds": 60}]);
    let taken = berth.ask("lock", order.clone()).await.ok()[0].clone();
    assert_eq!(
        (&taken["status"], &taken["acquired_slots"], &taken["reserved_at_path"]),
        (&json!("ACQUIRED"), &Value::Null, &Value::Null)
    );
    let had = berth.ask("lock", order).await.ok()[0].clone();
    assert_eq!(
        (&had["status"], &had["release_token"], &had["expires_at"]),
        (&json!("ALREADY_HAD"), &taken["release_token"], &taken["expires_at"])
    );
    let other = json!({"requester": "worker-2", "resource": "job-42"});
    assert_eq!(berth.ask("lock", other).await.ok()["status"], "ALREADY_HELD");
    let held = berth.ask("check", json!({"resource": "job-42"})).await.ok();
    assert_eq!((&held["is_reserved"], &held["holder"]), (&json!(true), &json!("worker-1")));
    let several = berth.ask("check", json!({"resources": ["job-42", "job-43", "job-44"]})).await.ok();
    assert_eq!(several.as_array().unwrap().iter().filter(|one| one["is_reserved"] == true).count(), 1);
    let back = json!([{"requester": "worker-1", "resource": "job-42", "release_token": taken["release_token"]}]);
    assert_eq!(berth.ask("unlock", back.clone()).await.ok()[0]["status"], "RELINQUISHED");
    assert_eq!(berth.ask("unlock", back).await.ok()[0]["status"], "NOT_RESERVED");
    let bad = berth.ask("lock", json!({"requester": "worker-1", "resource": "job-42", "ttl_seconds": 0})).await;
    bad.refused("invalid_request");
}
