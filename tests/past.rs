//! Random lives against what was seen while they were lived: the schedule against the pool's use at every instant, a
//! reservation as of an instant against what a reader saw then, hours against a count of seconds.
#![allow(clippy::unwrap_used, clippy::panic)] // tests may fail loudly

#[allow(dead_code)] // shared with other tests, which use more of it
mod ops;
mod world;

use std::collections::BTreeMap;

use berth::domain::command::{Command, PriceLimit, Reserve};
use berth::domain::event::{Event, EventType};
use berth::domain::hold::{Hold, Reservation, Status};
use berth::domain::id::{HoldId, Lane, ZoneName};
use berth::domain::outcome::Answer;
use berth::domain::past::{Entry, EntryKind, History, Recorded, later_part};
use berth::domain::price::cost_cents;
use berth::domain::resource::Capacity;
use berth::domain::schedule::{Allocation, Step};
use berth::domain::state::Changes;
use berth::domain::statement::{Grant, Statement, Sums};
use berth::domain::tick::as_of;
use berth::domain::window::{Instant, Interval};
use berth::wire::{event, recall, reply};
use chrono::TimeDelta;
use ops::{Numbering, Op, minute, op, pool_name, put, second, zone_name};
use proptest::prelude::*;
use world::{World, request};

/// The use of a pool is looked at so often, seconds.
const SAMPLE_SECONDS: i64 = 15;
const POOLS: u8 = 2;

/// A life, and what was seen of it.
struct Life {
    world: World,
    now: i64,
    events: Vec<Event>,
    /// Units in use of each pool, second by second as they passed.
    seen: BTreeMap<(u8, i64), i64>,
    /// Where a change counts from before it was made: there the past was seen otherwise.
    rewritten: Vec<(u8, Instant, Instant)>,
    /// After each command: what readers saw.
    snapshots: BTreeMap<i64, (Snapshot, Told)>,
    /// Unit-seconds of each reservation while Active, counted as they passed.
    active: BTreeMap<HoldId, i64>,
    /// The same while Paused.
    idle: BTreeMap<HoldId, i64>,
}

#[derive(Debug, PartialEq)]
struct Snapshot {
    holds: BTreeMap<HoldId, Vec<u8>>,
    totals: Vec<Vec<Step>>,
    by_zone: Vec<BTreeMap<ZoneName, Vec<Step>>>,
}

/// The history of each reservation, and the sums of its usage.
type Told = BTreeMap<HoldId, (Vec<Entry>, Sums)>;

fn lived(ops: &[(i64, bool, Op)]) -> Life {
    let mut world = World::new(second(0));
    world.batch(&[request("acme", 1_000_000, put(0, 8)), request("acme", 1_000_001, put(1, 8))]);
    let mut life = Life {
        world,
        now: 0,
        events: Vec::new(),
        seen: BTreeMap::new(),
        rewritten: Vec::new(),
        snapshots: BTreeMap::new(),
        active: BTreeMap::new(),
        idle: BTreeMap::new(),
    };
    let mut numbering = Numbering::default();
    for (seconds, ticks, op) in ops {
        life.pass(*seconds);
        if *ticks {
            let changes = life.world.tick(second(life.now));
            life.keep(changes);
        }
        let mut request = numbering.request(op, second(life.now));
        if let Command::PoolPut(put) = &mut request.command {
            // What is announced of an end changes with the terms.
            let Capacity::Constant(capacity) = put.capacity else { panic!("{put:?}") };
            put.policy.ending_soon_seconds = capacity % 3 * 165;
        }
        let (_, changes) = life.world.batch(&[request]);
        life.keep(changes);
        let now = second(life.now);
        let seen = (snapshot(&reservations(&life.world), now), life.told(now));
        life.snapshots.insert(life.now, seen);
    }
    life.pass(30);
    life
}

impl Life {
    fn pass(&mut self, seconds: i64) {
        for now in self.now..self.now + seconds {
            self.world.set_now(second(now));
            if now % SAMPLE_SECONDS == 0 {
                lapse(&mut self.world, second(now));
                self.seen.extend((0..POOLS).map(|pool| ((pool, now), in_use(&self.world, pool, second(now)))));
            }
            for hold in reservations(&self.world) {
                let hold = as_of(hold, second(now));
                let units = units_at(&hold, second(now));
                match hold.status {
                    Status::Active => *self.active.entry(hold.id).or_default() += units,
                    Status::Paused => *self.idle.entry(hold.id).or_default() += units,
                    _ => (),
                }
            }
        }
        self.now += seconds;
        self.world.set_now(second(self.now));
    }

    fn keep(&mut self, changes: Changes) {
        for event in changes.events {
            if let Some(reservation) = event.hold.reservation()
                && event.event_type == EventType::Placed
            {
                let pool = (0..POOLS).find(|pool| pool_name(*pool) == reservation.pool).unwrap();
                let first = self.events.iter().find(|before| before.hold.id == event.hold.id).unwrap_or(&event);
                let from = first.hold.reservation().unwrap().start_time;
                self.rewritten.push((pool, from, event.at));
            } else if let (EventType::Held, Some(reservation)) = (event.event_type, event.hold.reservation()) {
                let pool = (0..POOLS).find(|pool| pool_name(*pool) == reservation.pool).unwrap();
                self.rewritten.push((pool, reservation.start_time, event.at));
            }
            self.events.push(event);
        }
    }

    /// What a reader finds as of an instant: of each reservation the last event by then, and what was due.
    fn recalled(&self, at: Instant) -> Vec<Hold> {
        let holds = reservations(&self.world).into_iter();
        let last = |present: &Hold| {
            self.events.iter().rfind(|event| event.hold.id == present.id && event.at <= at).map(event::encode)
        };
        holds.filter_map(|hold| Some(recall::decode(&last(&hold)?, &hold).unwrap().hold)).collect()
    }

    /// What `history` and `usage` tell as of an instant.
    fn told(&self, at: Instant) -> Told {
        let told = |present: Hold| {
            let mut events = self.recorded(&present, at);
            let last = events.last()?.hold.clone();
            events.extend(Recorded::due(&last, at));
            let mut statement = Statement::default();
            events.iter().for_each(|event| statement.add(event.clone()));
            Some((present.id, (history(&events), statement.finish(at, present).sums)))
        };
        reservations(&self.world).into_iter().filter_map(told).collect()
    }

    fn recorded(&self, present: &Hold, until: Instant) -> Vec<Recorded> {
        let own = self.events.iter().filter(|event| event.hold.id == present.id && event.at <= until);
        own.map(|event| recall::decode(&event::encode(event), present).unwrap()).collect()
    }
}

fn reservations(world: &World) -> Vec<Hold> {
    world.holds.values().filter(|hold| hold.reservation().is_some()).cloned().collect()
}

/// Units in use of a pool at an instant, as the deciding knows it.
fn in_use(world: &World, pool: u8, at: Instant) -> i64 {
    let name = pool_name(pool);
    let load = world.peak(&name, at, at + TimeDelta::microseconds(1)).unwrap();
    load + i64::from(world.lanes[&Lane::of_pool(&name)].pools[&name].pool.capacity.at(at))
}

fn lapse(world: &mut World, now: Instant) {
    let pools = world.lanes.values_mut().flat_map(|lane| lane.pools.values_mut());
    pools.for_each(|pool| pool.usage.lapse(now));
}

fn units_at(hold: &Hold, at: Instant) -> i64 {
    let intervals = &hold.reservation().unwrap().intervals;
    intervals.iter().filter(|it| it.start <= at && at < it.end).map(|it| i64::from(it.quantity)).sum()
}

fn allocation(holds: &[Hold], pool: u8, from: Instant, at: Instant) -> Allocation {
    let mut allocation = Allocation::new(from);
    let is_on = |hold: &&Hold| hold.reservation().is_some_and(|it| it.pool == pool_name(pool));
    holds.iter().filter(is_on).for_each(|hold| allocation.add(&as_of(hold.clone(), at)));
    allocation
}

fn snapshot(holds: &[Hold], at: Instant) -> Snapshot {
    let shown = |hold: &Hold| (hold.id, reply::reservation(&as_of(hold.clone(), at)).body);
    let allocations = || (0..POOLS).map(|pool| allocation(holds, pool, at - TimeDelta::minutes(10), at));
    Snapshot {
        holds: holds.iter().map(shown).collect(),
        totals: allocations().map(|it| it.total()).collect(),
        by_zone: allocations().map(|it| it.by_zone()).collect(),
    }
}

fn units_of(steps: &[Step], at: Instant) -> i64 {
    steps.iter().rfind(|step| step.effective_at <= at).unwrap().units
}

fn history(events: &[Recorded]) -> Vec<Entry> {
    let mut history = History::default();
    events.iter().for_each(|event| history.add(event));
    history.finish()
}

fn life() -> impl Strategy<Value = Vec<(i64, bool, Op)>> {
    prop::collection::vec((0i64..240, any::<bool>(), op()), 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_schedule_is_what_was_in_use_at_every_instant_and_will_be(life in life(), minutes in 0i64..90) {
        let mut life = lived(&life);
        lapse(&mut life.world, second(life.now));
        let holds = reservations(&life.world);
        let (now, from) = (second(life.now), second(life.now) - TimeDelta::minutes(minutes));
        for pool in 0..POOLS {
            let allocation = allocation(&holds, pool, from, now);
            let (steps, by_zone) = (allocation.total(), allocation.by_zone());
            prop_assert_eq!(steps[0].effective_at, from);
            prop_assert_eq!(steps.last().unwrap().units, 0);
            prop_assert!(steps.windows(2).all(|pair| pair[0].effective_at < pair[1].effective_at));
            prop_assert!(steps.windows(2).all(|pair| pair[0].units != pair[1].units), "{:?}", steps);
            for ((_, at), units) in life.seen.iter().filter(|((of, at), _)| *of == pool && second(*at) >= from) {
                let at = second(*at);
                let is_rewritten = |(of, from, to): &(u8, Instant, Instant)| *of == pool && *from <= at && at < *to;
                if !life.rewritten.iter().any(is_rewritten) {
                    prop_assert_eq!(units_of(&steps, at), *units, "at {} in {:?}", at, steps);
                }
            }
            for at in (life.now..life.now + 7_200).step_by(20) {
                let units = in_use(&life.world, pool, second(at));
                prop_assert_eq!(units_of(&steps, second(at)), units);
            }
            for zone in [zone_name(0), zone_name(1)] {
                let is_there = |it: &&Reservation| it.pool == pool_name(pool) && it.zone.as_ref() == Some(&zone);
                for at in (life.now..life.now + 7_200).step_by(300).map(second) {
                    let is_in = |hold: &&Hold| hold.reservation().filter(is_there).is_some();
                    let occupied = holds.iter().filter(is_in).map(|hold| as_of(hold.clone(), now));
                    let units: i64 = occupied.filter(|it| !it.occupied().is_empty()).map(|it| units_at(&it, at)).sum();
                    prop_assert_eq!(by_zone.get(&zone).map_or(0, |steps| units_of(steps, at)), units);
                }
            }
        }
    }

    #[test]
    fn what_is_recalled_as_of_an_instant_is_what_was_seen_then(life in life()) {
        let mut life = lived(&life);
        let end = second(life.now + 100_000);
        life.world.set_now(end);
        let changes = life.world.tick(end);
        life.keep(changes);
        for (now, seen) in &life.snapshots {
            prop_assert_eq!(&snapshot(&life.recalled(second(*now)), second(*now)), &seen.0);
            prop_assert_eq!(&life.told(second(*now)), &seen.1);
        }
    }

    #[test]
    fn what_is_due_is_told_as_its_events_tell_it_later(life in life()) {
        let mut life = lived(&life);
        let end = second(life.now + 100_000);
        let told = |life: &Life| -> Vec<Vec<Entry>> {
            let each = |hold: Hold| {
                let mut events = life.recorded(&hold, end);
                let last = events.last().unwrap().hold.clone();
                events.extend(Recorded::due(&last, end));
                history(&events)
            };
            reservations(&life.world).into_iter().map(each).collect()
        };
        let before = told(&life);
        life.world.set_now(end);
        let changes = life.world.tick(end);
        life.keep(changes);
        prop_assert_eq!(told(&life), before);
    }

    #[test]
    fn hours_are_those_that_passed(life in life()) {
        let life = lived(&life);
        let now = second(life.now);
        for hold in reservations(&life.world) {
            let mut statement = Statement::default();
            let events = life.recorded(&hold, second(life.now));
            let last = events.last().unwrap().hold.clone();
            events.into_iter().chain(Recorded::due(&last, now)).for_each(|event| statement.add(event));
            let stated = statement.finish(now, hold.clone());
            let active = life.active.get(&hold.id).copied().unwrap_or(0);
            prop_assert_eq!(stated.sums.active, i128::from(active) * 1_000_000);
            let idle = life.idle.get(&hold.id).copied().unwrap_or(0);
            prop_assert_eq!(stated.sums.idle, i128::from(idle) * 1_000_000);
            prop_assert!(stated.sums.active <= stated.sums.reserved || stated.hold.status.is_terminal());
            // What was granted is what it cost: each grant is rounded by itself.
            let cost = |grant: &Grant| {
                let Interval { quantity, .. } = grant.interval;
                cost_cents(quantity, grant.interval.seconds(), grant.unit_price_cents)
            };
            let costs: i64 = stated.grants.iter().map(cost).sum();
            prop_assert_eq!(costs, stated.hold.reservation().unwrap().total_price_cents);
        }
    }
}

/// A reservation with these intervals, in minutes, that is placed before all of them.
fn reserved(parts: &[(i64, i64, u32)]) -> Hold {
    let mut world = World::new(minute(-1));
    world.batch(&[request("acme", 1, put(0, 100))]);
    let intervals: Vec<Interval> = parts
        .iter()
        .map(|(from, to, quantity)| Interval { start: minute(*from), end: minute(*to), quantity: *quantity })
        .collect();
    let reserve = Reserve {
        pool: Some(pool_name(0)),
        wanted_kind: None,
        name: None,
        positions: None,
        intervals,
        tags: None,
        launch_specification: None,
        price: PriceLimit::default(),
        hold_seconds: None,
        zone: None,
    };
    let (outcomes, _) = world.batch(&[request("acme", 2, Command::Reserve(reserve))]);
    match outcomes.into_iter().next().unwrap().unwrap() {
        Answer::Reservation(hold) => *hold,
        other => panic!("{other:?}"),
    }
}

fn steps(holds: &[Hold], from: i64) -> Vec<(i64, i64)> {
    let steps = allocation(holds, 0, minute(from), minute(from)).total();
    steps.iter().map(|step| ((step.effective_at - minute(0)).num_minutes(), step.units)).collect()
}

#[test]
fn a_schedule_begins_where_it_is_asked_to_and_ends_with_nothing() {
    let hold = reserved(&[(10, 20, 3), (20, 30, 3), (40, 50, 1)]);
    let over = |minutes| vec![(minutes, 0)];
    assert_eq!(steps(&[], 0), over(0));
    assert_eq!(steps(std::slice::from_ref(&hold), 0), [(0, 0), (10, 3), (30, 0), (40, 1), (50, 0)]);
    assert_eq!(steps(std::slice::from_ref(&hold), 10), [(10, 3), (30, 0), (40, 1), (50, 0)]);
    assert_eq!(steps(std::slice::from_ref(&hold), 29), [(29, 3), (30, 0), (40, 1), (50, 0)]);
    assert_eq!(steps(std::slice::from_ref(&hold), 30), [(30, 0), (40, 1), (50, 0)]);
    assert_eq!(steps(std::slice::from_ref(&hold), 50), over(50), "an end at the beginning is no part of it");
    assert_eq!(steps(&[hold, reserved(&[(30, 40, 3)])], 0), [(0, 0), (10, 3), (40, 1), (50, 0)], "equal ones are one");
}

#[test]
fn a_reservation_of_672_intervals_has_its_672_steps() {
    let parts: Vec<(i64, i64, u32)> = (0..672).map(|n| (n, n + 1, 1 + u32::try_from(n % 2).unwrap())).collect();
    let hold = reserved(&parts);
    let found = steps(std::slice::from_ref(&hold), 0);
    assert_eq!(found.len(), 673);
    assert!(found.iter().take(672).all(|(at, units)| *units == 1 + at % 2));
    assert_eq!(found[672], (672, 0));
    let twice = steps(&[hold.clone(), hold], 671);
    assert_eq!(twice, [(671, 4), (672, 0)]);
}

fn lines(entries: &[Entry]) -> Vec<String> {
    let line = |entry: &Entry| {
        let seconds = (entry.at - minute(0)).num_seconds();
        let kind = match entry.kind {
            EntryKind::Event(event_type) => event_type.name().to_owned(),
            kind => format!("{kind:?}"),
        };
        entry.count.map_or(format!("{seconds} {kind}"), |count| format!("{seconds} {kind} {count}"))
    };
    entries.iter().map(line).collect()
}

/// Reductions from 5 units to 1, at these seconds.
fn reductions(seconds: [i64; 4]) -> Vec<Recorded> {
    let hold = as_of(reserved(&[(0, 60, 5)]), minute(0));
    let event = |event_type, effective_at, hold| Recorded {
        event_type,
        effective_at,
        actor: None,
        return_credit_cents: None,
        pause_credit_cents: None,
        hold,
    };
    let mut events = vec![event(EventType::Active, minute(0), hold.clone())];
    for (seconds, gone) in seconds.into_iter().zip(1..) {
        let mut hold = hold.clone();
        hold.version = 2 + gone;
        let reservation = hold.reservation_mut().unwrap();
        reservation.units = reservation.units.without(&(5 - gone..5).collect::<Vec<_>>());
        events.push(event(EventType::Reduced, second(seconds), hold));
    }
    events
}

#[test]
fn changes_of_units_within_a_minute_are_told_as_one() {
    let told = lines(&history(&reductions([61, 119, 120, 200])));
    let expected = [
        "0 active",
        "61 reduced",
        "61 TermsChanged",
        "61 UnitsStopped 2",
        "119 reduced",
        "119 TermsChanged",
        "120 reduced",
        "120 TermsChanged",
        "120 UnitsStopped 1",
        "200 reduced",
        "200 TermsChanged",
        "200 UnitsStopped 1",
    ];
    assert_eq!(told, expected, "of what ran before the first that is known nothing is told");
}

#[test]
fn a_long_history_is_parted_between_two_windows() {
    let entries = history(&reductions([61, 119, 120, 200]));
    assert_eq!(later_part(&entries), 6, "half of twelve, and a border at once");
    assert_eq!(later_part(&entries[..7]), 6);
    assert_eq!(later_part(&entries[..6]), 1, "behind the half there is none");
    assert_eq!(later_part(&entries[1..6]), 0);
    assert_eq!(later_part(&[]), 0);
}

/// A life of these commands, each at its second; the latest reservation is number 0.
fn lived_at(ops: &[(i64, Op)]) -> Life {
    let mut before = 0;
    let steps: Vec<(i64, bool, Op)> = ops
        .iter()
        .map(|(second, op)| {
            let passed = second - before;
            before = *second;
            (passed, false, op.clone())
        })
        .collect();
    lived(&steps)
}

fn reserve_now(minutes: i64) -> Op {
    Op::Reserve { pool: 1, starts_in: 0, parts: vec![(0, minutes, 2)], hold_seconds: None, zone: None }
}

fn recalled_versions(life: &Life, at: i64) -> Vec<u32> {
    life.recalled(second(at)).into_iter().map(|hold| as_of(hold, second(at)).version).collect()
}

#[test]
fn a_setting_that_came_later_announces_no_end_before() {
    // Ends are announced 330 seconds before them from the second `Put` on, and an extension takes that over.
    let put = |capacity| Op::Put { pool: 1, capacity, of_zone: 8, force: None };
    let ops = [
        (0, put(6)),
        (0, reserve_now(10)),
        (500, put(8)),
        (500, Op::Extend { which: 0, end: 30 }),
        (510, Op::Update { which: 0, paused: None, name: Some(1) }),
    ];
    let life = lived_at(&ops);
    assert_eq!(recalled_versions(&life, 499), [2], "placed and active");
    assert_eq!(recalled_versions(&life, 500), [3], "extended");
    assert_eq!(recalled_versions(&life, 1_469), [4], "updated");
    assert_eq!(recalled_versions(&life, 1_470), [5], "announced");
}

#[test]
fn an_announcement_is_told_of_the_end_that_it_was_made_for() {
    // 165 seconds before the end, and then none: what was due was due.
    let put = |capacity| Op::Put { pool: 1, capacity, of_zone: 8, force: None };
    let ops = [(0, put(7)), (0, reserve_now(10)), (400, put(6)), (590, Op::Extend { which: 0, end: 30 })];
    let life = lived_at(&ops);
    assert_eq!(recalled_versions(&life, 434), [2]);
    assert_eq!(recalled_versions(&life, 435), [3], "it was due, and had no event yet");
    assert_eq!(recalled_versions(&life, 1_799), [4], "extended, without an announcement");
}

#[test]
fn a_pause_that_its_end_ends_is_credited_as_of_that_end() {
    let pause = Op::Update { which: 0, paused: Some(true), name: None };
    let name = Op::Update { which: 0, paused: None, name: Some(1) };
    let mut life = lived_at(&[(0, reserve_now(10)), (60, pause), (120, name)]);
    let end = second(600);
    let before = life.told(end);
    life.world.set_now(second(700));
    let changes = life.world.tick(second(700));
    life.keep(changes);
    assert_eq!(life.told(end), before);
    // 2 units for 540 seconds at 43.21 an hour, rounded.
    let credits: Vec<i64> = before.values().map(|(_, sums)| sums.pause_credit_cents).collect();
    assert_eq!(credits, [(2 * 540 * ops::PAUSE_PRICE + 1_800) / 3_600]);
}
