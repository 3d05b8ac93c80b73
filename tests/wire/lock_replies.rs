//! Replies about locks, byte for byte, and by their schemas.

use berth::domain::command::Query;
use berth::domain::hold::{Hold, Status};
use berth::domain::id::{Requester, ResourceName, ResourceType};
use berth::domain::lock::{Mode, Resource};
use berth::domain::look::{Checked, Looked};
use berth::domain::outcome::{
    Answer, LockAnswer, LockStatus, Place, Refusal, Registered, ReleaseStatus, RenewAnswer, RenewStatus, TransactItem,
    TransactStatus, Transacted, UnlockAnswer,
};
use berth::domain::resource::LockName;
use berth::wire::reply;
use berth::wire::verb::Verb;
use serde_json::{Value, json};

use crate::replies::{name, parse, terminated, text};
use crate::samples::{ID, lock, lock_released, query, reservation, tenant};
use crate::schemas::Schemas;

pub fn lock_answer(status: LockStatus) -> Answer {
    let requester = Requester::parse("worker-1").unwrap();
    let resource = name("job \"42\"");
    Answer::Lock(LockAnswer { requester, resource, status, claim: Some(lock()), blockers: Vec::new(), place: None })
}

/// With a slot, a blocker with one, and a place in a tree.
fn full_answer() -> Answer {
    let Answer::Lock(mut answer) = lock_answer(LockStatus::Acquired) else { panic!() };
    answer.claim = Some(slotted(2));
    answer.blockers = vec![blocker(None), blocker(Some(0))];
    Answer::Lock(answer)
}

fn slotted(slot: u32) -> Hold {
    let mut hold = lock();
    let claim = hold.lock_mut().unwrap();
    (claim.slot, claim.path) = (Some(slot), vec![name("Equipment"), name("job \"42\"")]);
    claim.blockers = vec![name("Feeder"), name("Tray")];
    hold
}

fn blocker(slot: Option<u32>) -> Hold {
    let mut hold = lock();
    let claim = hold.lock_mut().unwrap();
    claim.resource = name(if slot.is_some() { "Tray" } else { "Feeder" });
    (claim.is_blocker, claim.slot, claim.fencing_token) = (true, slot, 8);
    hold
}

fn waiting() -> Hold {
    let mut hold = lock();
    hold.status = Status::Waitlisted;
    hold.lock_mut().unwrap().fencing_token = 0;
    hold
}

fn queued(wait_seconds: Option<u64>) -> Answer {
    let Answer::Lock(mut answer) = lock_answer(LockStatus::Queued) else { panic!() };
    (answer.claim, answer.place) = (Some(waiting()), Some(Place { position: 3, wait_seconds }));
    Answer::Lock(answer)
}

pub fn unlock_answer(status: ReleaseStatus) -> Answer {
    let names = if status == ReleaseStatus::Relinquished { &["x_0", "Tray"][..] } else { &[] };
    let released = names.iter().map(|name| (*name).to_owned()).collect();
    Answer::Unlock(UnlockAnswer { requester: Requester::parse("a").unwrap(), resource: name("x"), status, released })
}

pub fn renew_answer(status: RenewStatus) -> Answer {
    let claim = (status == RenewStatus::Renewed).then(lock);
    Answer::Renew(RenewAnswer { resource: name("x"), status, claim })
}

fn registered() -> Vec<Registered> {
    let plain = Resource { version: 1, ..Resource::plain(LockName { tenant: tenant(), resource: name("Tray") }) };
    let full = Resource {
        name: name("job \"42\""),
        version: 3,
        capacity: 3,
        parent: Some(name("Equipment")),
        blocks: vec![name("Feeder"), name("Tray")],
        resource_type: ResourceType::parse("Job"),
        lock_delay_seconds: 60,
        former_blocks: vec![name("Drum")],
        ..plain.clone()
    };
    let path = vec![name("Equipment"), name("job \"42\"")];
    vec![Registered { resource: plain, path: Vec::new() }, Registered { resource: full, path }]
}

fn body(answer: Answer) -> Value {
    parse(&reply::outcome(&Ok(answer)).body)
}

#[test]
fn a_lock_shows_its_claim_to_its_holder_only() {
    let acquired = text(reply::outcome(&Ok(lock_answer(LockStatus::Acquired))));
    let expected = r#"{"resource":"job \"42\"","requester":"worker-1","status":"ACQUIRED","explanation":"The lock is now held by the requester.","release_token":"a3f8c2d1-4b5e-4d2d-b1cb-19d0d0a14562","fencing_token":7,"expires_at":"2026-04-29T02:01:00Z","acquired_slots":null,"acquired_blockers":null,"reserved_at_path":null,"lock_id":"9f67b8f7-7b91-4d2d-b1cb-19d0d0a14562"}"#;
    assert_eq!(acquired, expected);
    for status in [LockStatus::AlreadyHeld, LockStatus::NotAvailable, LockStatus::NotValid] {
        let held = body(lock_answer(status));
        assert_eq!(held["status"], status.name());
        for field in ["release_token", "fencing_token", "expires_at", "lock_id"] {
            assert_eq!(held.get(field), Some(&Value::Null), "{field}");
        }
    }
}

#[test]
fn a_lock_names_its_slot_its_blockers_with_theirs_and_its_path() {
    let full = body(full_answer());
    assert_eq!(full["acquired_slots"], json!({"job \"42\"": "job \"42\"_2", "Tray": "Tray_0"}));
    assert_eq!(full["acquired_blockers"], json!(["Feeder", "Tray"]));
    assert_eq!(full["reserved_at_path"], "Equipment>job \"42\"");
    assert_eq!(
        (&full["fencing_token"], &full["release_token"]),
        (&json!(7), &json!("a3f8c2d1-4b5e-4d2d-b1cb-19d0d0a14562"))
    );
}

#[test]
fn who_waits_is_told_its_place_and_its_token_and_no_fence() {
    let told = body(queued(Some(40)));
    assert_eq!(
        (&told["status"], &told["position"], &told["estimated_wait_seconds"]),
        (&json!("QUEUED"), &json!(3), &json!(40))
    );
    assert_eq!(
        (&told["release_token"], &told["lock_id"]),
        (&json!("a3f8c2d1-4b5e-4d2d-b1cb-19d0d0a14562"), &json!(ID))
    );
    assert_eq!((&told["fencing_token"], &told["expires_at"]), (&Value::Null, &json!("2026-04-29T02:01:00Z")));
    assert_eq!(body(queued(None))["estimated_wait_seconds"], Value::Null, "without end");
    assert_eq!(body(full_answer()).get("position"), None);
}

#[test]
fn an_unlock_tells_what_it_released() {
    let told = |status| text(reply::outcome(&Ok(unlock_answer(status))));
    assert_eq!(
        told(ReleaseStatus::Relinquished),
        r#"{"requester":"a","resource":"x","status":"RELINQUISHED","released":["x_0","Tray"]}"#
    );
    for status in [ReleaseStatus::NotReserved, ReleaseStatus::DoesntOwnReservation] {
        assert!(told(status).ends_with(r#""released":[]}"#));
    }
}

#[test]
fn a_renewal_tells_the_expiry_and_the_fence() {
    let told = |status| text(reply::outcome(&Ok(renew_answer(status))));
    assert_eq!(
        told(RenewStatus::Renewed),
        r#"{"resource":"x","status":"RENEWED","expires_at":"2026-04-29T02:01:00Z","fencing_token":7}"#
    );
    assert_eq!(
        told(RenewStatus::NotReserved),
        r#"{"resource":"x","status":"NOT_RESERVED","expires_at":null,"fencing_token":null}"#
    );
}

#[test]
fn verify_repeats_the_token_that_was_asked_about() {
    assert_eq!(text(reply::verify(7, true)), r#"{"current":true,"fencing_token":7}"#);
    assert_eq!(text(reply::verify(7, false)), r#"{"current":false,"fencing_token":7}"#);
}

fn checked(resource: &str, holders: Vec<Hold>, waiting: usize) -> Checked {
    Checked { resource: name(resource), is_reserved: !holders.is_empty(), holders, waiting }
}

fn looked(locks: Vec<Checked>, is_many: bool) -> Answer {
    Answer::Looked(Box::new(Looked::Locks { locks, is_many }))
}

#[test]
fn check_answers_an_object_or_an_array() {
    let held = || checked("job \"42\"", vec![lock()], 2);
    let expected = r#"{"resource":"job \"42\"","is_reserved":true,"holder":"worker-1","expires_at":"2026-04-29T02:01:00Z","fencing_token":7,"waiting":2}"#;
    assert_eq!(text(reply::outcome(&Ok(looked(vec![held()], false)))), expected);
    let free = || checked("x", Vec::new(), 0);
    let nobody =
        r#"{"resource":"x","is_reserved":false,"holder":null,"expires_at":null,"fencing_token":null,"waiting":0}"#;
    assert_eq!(text(reply::outcome(&Ok(looked(vec![free()], true)))), format!("[{nobody}]"));
    assert_eq!(text(reply::outcome(&Ok(looked(vec![held(), free()], true)))), format!("[{expected},{nobody}]"));
}

#[test]
fn check_names_each_of_several_holders_with_its_slot() {
    let mut other = slotted(0);
    (other.lock_mut().unwrap().mode, other.expires_at) = (Mode::Shared, None);
    let told = body(looked(vec![checked("job \"42\"", vec![slotted(2), other], 0)], false));
    assert_eq!((&told["holder"], &told["fencing_token"]), (&json!("worker-1"), &json!(7)), "the first stands for all");
    let holder = json!({"holder": "worker-1", "lock_id": ID, "mode": "exclusive", "slot": "job \"42\"_2",
        "expires_at": "2026-04-29T02:01:00Z", "fencing_token": 7});
    assert_eq!(told["holders"][0], holder);
    assert_eq!((&told["holders"][1]["slot"], &told["holders"][1]["mode"]), (&json!("job \"42\"_0"), &json!("shared")));
}

#[test]
fn a_resource_is_told_as_it_is_registered() {
    let told: Vec<String> =
        registered().into_iter().map(|it| text(reply::outcome(&Ok(Answer::Registered(Box::new(it)))))).collect();
    assert_eq!(
        told[0],
        r#"{"name":"Tray","version":1,"capacity":1,"slots":null,"blocks":[],"tree_path":null,"resource_type":null,"lock_delay_seconds":0}"#
    );
    assert_eq!(
        told[1],
        r#"{"name":"job \"42\"","version":3,"capacity":3,"slots":["job \"42\"_0","job \"42\"_1","job \"42\"_2"],"blocks":["Feeder","Tray"],"tree_path":"Equipment>job \"42\"","resource_type":"Job","lock_delay_seconds":60}"#
    );
}

#[test]
fn the_next_cursor_of_resources_and_locks_points_behind_the_last() {
    let page: Vec<(Registered, Vec<Hold>)> = registered().into_iter().map(|it| (it, vec![lock()])).collect();
    let told = parse(&reply::resources(&page, true).body);
    assert_eq!(told["data"][1]["holders"][0]["holder"], "worker-1");
    let Query::Resources(next) = query(Verb::Resources, &json!({"next_cursor": told["next_cursor"]}).to_string())
    else {
        panic!()
    };
    assert_eq!(next.after.unwrap().as_str(), "job \"42\"");
    assert_eq!(parse(&reply::resources(&page, false).body)["next_cursor"], Value::Null);
    let told = parse(&reply::locks(&[slotted(1), waiting()], true).body);
    let Query::Locks(next) = query(Verb::Locks, &json!({"next_cursor": told["next_cursor"]}).to_string()) else {
        panic!()
    };
    assert_eq!(next.after, Some(lock().id));
    assert!(!told.to_string().contains("release_token") && !told.to_string().contains("a3f8c2d1"));
    assert_eq!(
        (&told["data"][0]["slot"], &told["data"][0]["reserved_at_path"]),
        (&json!("job \"42\"_1"), &json!("Equipment>job \"42\""))
    );
    assert_eq!((&told["data"][1]["status"], &told["data"][1]["fencing_token"]), (&json!("Waitlisted"), &Value::Null));
    let longest = ResourceName::parse(&"𝄞".repeat(255)).unwrap();
    let mut page = page;
    page[1].0.resource.name = longest.clone();
    let told = parse(&reply::resources(&page, true).body);
    let Query::Resources(next) = query(Verb::Resources, &json!({"next_cursor": told["next_cursor"]}).to_string())
    else {
        panic!()
    };
    assert_eq!(next.after, Some(longest));
}

fn transacted(status: TransactStatus) -> Answer {
    let results = vec![
        TransactItem::Decided(Ok(full_answer())),
        TransactItem::Decided(Ok(Answer::Reservation(Box::new(reservation())))),
        TransactItem::Decided(Ok(unlock_answer(ReleaseStatus::NotReserved))),
        TransactItem::Decided(Ok(terminated())),
        TransactItem::Decided(Err(Refusal::NotFound)),
        TransactItem::RolledBack,
        TransactItem::Skipped,
    ];
    Answer::Transacted(Box::new(Transacted { status, results }))
}

#[test]
fn a_transaction_tells_each_result_as_it_would_be_told_alone() {
    let encoded = reply::outcome(&Ok(transacted(TransactStatus::Partial)));
    assert_eq!(encoded.error, None, "what is refused within it has no headers");
    let told = parse(&encoded.body);
    assert_eq!(told["status"], "PARTIAL");
    assert_eq!(told["results"][0], body(full_answer()));
    assert_eq!(told["results"][1], body(Answer::Reservation(Box::new(reservation()))));
    assert_eq!(
        (&told["results"][2]["status"], &told["results"][3]["credit_cents"]),
        (&json!("NOT_RESERVED"), &json!(5))
    );
    assert_eq!(told["results"][4]["error"]["code"], "not_found");
    assert_eq!(
        (&told["results"][5], &told["results"][6]),
        (&json!({"status": "ROLLED_BACK"}), &json!({"status": "SKIPPED"}))
    );
}

#[test]
fn every_reply_about_locks_validates() {
    let schemas = Schemas::new();
    let assert_reply = |verb: Verb, body: &Value| schemas.assert_valid(&format!("{}.reply.json", verb.name()), body);
    use LockStatus::{Acquired, AlreadyHad, AlreadyHeld, NotAvailable, NotValid};
    for status in [Acquired, AlreadyHad, AlreadyHeld, NotAvailable, NotValid] {
        assert_reply(Verb::Lock, &body(lock_answer(status)));
    }
    for answer in [full_answer(), queued(Some(0)), queued(None), crate::replies::several().unwrap()] {
        assert_reply(Verb::Lock, &body(answer));
    }
    for status in [ReleaseStatus::Relinquished, ReleaseStatus::NotReserved, ReleaseStatus::DoesntOwnReservation] {
        assert_reply(Verb::Unlock, &body(unlock_answer(status)));
    }
    for status in [RenewStatus::Renewed, RenewStatus::NotReserved, RenewStatus::DoesntOwnReservation] {
        assert_reply(Verb::Renew, &body(renew_answer(status)));
    }
    assert_reply(Verb::Check, &body(looked(vec![checked("x", vec![lock()], 1)], false)));
    assert_reply(
        Verb::Check,
        &body(looked(vec![checked("x", vec![slotted(0), slotted(1)], 0), checked("y", vec![], 0)], true)),
    );
    assert_reply(Verb::Verify, &parse(&reply::verify(1, false).body));
    let page: Vec<(Registered, Vec<Hold>)> =
        registered().into_iter().map(|it| (it, vec![slotted(0), lock()])).collect();
    for (registered, _) in &page {
        assert_reply(Verb::Register, &body(Answer::Registered(Box::new(registered.clone()))));
    }
    assert_reply(Verb::Resources, &parse(&reply::resources(&page, true).body));
    assert_reply(Verb::Locks, &parse(&reply::locks(&[slotted(0), blocker(None), waiting()], true).body));
    for status in [TransactStatus::Success, TransactStatus::Partial, TransactStatus::Failed] {
        assert_reply(Verb::Transact, &body(transacted(status)));
    }
    let several = Answer::Several(vec![Ok(transacted(TransactStatus::Failed)), Err(Refusal::DeadlineExceeded)]);
    assert_reply(Verb::Transact, &body(several));
    for claims in [vec![lock()], vec![slotted(0), slotted(1)], Vec::new()] {
        assert_reply(Verb::LockRelease, &body(lock_released(claims)));
    }
}
