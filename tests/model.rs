//! Random commands against the dumbest right answer, and against themselves decided in another grouping.
#![allow(clippy::unwrap_used, clippy::panic)] // tests may fail loudly, their helpers too

mod minutes;
mod ops;
mod quotas;
mod world;

use berth::domain::command::{Command, Request, TenantPut};
use berth::domain::decide::decide;
use berth::domain::hold::{Hold, Units};
use berth::domain::id::{HoldId, Lane, ZoneName};
use berth::domain::outcome::{Answer, LockAnswer, LockStatus, Outcome};
use berth::domain::quota::{Limits, TenantConfig, TenantState, TenantUse};
use berth::domain::state::{Changes, Decided, PoolState};
use berth::domain::tick::as_of;
use berth::domain::window::{Instant, Interval};
use minutes::Minutes;
use ops::{MINUTES, Numbering, Op, minute, op, pool_name, put, second, steps, zone_name};
use proptest::prelude::*;
use quotas::{Counted, acme};
use std::collections::BTreeMap;
use world::{World, request};

/// Two pools of eight units.
fn furnished() -> World {
    let mut world = World::new(second(0));
    let puts = [request("acme", 1_000_000, put(0, 8)), request("acme", 1_000_001, put(1, 8))];
    world.batch(&puts);
    world
}

/// What happened before: commands one by one, each some seconds after the one before.
type Past = Vec<(i64, Op)>;

fn past() -> impl Strategy<Value = Past> {
    prop::collection::vec((0i64..240, op()), 0..12)
}

/// A world with a past, at the instant to which it has come.
fn with_past(past: &Past) -> (World, Numbering, i64) {
    let (mut world, mut numbering, mut now) = (furnished(), Numbering::default(), 0);
    let limits = Limits { units: Some(12), unit_hours: Some(3), locks: Some(2) };
    world.batch(&[request("acme", 1_000_002, put_tenant(limits))]);
    for (seconds, op) in past {
        now += seconds;
        world.set_now(second(now));
        world.batch(&[numbering.request(op, second(now))]);
    }
    now += 61;
    world.set_now(second(now));
    (world, numbering, now)
}

/// The load of a pool, of its zone 0 and of its zone 1 in each minute; of the running one in what is left of it.
fn loads_of(pool: &PoolState, now: Instant) -> Vec<i64> {
    let window = |at| if minute(at) < now && now < minute(at + 1) { now } else { minute(at) };
    let load = |zone: Option<ZoneName>| {
        (0..MINUTES).map(move |at| pool.peak(zone.as_ref(), window(at), minute(at + 1))).collect::<Vec<_>>()
    };
    [None, Some(zone_name(0)), Some(zone_name(1))].into_iter().flat_map(load).collect()
}

/// The loads of each pool.
fn loads(world: &World) -> Vec<i64> {
    let known = |pool| {
        let lane = &world.lanes[&Lane::of_pool(&pool_name(pool))];
        loads_of(&lane.pools[&pool_name(pool)], lane.head.now)
    };
    (0..2).flat_map(known).collect()
}

/// The same as a worker sees it that has just read all holds from the database.
fn cold_loads(world: &World, now: Instant) -> Vec<i64> {
    let is_on = |hold: &&Hold, pool| hold.reservation().is_some_and(|it| it.pool == pool_name(pool));
    let load = |pool| {
        let configured = &world.lanes[&Lane::of_pool(&pool_name(pool))].pools[&pool_name(pool)].pool;
        let mut known = PoolState::new(configured.clone());
        world.holds.values().filter(|hold| is_on(hold, pool)).for_each(|hold| known.load(hold));
        known.lapse(now);
        loads_of(&known, now)
    };
    (0..2).flat_map(load).collect()
}

/// The same as a worker sees it that learns of everything from the journal.
struct Follower(Vec<PoolState>);

impl Follower {
    fn new() -> Follower {
        let pool = |number| match put(number, 8) {
            Command::PoolPut(put) => PoolState::new(put.configured(1)),
            _ => panic!(),
        };
        Follower((0..2).map(pool).collect())
    }

    fn read(&mut self, changes: &Changes) {
        for (number, known) in (0u8..).zip(&mut self.0) {
            let name = pool_name(number);
            for pool in changes.pools.iter().filter(|pool| pool.name == name) {
                known.configure(pool.clone());
            }
            for event in &changes.events {
                if let Some(it) = event.hold.reservation().filter(|it| it.pool == name) {
                    known.apply(event.hold.id, it.zone.as_ref(), &event.usage, event.lapses_at());
                }
            }
        }
    }

    fn loads(&mut self, now: Instant) -> Vec<i64> {
        self.0.iter_mut().for_each(|pool| pool.lapse(now));
        self.0.iter().flat_map(|pool| loads_of(pool, now)).collect()
    }
}

/// Every hold as a reader sees it at an instant.
fn as_read(world: &World, at: Instant) -> BTreeMap<HoldId, Hold> {
    shown(world.holds.values().map(|hold| as_of(hold.clone(), at)))
}

/// Without the place of the last event, which no reader sees and only its writing gives.
fn shown(holds: impl Iterator<Item = Hold>) -> BTreeMap<HoldId, Hold> {
    holds.map(|hold| (hold.id, Hold { last_seq: 0, ..hold })).collect()
}

fn lapse(world: &mut World) {
    for lane in world.lanes.values_mut() {
        let now = lane.head.now;
        lane.pools.values_mut().for_each(|pool| pool.lapse(now));
    }
}

/// What a dry run of a command says that is answered so.
fn dry(request: &Request, outcome: &Outcome) -> Outcome {
    let mut answer = outcome.clone()?;
    if let (Command::Reserve(_), Answer::Reservation(hold)) = (&request.command, &mut answer) {
        hold.version = 0;
        hold.reservation_mut().unwrap().units = Units::default();
    }
    if let Answer::Lock(LockAnswer { status: LockStatus::Acquired, claim: Some(claim), .. }) = &mut answer {
        claim.version = 0;
        claim.lock_mut().unwrap().fencing_token = 0;
    }
    Ok(Answer::DryRun(Box::new(answer)))
}

/// What is known of the tenant between batches.
fn known(world: &mut World, now: Instant) -> (Option<TenantConfig>, [u64; 3]) {
    let TenantState { config, used } = world.tenants.get_mut(&acme()).unwrap();
    used.lapse(now);
    (config.clone(), [used.units(now), used.unit_hours(now), used.locks(now)])
}

fn put_tenant(limits: Limits) -> Command {
    Command::TenantPut(TenantPut { tenant: acme(), limits, registered_prefixes: Vec::new() })
}

/// What an extension adds to the reservation as it is now.
fn added(world: &World, request: &Request, now: Instant) -> Option<Interval> {
    let Command::Extend(extend) = &request.command else { return None };
    let hold = as_of(world.holds.get(&extend.id)?.clone(), now);
    let last = *hold.reservation()?.intervals.last()?;
    let kept = hold.reservation()?.units.count();
    let quantity = if kept == 0 { last.quantity } else { last.quantity.min(kept) };
    (last.end < extend.end_time).then_some(Interval { start: last.end, end: extend.end_time, quantity })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_dry_run_says_what_would_be_and_leaves_no_trace_in_its_batch(
        past in past(),
        ops in prop::collection::vec((any::<bool>(), op()), 1..12),
    ) {
        let (mut with, mut numbering, now) = with_past(&past);
        let (mut without, _, _) = with_past(&past);
        let mut requests: Vec<Request> = Vec::new();
        for (is_dry_run, op) in &ops {
            // The randomness of a dry run is that of the next command too, so that whatever it leaves is in the way.
            let request = match is_dry_run {
                true => Request { is_dry_run: true, ..numbering.clone().request(op, second(now)) },
                false => numbering.request(op, second(now)),
            };
            requests.push(request);
        }
        let real: Vec<Request> = requests.iter().filter(|request| !request.is_dry_run).cloned().collect();
        let (outcomes, changes) = with.batch(&requests);
        let (expected, expected_changes) = without.batch(&real);
        for (index, (request, outcome)) in requests.iter().zip(&outcomes).enumerate().filter(|(_, (it, _))| it.is_dry_run) {
            let before = requests[..index].iter().filter(|request| !request.is_dry_run).cloned();
            let alone: Vec<Request> = before.chain([Request { is_dry_run: false, ..request.clone() }]).collect();
            let (mut world, _, _) = with_past(&past);
            let would_be = world.batch(&alone).0.pop().unwrap();
            prop_assert_eq!(outcome, &dry(request, &would_be));
        }
        let of_real: Vec<&Outcome> =
            requests.iter().zip(&outcomes).filter(|(request, _)| !request.is_dry_run).map(|(_, outcome)| outcome).collect();
        prop_assert_eq!(of_real, expected.iter().collect::<Vec<_>>());
        prop_assert_eq!(&changes.events, &expected_changes.events);
        prop_assert_eq!((&changes.inserted, &changes.updated), (&expected_changes.inserted, &expected_changes.updated));
        prop_assert_eq!(&changes.pools, &expected_changes.pools);
        for lane in Lane::all() {
            let (is, was) = (with.lanes[&lane].head, without.lanes[&lane].head);
            prop_assert_eq!(is, was, "no sequence number and no fence is drawn");
        }
        for world in [&mut with, &mut without] {
            lapse(world);
        }
        prop_assert_eq!(loads(&with), loads(&without));
        prop_assert_eq!(&with.holds, &without.holds);
        let again = Op::Reserve { pool: 0, starts_in: 1, parts: vec![(0, 8, 3)], hold_seconds: Some(60), zone: Some(0) };
        let next = numbering.request(&again, second(now));
        prop_assert_eq!(with.batch(std::slice::from_ref(&next)), without.batch(&[next]));
    }

    #[test]
    fn a_batch_equals_its_commands_decided_one_by_one(past in past(), ops in prop::collection::vec(op(), 1..12)) {
        let (mut together, mut numbering, now) = with_past(&past);
        let (mut alone, _, _) = with_past(&past);
        let requests: Vec<Request> = ops.iter().map(|op| numbering.request(op, second(now))).collect();
        let (outcomes, changes) = together.batch(&requests);
        let mut events = Vec::new();
        for (request, outcome) in requests.iter().zip(&outcomes) {
            let (outcomes, changes) = alone.batch(std::slice::from_ref(request));
            prop_assert_eq!(&outcomes[0], outcome);
            events.extend(changes.events);
        }
        prop_assert_eq!(changes.events, events);
        prop_assert_eq!(&together.holds, &alone.holds);
        for world in [&mut together, &mut alone] {
            lapse(world);
        }
        prop_assert_eq!(loads(&together), loads(&alone));
        prop_assert_eq!(known(&mut together, second(now)), known(&mut alone, second(now)));
        for lane in Lane::all() {
            prop_assert_eq!(together.lanes[&lane].head, alone.lanes[&lane].head);
            let pools = |world: &World| world.lanes[&lane].pools.values().map(|it| it.pool.clone()).collect::<Vec<_>>();
            prop_assert_eq!(pools(&together), pools(&alone));
        }
    }

    #[test]
    fn a_batch_that_is_rolled_back_leaves_no_trace(
        past in past(),
        ops in prop::collection::vec(op(), 1..12),
        next in prop::collection::vec((0i64..240, op()), 1..8),
    ) {
        let (mut world, mut numbering, mut now) = with_past(&past);
        let (mut untouched, _, _) = with_past(&past);
        let heads: Vec<_> = world.lanes.iter().map(|(lane, state)| (*lane, state.head)).collect();
        let mut lost = numbering.clone();
        let mut requests: Vec<Request> = ops.iter().map(|op| lost.request(op, second(now))).collect();
        requests.push(request("acme", 2_000_000, put(7, 3)));
        requests.iter_mut().skip(1).step_by(3).for_each(|request| request.is_dry_run = true);
        requests.push(request("acme", 2_000_000, put(7, 3)));
        requests.push(request("acme", 2_000_001, put_tenant(Limits::default())));
        let mut state = world.open(&requests, &[]);
        for request in &requests {
            let _ = decide(&mut state, request);
        }
        let Decided { mut lanes, mut tenants, rollback, .. } = state.finish();
        rollback.apply(&mut lanes, &mut tenants);
        world.lanes.extend(lanes);
        world.tenants.extend(tenants);
        for (lane, head) in heads {
            world.lanes.get_mut(&lane).unwrap().head = head;
        }
        prop_assert_eq!(world.peak(&pool_name(7), minute(0), minute(1)), None, "a new pool is gone");
        for world in [&mut world, &mut untouched] {
            lapse(world);
        }
        prop_assert_eq!(loads(&world), loads(&untouched));
        for (seconds, op) in next {
            now += seconds;
            let request = numbering.request(&op, second(now));
            for world in [&mut world, &mut untouched] {
                world.set_now(second(now));
            }
            let (was, is) = (untouched.batch(std::slice::from_ref(&request)), world.batch(&[request]));
            prop_assert_eq!(was, is);
            prop_assert_eq!(loads(&world), loads(&untouched));
            prop_assert_eq!(known(&mut world, second(now)), known(&mut untouched, second(now)));
        }
    }

    #[test]
    fn every_answer_is_what_a_vector_of_minutes_says(ops in steps()) {
        let (mut world, mut numbering, mut now) = (furnished(), Numbering::default(), 0);
        let (mut minutes, mut follower) = (Minutes::new(), Follower::new());
        for (seconds, ticks, op) in ops {
            now += seconds;
            world.set_now(second(now));
            if ticks {
                let read = as_read(&world, second(now));
                let changes = world.tick(second(now));
                prop_assert_eq!(read, shown(world.holds.values().cloned()), "readers see what the clock will do");
                minutes.record(&changes);
                follower.read(&changes);
            }
            let request = numbering.request(&op, second(now));
            let (outcomes, changes) = world.batch(std::slice::from_ref(&request));
            minutes.record(&changes);
            follower.read(&changes);
            minutes.check(&request.command, numbering.ids.last(), &outcomes[0], now);
            lapse(&mut world);
            let loads = loads(&world);
            minutes.check_loads(&loads, now);
            prop_assert_eq!(&cold_loads(&world, second(now)), &loads);
            if ticks {
                prop_assert_eq!(&follower.loads(second(now)), &loads);
            }
        }
        let end = minute(100 * MINUTES);
        world.set_now(end);
        let read = as_read(&world, end);
        minutes.record(&world.tick(end));
        prop_assert_eq!(read, shown(world.holds.values().cloned()));
        let is_live = |hold: &&Hold| !hold.status.is_terminal() && hold.due_at().is_some();
        prop_assert_eq!(world.holds.values().find(is_live), None, "what can end has ended");
    }

    #[test]
    fn a_tenant_has_never_more_than_its_limits_and_is_refused_for_nothing_less(
        units in prop::option::of(1u64..12),
        unit_hours in prop::option::of(1u64..4),
        locks in prop::option::of(1u64..3),
        ops in prop::collection::vec((0i64..240, any::<bool>(), op()), 1..40),
    ) {
        let (mut world, mut numbering, mut now) = (furnished(), Numbering::default(), 0);
        let limits = Limits { units, unit_hours, locks };
        world.batch(&[request("acme", 1_000_002, put_tenant(limits))]);
        for (seconds, ticks, op) in ops {
            now += seconds;
            world.set_now(second(now));
            if ticks {
                world.tick(second(now));
            }
            let request = numbering.request(&op, second(now));
            let before = Counted::of(&world, second(now));
            let added = added(&world, &request, second(now));
            let (outcomes, _) = world.batch(std::slice::from_ref(&request));
            before.check(&limits, &request.command, added, &outcomes[0]);
            let after = Counted::of(&world, second(now));
            prop_assert!(after.is_within(&limits), "{:?}", after.shown());
            let mut cold = world.used(&acme());
            cold.lapse(second(now));
            let shown = |used: &TenantUse| (used.units(second(now)), used.unit_hours(second(now)), used.locks(second(now)));
            prop_assert_eq!(shown(&cold), after.shown());
            if let Some(known) = world.tenants.get_mut(&acme()).filter(|_| limits.has_any()) {
                known.used.lapse(second(now));
                prop_assert_eq!(shown(&known.used), after.shown());
            }
        }
    }
}
