//! Zones in a worker's memory, and what is booked where a capacity is to be lowered.

use berth::domain::booked::VictimOrder;
use berth::domain::command::PoolPut;
use berth::domain::event::EventType;
use berth::domain::hold::{EndReason, Hold, Status};
use berth::domain::id::{HoldId, Lane, PoolName, ZoneName};
use berth::domain::resource::{Capacity, CapacityStep, Pool, Zones};
use berth::domain::window::{Instant, Interval};
use berth::store::Session;
use berth::store::batch::Wants;
use berth::store::booked::Booked;
use berth::store::query::Reader;
use berth::store::start::Database;

use crate::support::*;

fn far() -> Instant {
    at("2199-01-01T00:00:00Z")
}

fn name() -> PoolName {
    pool_name("p")
}

fn zone(name: &str) -> ZoneName {
    ZoneName::parse(name).unwrap()
}

fn lane() -> Lane {
    Lane::of_pool(&name())
}

/// Ten units, of which at most four are in `a`; of `b` as many as there are.
fn zoned(version: u32, units_of_a: u32) -> Pool {
    let zones = Zones::from([(zone("a"), Some(Capacity::Constant(units_of_a))), (zone("b"), None)]);
    Pool { version, zones, ..pool("p", 10) }
}

fn pending(number: i64, zone: Option<&str>, from_hour: i64, quantity: u32) -> Hold {
    let (from, to) = (far() + hours(from_hour), far() + hours(from_hour + 4));
    let mut hold = reservation(id_of(lane(), number), &name(), Status::Pending, from, to, quantity);
    hold.created_at = at("2026-01-01T00:00:00Z") + chrono::TimeDelta::seconds(number);
    hold.reservation_mut().unwrap().zone = zone.and_then(ZoneName::parse);
    hold
}

/// The load of the pool, of each zone, and of one that it never had, hour by hour, as a batch finds them.
async fn loads(database: &Database, cached: Cache) -> Vec<Vec<i64>> {
    let mut session = Session::connect(database).await.unwrap();
    let mut lanes = session.open(&lanes([lane()]), cached).await.unwrap().lanes;
    let state = &mut lanes.get_mut(&lane()).unwrap().state;
    let now = state.head.now;
    let pool = state.pools.get_mut(&name()).unwrap();
    pool.lapse(now);
    let zones = [None, Some(zone("a")), Some(zone("b")), Some(zone("c"))];
    let load = |zone: &Option<ZoneName>| {
        let hour = |hour| pool.peak(zone.as_ref(), far() + hours(hour), far() + hours(hour + 1));
        (0..12).map(hour).collect()
    };
    zones.iter().map(load).collect()
}

async fn change(session: &mut Session, number: i64, event_type: EventType, change: impl FnOnce(&mut Hold)) {
    let id = id_of(lane(), number);
    let wants = Wants { holds: vec![id], ..lanes([lane()]) };
    transact(session, &wants, |state| {
        let mut hold = state.hold(id).unwrap().clone();
        change(&mut hold);
        record(state, hold, event_type);
    })
    .await;
}

#[tokio::test]
async fn zones_in_a_cache_that_is_out_of_date_are_read_up_to_what_a_cold_one_finds() {
    let database = database().await;
    let (mut one, mut other) = (Session::connect(&database).await.unwrap(), Session::connect(&database).await.unwrap());
    let stale = transact(&mut one, &lanes([lane()]), |state| {
        state.put_pool(zoned(1, 4));
        record(state, pending(1, Some("a"), 0, 1), EventType::Placed);
        record(state, pending(2, Some("b"), 2, 2), EventType::Placed);
    })
    .await;
    let before = loads(&database, Cache::new()).await;
    // Behind the back of the first worker.
    transact(&mut other, &lanes([lane()]), |state| {
        record(state, pending(3, Some("a"), 1, 3), EventType::Placed);
        record(state, pending(4, None, 1, 1), EventType::Placed);
        let lapsed = at("2026-01-01T00:00:00Z");
        let lapsed = Hold { status: Status::Held, expires_at: Some(lapsed), ..pending(5, Some("b"), 0, 5) };
        record(state, lapsed, EventType::Held);
        let held = Hold { status: Status::Held, expires_at: Some(far()), ..pending(6, Some("b"), 4, 2) };
        record(state, held, EventType::Held);
    })
    .await;
    change(&mut other, 2, EventType::Extended, |hold| {
        let reservation = hold.reservation_mut().unwrap();
        reservation.end_time += hours(2);
        reservation.intervals[0].end += hours(2);
    })
    .await;
    change(&mut other, 1, EventType::Canceled, |hold| hold.status = Status::Canceled).await;
    change(&mut other, 3, EventType::Ended, |hold| {
        (hold.status, hold.end_reason) = (Status::Ended, Some(EndReason::Operator));
        hold.reservation_mut().unwrap().intervals = vec![Interval { start: far(), end: far() + hours(2), quantity: 3 }];
    })
    .await;
    transact(&mut other, &lanes([lane()]), |state| state.put_pool(zoned(2, 7))).await;

    let caught_up = loads(&database, stale).await;
    let cold = loads(&database, Cache::new()).await;
    assert_eq!(caught_up, cold);
    assert_ne!(cold, before);
    let used = |from: i64, to: i64, units: i64, hour: i64| if (from..to).contains(&hour) { units } else { 0 };
    let in_a = |hour| used(0, 2, 3, hour);
    let in_b = |hour| used(2, 8, 2, hour) + used(4, 8, 2, hour);
    let in_all = |hour| in_a(hour) + in_b(hour) + used(1, 5, 1, hour) - 10;
    let expected = [
        (0..12).map(in_all).collect::<Vec<i64>>(),
        (0..12).map(|hour| (in_a(hour) - 7).max(in_all(hour))).collect(),
        (0..12).map(in_all).collect(),
        vec![0; 12],
    ];
    assert_eq!(cold, expected);
}

#[tokio::test]
async fn zones_come_back_as_they_were_put_and_as_they_were_put_again() {
    let database = database().await;
    let reader = Reader::new(database.clone());
    let mut session = Session::connect(&database).await.unwrap();
    let step = |effective_at, quantity| CapacityStep { effective_at: at(effective_at), quantity };
    let steps = vec![step("2026-01-01T00:00:00.000001Z", 5), step("2027-01-01T00:00:00Z", 0)];
    let full = Zones::from([
        (zone("z"), None),
        (zone("A-1_b"), Some(Capacity::Constant(1_000_000_000))),
        (zone("0"), Some(Capacity::Schedule(steps))),
        (zone("1"), Some(Capacity::Constant(0))),
    ]);
    for zones in [full.clone(), zoned(1, 3).zones, Zones::new(), full] {
        let put = Pool { zones, ..pool("p", 10) };
        transact(&mut session, &all_lanes(), |state| {
            state.put_pool(put.clone());
            state.put_pool(Pool { zones: zoned(1, 1).zones, ..pool("q", 1) });
        })
        .await;
        assert_eq!(reader.pool(&name()).await.unwrap(), Some(put));
    }
}

#[tokio::test]
async fn the_zone_of_a_reservation_comes_back() {
    let database = database().await;
    let mut session = Session::connect(&database).await.unwrap();
    let mut written = None;
    transact(&mut session, &all_lanes(), |state| {
        written = Some(record(state, pending(1, Some("a"), 0, 1), EventType::Placed));
    })
    .await;
    let (found, _) = Reader::new(database.clone()).hold(&tenant(), id_of(lane(), 1)).await.unwrap();
    assert_eq!(found, written);
    assert_eq!(count(&database, "select count(*) from reservation_interval where zone = 'a'").await, 1);
}

/// What is loaded for a pool that is to be put, as a worker does that has the lane in memory.
async fn booked(session: &mut Session, cached: Cache, capacity: Capacity, zones: Zones, force: bool) -> Vec<Booked> {
    let Pool { policy, offers, .. } = zoned(1, 4);
    let put = PoolPut {
        pool: name(),
        capacity,
        instance_type: None,
        region: None,
        policy,
        offers,
        instance_spec: None,
        tags: None,
        zones,
        force: force.then_some(VictimOrder::LargestFirst),
    };
    let wants = Wants { puts: vec![put], ..lanes([lane()]) };
    let loaded = session.open(&wants, cached).await.unwrap();
    session.rollback().await.unwrap();
    loaded.booked
}

fn numbers(booked: &[Booked]) -> Vec<HoldId> {
    booked.iter().flat_map(|booked| &booked.holds).map(|hold| hold.id).collect()
}

async fn furnished(session: &mut Session) {
    transact(session, &all_lanes(), |state| {
        state.put_pool(zoned(1, 4));
        state.put_pool(pool("q", 100));
        record(state, pending(1, Some("a"), 0, 3), EventType::Placed);
        record(state, pending(2, None, 2, 4), EventType::Placed);
        record(state, pending(3, Some("b"), 2, 2), EventType::Placed);
        record(state, pending(4, Some("a"), 6, 4), EventType::Placed);
        let mut several = pending(5, None, 7, 1);
        let interval = |hour| Interval { start: far() + hours(hour), end: far() + hours(hour + 1), quantity: 1 };
        several.reservation_mut().unwrap().intervals = vec![interval(0), interval(7)];
        record(state, several, EventType::Placed);
        let lapsed = Some(at("2026-01-01T00:00:00Z"));
        record(state, Hold { status: Status::Held, expires_at: lapsed, ..pending(6, None, 2, 10) }, EventType::Held);
        record(state, Hold { status: Status::Canceled, ..pending(7, None, 2, 10) }, EventType::Canceled);
        let mut other = pending(8, None, 2, 9);
        other.reservation_mut().unwrap().pool = pool_name("q");
        record(state, other, EventType::Placed);
    })
    .await;
}

#[tokio::test]
async fn what_is_booked_is_loaded_only_where_it_would_not_fit() {
    let database = database().await;
    let mut session = Session::connect(&database).await.unwrap();
    furnished(&mut session).await;
    let id = |number| id_of(lane(), number);
    let zones = zoned(1, 4).zones;
    let fits = booked(&mut session, Cache::new(), Capacity::Constant(9), zones.clone(), true).await;
    assert_eq!(numbers(&fits), []);
    // 9 in the hours 2 and 3: the first in it, and both that begin there.
    let short = booked(&mut session, Cache::new(), Capacity::Constant(8), zones.clone(), false).await;
    assert_eq!(numbers(&short), [id(1), id(2), id(3)], "the oldest first");
    assert_eq!(short[0].count, 3);
    let short = booked(&mut session, Cache::new(), Capacity::Constant(8), zones.clone(), true).await;
    assert_eq!(numbers(&short), [id(2), id(1), id(3)], "in the order of the victims");
    // Of `a` more than three in the hours 6 to 9, of which others have units that are not in it.
    let short = booked(&mut session, Cache::new(), Capacity::Constant(10), zoned(1, 3).zones, false).await;
    assert_eq!(numbers(&short), [id(4)]);
    let gone = booked(&mut session, Cache::new(), Capacity::Constant(10), Zones::new(), false).await;
    assert_eq!(numbers(&gone), [id(1), id(3), id(4)]);
    let dip = [(far(), 10), (far() + hours(7), 4), (far() + hours(8), 10)];
    let dip = dip.map(|(effective_at, quantity)| CapacityStep { effective_at, quantity });
    let dip = booked(&mut session, Cache::new(), Capacity::Schedule(dip.to_vec()), zones, false).await;
    assert_eq!(numbers(&dip), [id(4), id(5)], "by its second interval");
}

#[tokio::test]
async fn no_more_is_loaded_than_fits_into_memory() {
    let database = database().await;
    let mut session = Session::connect(&database).await.unwrap();
    transact(&mut session, &all_lanes(), |state| {
        state.put_pool(zoned(1, 4));
        for number in 0..9 {
            let mut large = pending(number, None, 0, 1);
            large.reservation_mut().unwrap().tags = json(&format!("\"{}\"", "x".repeat(3 * 1024 * 1024)));
            record(state, large, EventType::Placed);
        }
    })
    .await;
    let found = booked(&mut session, Cache::new(), Capacity::Constant(0), zoned(1, 4).zones, true).await;
    assert_eq!((found[0].holds.len(), found[0].count), (6, 9));
}

#[tokio::test]
async fn of_many_only_the_first_are_listed_and_all_are_counted() {
    let database = database().await;
    let mut session = Session::connect(&database).await.unwrap();
    transact(&mut session, &all_lanes(), |state| {
        state.put_pool(Pool { capacity: Capacity::Constant(500), ..zoned(1, 4) });
        (0..150).for_each(|number| drop(record(state, pending(number, None, 0, 1), EventType::Placed)));
    })
    .await;
    let zones = zoned(1, 4).zones;
    let found = booked(&mut session, Cache::new(), Capacity::Constant(10), zones.clone(), false).await;
    assert_eq!((found[0].holds.len(), found[0].count), (100, 150));
    assert_eq!(found[0].holds[0].id, id_of(lane(), 0));
    let found = booked(&mut session, Cache::new(), Capacity::Constant(10), zones, true).await;
    assert_eq!((found[0].holds.len(), found[0].count), (150, 150));
}
