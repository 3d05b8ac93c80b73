//! What a worker keeps of a lane, brought up to date, is what another finds that never saw it.

use berth::domain::event::EventType;
use berth::domain::hold::{EndReason, Hold, Status};
use berth::domain::id::{HoldId, Lane, PoolName};
use berth::domain::lock::Resource;
use berth::domain::registry::Registry;
use berth::domain::resource::{Capacity, CapacityStep};
use berth::domain::window::{Instant, Interval};
use berth::store::Session;
use berth::store::batch::Wants;
use berth::store::start::Database;

use crate::support::*;

fn far() -> Instant {
    at("2199-01-01T00:00:00Z")
}

fn name() -> PoolName {
    pool_name("p")
}

fn pending(number: i64, from_hour: i64, quantity: u32) -> Hold {
    let id = id_of(Lane::of_pool(&name()), number);
    reservation(id, &name(), Status::Pending, far() + hours(from_hour), far() + hours(from_hour + 4), quantity)
}

/// The load of every pool of a cache, hour by hour.
fn loads(cache: &Cache) -> Vec<(PoolName, u32, Vec<i64>)> {
    let pools = cache.values().flat_map(|lane| lane.state.pools.values());
    let load = |pool: &berth::domain::state::PoolState| {
        let hour = |hour| pool.usage.peak(far() + hours(hour), far() + hours(hour + 1));
        (pool.pool.name.clone(), pool.pool.version, (0..24).map(hour).collect())
    };
    pools.map(load).collect()
}

/// The lanes as a batch finds them, and each pool as deciding upon it would.
async fn opened(database: &Database, cached: Cache) -> Cache {
    let mut session = Session::connect(database).await.unwrap();
    let mut lanes = session.open(&all_lanes(), cached).await.unwrap().lanes;
    for lane in lanes.values_mut() {
        let now = lane.state.head.now;
        lane.state.pools.values_mut().for_each(|pool| pool.usage.lapse(now));
    }
    lanes
}

async fn setup() -> (Database, Session, Cache) {
    let database = database().await;
    let mut session = Session::connect(&database).await.unwrap();
    let cache = transact(&mut session, &all_lanes(), |state| {
        state.put_pool(pool("p", 10));
        state.put_pool(pool("q", 5));
        record(state, pending(1, 0, 1), EventType::Placed);
        record(state, pending(2, 2, 2), EventType::Placed);
    })
    .await;
    (database, session, cache)
}

async fn change(session: &mut Session, id: HoldId, event_type: EventType, change: impl FnOnce(&mut Hold)) {
    let wants = Wants { holds: vec![id], ..all_lanes() };
    transact(session, &wants, |state| {
        let mut hold = state.hold(id).unwrap().clone();
        change(&mut hold);
        record(state, hold, event_type);
    })
    .await;
}

/// One of everything that moves a pool's use, each in a batch of its own, behind the back of a cache.
async fn happen(session: &mut Session) {
    let id = |number| id_of(Lane::of_pool(&name()), number);
    transact(session, &all_lanes(), |state| {
        record(state, pending(3, 1, 3), EventType::Placed);
        let lapsed = Hold { status: Status::Held, expires_at: Some(at("2026-01-01T00:00:00Z")), ..pending(4, 1, 4) };
        record(state, lapsed, EventType::Held);
        let held = Hold { status: Status::Held, expires_at: Some(far()), ..pending(5, 1, 5) };
        record(state, held, EventType::Held);
        let confirmed = Hold { status: Status::Held, expires_at: Some(far()), ..pending(6, 1, 6) };
        record(state, confirmed, EventType::Held);
        // A lock whose type is the name of a pool.
        record(state, lock("door", None), EventType::Active);
    })
    .await;
    change(session, id(6), EventType::Placed, |hold| {
        hold.status = Status::Pending;
        hold.expires_at = None;
    })
    .await;
    change(session, id(1), EventType::Canceled, |hold| hold.status = Status::Canceled).await;
    change(session, id(2), EventType::Extended, |hold| {
        let reservation = hold.reservation_mut().unwrap();
        reservation.end_time += hours(3);
        reservation.intervals[0].end += hours(3);
    })
    .await;
    change(session, id(3), EventType::Ended, |hold| {
        hold.status = Status::Ended;
        hold.end_reason = Some(EndReason::Terminated);
        hold.reservation_mut().unwrap().intervals = vec![Interval { start: far(), end: far() + hours(2), quantity: 3 }];
    })
    .await;
    let step = CapacityStep { effective_at: far() + hours(3), quantity: 20 };
    let capacity = Capacity::Schedule(vec![step]);
    transact(session, &all_lanes(), |state| {
        state.put_pool(berth::domain::resource::Pool { capacity, version: 2, ..pool("p", 0) });
        state.put_pool(pool("r", 7));
    })
    .await;
}

#[tokio::test]
async fn a_cache_that_is_out_of_date_is_read_up_to_what_a_cold_one_finds() {
    let (database, mut session, stale) = setup().await;
    let before = loads(&stale);
    happen(&mut session).await;
    let caught_up = opened(&database, stale).await;
    let cold = opened(&database, Cache::new()).await;
    assert_eq!(loads(&caught_up), loads(&cold));
    assert_ne!(loads(&cold), before);
    // Hour by hour: 2 h of the terminated one, the extended one, the held ones without the lapsed one, minus capacity.
    let expected: Vec<i64> = (0..24)
        .map(|hour| {
            let held = |from: i64, to: i64, units: i64| if (from..to).contains(&hour) { units } else { 0 };
            let used = held(0, 2, 3) + held(2, 9, 2) + held(1, 5, 5) + held(1, 5, 6);
            used - if hour < 3 { 0 } else { 20 }
        })
        .collect();
    let of_pool = loads(&cold).into_iter().find(|(pool, ..)| *pool == name()).unwrap();
    assert_eq!(of_pool, (name(), 2, expected));
}

#[tokio::test]
async fn a_cache_whose_journal_is_gone_is_read_anew() {
    let (database, mut session, stale) = setup().await;
    happen(&mut session).await;
    execute(&database, "delete from journal where seq < 5").await;
    let caught_up = opened(&database, stale).await;
    assert_eq!(loads(&caught_up), loads(&opened(&database, Cache::new()).await));
}

#[tokio::test]
async fn a_cache_that_is_ahead_of_its_lane_is_read_anew() {
    let (database, _, mut ahead) = setup().await;
    for lane in ahead.values_mut() {
        lane.last_batch = Some(batch().0);
        lane.state.head.seq += 10;
        lane.state.pools.values_mut().for_each(|pool| pool.usage.set_capacity(&Capacity::Constant(0)));
    }
    let read = opened(&database, ahead).await;
    assert_eq!(loads(&read), loads(&opened(&database, Cache::new()).await));
}

/// As after a failover to a replica that has not got the last commits: what follows has their numbers.
#[tokio::test]
async fn a_cache_of_a_batch_that_the_database_has_lost_is_read_anew() {
    let (database, mut session, _) = setup().await;
    for events_since in [false, true] {
        let mut lost = opened(&database, Cache::new()).await;
        for lane in lost.values_mut() {
            lane.last_batch = Some(batch().0);
            lane.state.pools.values_mut().for_each(|pool| pool.usage.set_capacity(&Capacity::Constant(0)));
            lane.state.registry.put(Resource { version: 1, ..Resource::plain(lock_name("gate")) });
        }
        if events_since {
            happen(&mut session).await;
        }
        let read = opened(&database, lost).await;
        assert_eq!(loads(&read), loads(&opened(&database, Cache::new()).await), "events since: {events_since}");
        assert!(read.values().all(|lane| lane.state.registry == Registry::default()), "events since: {events_since}");
    }
}

#[tokio::test]
async fn a_cache_of_the_lanes_last_batch_is_taken_as_it_is() {
    let (database, _, known) = setup().await;
    // Nothing of this can be read any more: what is known must do.
    execute(&database, "delete from journal; delete from hold; delete from pool").await;
    let before = loads(&known);
    assert_eq!(loads(&opened(&database, known).await), before);
}

#[tokio::test]
async fn what_has_lapsed_by_now_does_not_count_in_a_cache_that_is_up_to_date() {
    let (database, mut session, _) = setup().await;
    let lapses = Hold { status: Status::Held, expires_at: Some(at("2198-01-01T00:00:00Z")), ..pending(7, 0, 7) };
    let known = transact(&mut session, &all_lanes(), |state| drop(record(state, lapses, EventType::Held))).await;
    let counted = loads(&known).into_iter().find(|(pool, ..)| *pool == name()).unwrap().2[0];
    execute(&database, "update lane set decided_at = '2198-01-01T00:00:00Z'").await;
    let opened = opened(&database, known).await;
    let now = loads(&opened).into_iter().find(|(pool, ..)| *pool == name()).unwrap().2[0];
    assert_eq!((counted, now), (1 + 7 - 10, 1 - 10));
}

#[tokio::test]
async fn a_reservation_that_was_terminated_counts_to_its_end_and_not_beyond() {
    let (database, mut session, _) = setup().await;
    let past = at("2026-01-01T00:00:00Z");
    for (number, end) in [(8, past + hours(1)), (9, far() + hours(1))] {
        let mut hold = pending(number, 0, 3);
        hold.status = Status::Ended;
        hold.end_reason = Some(EndReason::Terminated);
        hold.reservation_mut().unwrap().intervals = vec![Interval { start: past, end, quantity: 3 }];
        transact(&mut session, &all_lanes(), |state| drop(record(state, hold, EventType::Ended))).await;
    }
    let cold = opened(&database, Cache::new()).await;
    let load = loads(&cold).into_iter().find(|(pool, ..)| *pool == name()).unwrap().2;
    assert_eq!(load[0], 1 + 3 - 10);
    assert_eq!(load[1], 1 - 10);
}
