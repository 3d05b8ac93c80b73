//! What goes in comes out.

use berth::domain::event::EventType;
use berth::domain::hold::{EndReason, Hold, Status, Units};
use berth::domain::id::{Actor, IdempotencyKey, Lane, PoolName, ReceiptId};
use berth::domain::resource::{Capacity, CapacityStep, Offer, Policy, Pool};
use berth::domain::window::Interval;
use berth::store::Session;
use berth::store::batch::{Receipt, Wants};
use berth::store::query::Reader;

use crate::support::*;

/// Every status, every reason, every column once with a value and once without.
fn every_hold(pool: &PoolName) -> Vec<Hold> {
    let lane = Lane::of_pool(pool);
    let (from, to) = (at("2027-03-01T00:00:00Z"), at("2027-03-02T00:00:00Z"));
    let statuses = [Status::Held, Status::Pending, Status::Active, Status::Paused, Status::Canceled, Status::Ended];
    let mut holds: Vec<Hold> =
        statuses.map(|status| reservation(new_id(lane), pool, status, from, to, 3)).into_iter().collect();
    holds.push(full_reservation(pool));
    let mut empty = reservation(new_id(lane), pool, Status::Ended, from, to, 1);
    empty.end_reason = Some(EndReason::Terminated);
    empty.reservation_mut().unwrap().intervals.clear();
    holds.push(empty);
    for (number, reason) in EndReason::ALL.into_iter().enumerate() {
        let mut over = lock(&format!("over {number}"), Some(at("2026-01-01T01:00:00.5Z")));
        over.status = Status::Expired;
        over.end_reason = Some(reason);
        over.deactivated_at = Some(at("2026-01-01T01:00:00.500001Z"));
        holds.push(over);
    }
    holds.push(lock("held for ever \u{1F511} \"'\\{},", None));
    let mut waiting = lock("waited for", Some(at("2027-01-01T00:00:00Z")));
    waiting.status = Status::Waitlisted;
    holds.push(waiting);
    holds
}

fn full_reservation(pool: &PoolName) -> Hold {
    let (from, to) = (at("2027-03-01T00:00:00Z"), at("2027-03-05T06:45:00.000001Z"));
    let mut hold = reservation(new_id(Lane::of_pool(pool)), pool, Status::Active, from, to, 10_000);
    hold.created_by = Actor::parse("zoë <zoe@example.com>");
    hold.expires_at = Some(at("2026-12-31T23:59:59.999999Z"));
    let reservation = hold.reservation_mut().unwrap();
    reservation.name = Some(label("a name, \"quoted\" {and braced}"));
    reservation.instance_type = Some(label("h100"));
    reservation.region = Some(label("eu"));
    reservation.intervals = vec![
        Interval { start: from, end: from + hours(1), quantity: 1 },
        Interval { start: from + hours(2), end: to, quantity: 10_000 },
    ];
    reservation.units = Units::from_ranges(vec![(0, 4), (7, 10_000)]);
    reservation.units_bound = 10_000;
    reservation.launch_specification = json("{\"b\":1,  \"a\":[1.50,1e3,\"\\u0000\\ud800 \u{1F680}\"],\"b\":2}");
    reservation.tags = json("null");
    reservation.offer_key = label("spot");
    reservation.unit_price_cents = i64::MAX;
    reservation.return_buyback_price_cents = 1;
    reservation.pause_buyback_price_cents = 2;
    reservation.total_price_cents = 3;
    reservation.paused_at = Some(at("2027-03-01T00:00:00.000002Z"));
    reservation.ending_soon_seconds = 315_360_000;
    reservation.warned_end = Some(at("2027-03-01T00:00:00.000003Z"));
    hold
}

#[tokio::test]
async fn a_hold_of_any_kind_comes_back_as_it_was_written() {
    let database = database().await;
    let reader = Reader::new(database.clone());
    let mut session = Session::connect(&database).await.unwrap();
    let holds = every_hold(&pool_name("p"));
    let mut written = Vec::new();
    transact(&mut session, &all_lanes(), |state| {
        written = holds.iter().map(|hold| record(state, hold.clone(), EventType::Placed)).collect();
    })
    .await;
    for hold in &written {
        assert_eq!(reader.hold(&hold.tenant, hold.id).await.unwrap().0.as_ref(), Some(hold));
    }
}

#[tokio::test]
async fn a_row_from_before_ends_were_announced_has_none_announced() {
    let database = database().await;
    let mut session = Session::connect(&database).await.unwrap();
    let (from, to) = (at("2027-03-01T00:00:00Z"), at("2027-03-02T00:00:00Z"));
    let name = pool_name("p");
    let hold = reservation(new_id(Lane::of_pool(&name)), &name, Status::Pending, from, to, 3);
    let mut written = hold.clone();
    transact(&mut session, &all_lanes(), |state| written = record(state, hold, EventType::Placed)).await;
    execute(&database, "update hold set ending_soon_seconds = null").await;
    assert_eq!(Reader::new(database).hold(&tenant(), written.id).await.unwrap().0, Some(written));
}

#[tokio::test]
async fn an_update_writes_every_field_that_can_change() {
    let database = database().await;
    let reader = Reader::new(database.clone());
    let mut session = Session::connect(&database).await.unwrap();
    let full = full_reservation(&pool_name("p"));
    let (from, to) = (at("2027-01-01T00:00:00Z"), at("2027-01-02T00:00:00Z"));
    let mut first = reservation(full.id, &pool_name("p"), Status::Pending, from, to, 1);
    first.created_by.clone_from(&full.created_by);
    transact(&mut session, &all_lanes(), |state| drop(record(state, first, EventType::Placed))).await;
    let wants = Wants { holds: vec![full.id], ..all_lanes() };
    let after = Hold { version: 1, ..full };
    transact(&mut session, &wants, |state| drop(record(state, after.clone(), EventType::Active))).await;
    let (found, _) = reader.hold(&tenant(), after.id).await.unwrap();
    assert_eq!(found, Some(Hold { version: 2, last_seq: 2, ..after }));
}

fn every_pool() -> Vec<Pool> {
    let offer = |key: &str, cents| Offer {
        key: label(key),
        display_name: label("An offer, {with} \"signs\""),
        unit_price_cents: cents,
        return_buyback_price_cents: cents + 1,
        pause_buyback_price_cents: cents + 2,
        option_premium_cents: cents + 3,
    };
    let step = |effective_at, quantity| CapacityStep { effective_at: at(effective_at), quantity };
    let policy = Policy {
        grain_seconds: 60,
        quantity_step: 8,
        quantity_min: Some(8),
        quantity_max: Some(u32::MAX),
        duration_min_seconds: Some(60),
        duration_max_seconds: Some(u32::MAX),
        lead_time_seconds: 5,
        horizon_seconds: u32::MAX,
        intervals_max: 7,
        ending_soon_seconds: 9,
        cancellable: false,
        extendable: true,
        pausable: false,
        reducible: true,
        enabled: false,
    };
    let full = Pool {
        version: 7,
        capacity: Capacity::Schedule(vec![step("2026-01-01T00:00:00.000001Z", 5), step("2027-01-01T00:00:00Z", 0)]),
        instance_type: Some(label("h100")),
        region: Some(label("eu")),
        policy,
        offers: vec![offer("z", 5), offer("a", 50)],
        instance_spec: json("{\"z\": 1, \"a\" : 2}"),
        tags: json("[]"),
        ..pool("full", 0)
    };
    vec![pool("bare", 1_000_000_000), full, pool("empty", 0)]
}

#[tokio::test]
async fn a_pool_comes_back_as_it_was_put_and_as_it_was_put_again() {
    let database = database().await;
    let reader = Reader::new(database.clone());
    let mut session = Session::connect(&database).await.unwrap();
    let pools = every_pool();
    transact(&mut session, &all_lanes(), |state| pools.iter().for_each(|pool| state.put_pool(pool.clone()))).await;
    for pool in &pools {
        assert_eq!(reader.pool(&pool.name).await.unwrap().as_ref(), Some(pool));
    }
    // Each takes what another was, so that every column changes.
    let mut renamed = every_pool();
    let names: Vec<PoolName> = pools.iter().map(|pool| pool.name.clone()).collect();
    renamed[0].name = names[2].clone();
    renamed[2].name = names[1].clone();
    renamed[1].name = names[0].clone();
    // The pair of type and region is unique, so it goes before it comes back.
    transact(&mut session, &all_lanes(), |state| state.put_pool(renamed[2].clone())).await;
    transact(&mut session, &all_lanes(), |state| renamed[..2].iter().for_each(|pool| state.put_pool(pool.clone())))
        .await;
    for pool in &renamed {
        assert_eq!(reader.pool(&pool.name).await.unwrap().as_ref(), Some(pool));
    }
}

#[tokio::test]
async fn a_receipt_comes_back_as_it_was_stored() {
    let database = database().await;
    let reader = Reader::new(database.clone());
    let mut session = Session::connect(&database).await.unwrap();
    let id = |key| ReceiptId::of(Some(&tenant()), &IdempotencyKey::parse(key).unwrap());
    let refused = Receipt {
        id: id("a"),
        tenant: Some(tenant()),
        verb: "reserve".to_owned(),
        request: vec![0, 255, 1],
        body: b"{\"error\":{}}".to_vec(),
        error: Some((409, "insufficient_capacity".to_owned())),
        told: None,
    };
    let operator = Receipt { id: id("b"), tenant: None, error: None, body: Vec::new(), ..refused.clone() };
    let receipts = [refused, operator];
    let (batch, wants) = (batch(), all_lanes());
    let changes = state(session.open(&wants, Cache::new()).await.unwrap()).finish().changes;
    commit_with(&mut session, batch, &changes, &receipts).await.unwrap();
    for receipt in &receipts {
        assert_eq!(reader.receipt(receipt.id).await.unwrap().as_ref(), Some(receipt));
    }
    let wants = Wants { receipts: vec![receipts[0].id, receipts[1].id, id("c")], ..Wants::default() };
    let loaded = session.open(&wants, Cache::new()).await.unwrap();
    assert_eq!(loaded.receipts.into_values().collect::<Vec<_>>().len(), 2);
}

#[tokio::test]
async fn a_row_that_berth_never_wrote_is_an_error_that_names_the_column() {
    let database = database().await;
    let mut session = Session::connect(&database).await.unwrap();
    let hold = lock("door", None);
    transact(&mut session, &all_lanes(), |state| drop(record(state, hold.clone(), EventType::Active))).await;
    execute(&database, "update hold set resource_type = 'a token with spaces'").await;
    let error = Reader::new(database.clone()).hold(&tenant(), hold.id).await.unwrap_err();
    assert!(error.source.to_string().contains("resource_type"), "{}", error.source);
    let wants = Wants { holds: vec![hold.id], ..all_lanes() };
    let error = session.open(&wants, Cache::new()).await.unwrap_err();
    assert!(error.source.to_string().contains("resource_type"), "{}", error.source);
}
