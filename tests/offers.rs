//! Counter-offers against all that could have been offered: each is granted when it is sent, and none that is nearer
//! to what was asked for would have been.
#![allow(clippy::unwrap_used, clippy::panic)] // tests may fail loudly

#[allow(dead_code)] // others need more of it
mod world;

use std::collections::BTreeMap;

use berth::domain::command::{Command, Extend, PoolPut, PriceLimit, Request, Reserve};
use berth::domain::counter::{CounterOffer, Instead, OfferReason};
use berth::domain::id::{PoolName, ZoneName};
use berth::domain::outcome::{Answer, Outcome, Refusal};
use berth::domain::resource::{Capacity, CapacityStep, Policy, Zones};
use berth::domain::window::{Instant, Interval, from_micros};
use proptest::prelude::*;
use world::{World, request};

/// Everything happens within so many grains.
const GRAINS: i64 = 40;
const GRAIN_SECONDS: u32 = 600;

/// The beginning of a grain, counted from the running one.
fn grain(number: i64) -> Instant {
    from_micros((2_000_000 + number) * i64::from(GRAIN_SECONDS) * 1_000_000)
}

fn pool() -> PoolName {
    PoolName::parse("gpu").unwrap()
}

#[derive(Clone, Debug)]
struct Asked {
    starts: i64,
    /// Each interval as gap before it, length in grains, quantity.
    parts: Vec<(i64, i64, u32)>,
}

impl Asked {
    fn intervals(&self) -> Vec<Interval> {
        let mut at = self.starts;
        let interval = |(gap, length, quantity): &(i64, i64, u32)| {
            let start = at + gap;
            at = start + length;
            Interval { start: grain(start), end: grain(at), quantity: *quantity }
        };
        self.parts.iter().map(interval).collect()
    }
}

fn reserve(intervals: Vec<Interval>, hold_seconds: Option<u32>) -> Reserve {
    Reserve {
        pool: Some(pool()),
        wanted_kind: None,
        name: None,
        positions: (intervals.len() > 1).then(|| (0..intervals.len()).collect()),
        intervals,
        tags: None,
        launch_specification: None,
        price: PriceLimit::default(),
        hold_seconds,
        zone: None,
    }
}

fn put(capacity: Capacity, policy: Policy, zones: Zones) -> Command {
    let (instance_type, region, instance_spec, tags) = (None, None, None, None);
    Command::PoolPut(PoolPut {
        pool: pool(),
        capacity,
        instance_type,
        region,
        policy,
        offers: Vec::new(),
        instance_spec,
        tags,
        zones,
        force: None,
    })
}

fn asked(quantity: std::ops::Range<u32>, parts: std::ops::Range<usize>) -> impl Strategy<Value = Asked> {
    let part = (prop_oneof![2 => Just(0i64), 1 => 1i64..4], 1i64..7, quantity);
    (0i64..14, prop::collection::vec(part, parts)).prop_map(|(starts, parts)| Asked { starts, parts })
}

fn policy() -> impl Strategy<Value = Policy> {
    let bounds = (prop_oneof![Just(1u32), Just(2)], prop::option::of(1u32..4), prop::option::of(4u32..12));
    let times = (prop::option::of(1u32..4), prop::option::of(3u32..14), 20u32..40, 0u32..3);
    (bounds, times).prop_map(|((step, min, max), (shortest, longest, horizon, lead))| Policy {
        grain_seconds: GRAIN_SECONDS,
        quantity_step: step,
        quantity_min: min,
        quantity_max: max,
        duration_min_seconds: shortest.map(|grains| grains * GRAIN_SECONDS),
        duration_max_seconds: longest.map(|grains| grains * GRAIN_SECONDS),
        horizon_seconds: horizon * GRAIN_SECONDS,
        lead_time_seconds: lead * GRAIN_SECONDS,
        ..Policy::default()
    })
}

/// Capacity, what is booked of it, and the policy that is asked under. Booked on a finer grid too.
#[derive(Clone, Debug)]
struct Setting {
    capacity: Vec<(i64, u32)>,
    /// What there is of the zone, and whether it is asked for.
    of_zone: Vec<(i64, u32)>,
    in_zone: bool,
    booked: Vec<(Asked, Option<u32>, bool, bool)>,
    policy: Policy,
    seconds_past: u32,
}

fn setting() -> impl Strategy<Value = Setting> {
    let steps = || (prop::collection::btree_map(1i64..30, 0u32..9, 0..3), 4u32..9);
    let booked = (asked(1..6, 1..3), prop::option::of(1u32..1_200), any::<bool>(), any::<bool>());
    let booked = prop::collection::vec(booked, 0..9);
    let parts = (steps(), steps(), any::<bool>(), booked, policy(), 0u32..GRAIN_SECONDS);
    parts.prop_map(|(of_pool, of_zone, in_zone, booked, policy, seconds_past)| {
        let all = |(steps, first): (BTreeMap<i64, u32>, u32)| std::iter::once((-1_000, first)).chain(steps).collect();
        Setting { capacity: all(of_pool), of_zone: all(of_zone), in_zone, booked, policy, seconds_past }
    })
}

struct Offered {
    world: World,
    count: u64,
    /// Where everything is asked for.
    zone: Option<ZoneName>,
}

fn zone() -> ZoneName {
    ZoneName::parse("a").unwrap()
}

impl Offered {
    fn new(setting: &Setting) -> Offered {
        let zone_asked = setting.in_zone.then(zone);
        let mut offered = Offered { world: World::new(grain(0)), count: 0, zone: zone_asked };
        let step = |(at, quantity): &(i64, u32)| CapacityStep { effective_at: grain(*at), quantity: *quantity };
        let capacity = Capacity::Schedule(setting.capacity.iter().map(step).collect());
        let zones: Zones = [(zone(), Some(Capacity::Schedule(setting.of_zone.iter().map(step).collect())))].into();
        offered.send(put(capacity.clone(), Policy { grain_seconds: 60, ..Policy::default() }, zones.clone())).unwrap();
        for (asked, hold_seconds, is_odd, is_in_zone) in &setting.booked {
            let mut intervals = asked.intervals();
            let shift = chrono::TimeDelta::seconds(if *is_odd { 240 } else { 0 });
            intervals.iter_mut().for_each(|it| (it.start, it.end) = (it.start + shift, it.end + shift));
            let reserve = Reserve { zone: is_in_zone.then(zone), ..reserve(intervals, *hold_seconds) };
            let _ = offered.send(Command::Reserve(reserve));
        }
        offered.send(put(capacity, setting.policy.clone(), zones)).unwrap();
        offered.world.set_now(grain(0) + chrono::TimeDelta::seconds(i64::from(setting.seconds_past)));
        offered
    }

    fn send(&mut self, command: Command) -> Outcome {
        self.count += 1;
        self.world.batch(&[request("acme", self.count, command)]).0.remove(0)
    }

    fn ask(&mut self, command: Command) -> Outcome {
        let request = Request { is_dry_run: true, ..request("acme", self.count + 1, command) };
        self.world.batch(&[request]).0.remove(0)
    }

    fn wanted(&self, intervals: Vec<Interval>, hold_seconds: Option<u32>) -> Command {
        Command::Reserve(Reserve { zone: self.zone.clone(), ..reserve(intervals, hold_seconds) })
    }

    fn is_granted(&mut self, intervals: Vec<Interval>) -> bool {
        let wanted = self.wanted(intervals, None);
        self.ask(wanted).is_ok()
    }
}

fn shifted(intervals: &[Interval], grains: i64) -> Vec<Interval> {
    let by = chrono::TimeDelta::seconds(grains * i64::from(GRAIN_SECONDS));
    intervals.iter().map(|it| Interval { start: it.start + by, end: it.end + by, ..*it }).collect()
}

fn grains_between(from: Instant, to: Instant) -> i64 {
    (to - from).num_seconds() / i64::from(GRAIN_SECONDS)
}

/// The same intervals up to an end.
fn up_to(intervals: &[Interval], end: Instant) -> Vec<Interval> {
    let before = intervals.iter().filter(|it| it.start < end);
    before.map(|it| Interval { end: it.end.min(end), ..*it }).collect()
}

fn find(instead: &Instead, reason: OfferReason) -> Option<&[Interval]> {
    let offer = instead.offers.iter().find(|offer: &&CounterOffer| offer.reason == reason)?;
    Some(&offer.request.intervals)
}

fn check_later(offered: &mut Offered, wanted: &[Interval], instead: &Instead) {
    let later = find(instead, OfferReason::LaterStart);
    let grains = later.map(|later| grains_between(wanted[0].start, later[0].start));
    for earlier in 1..grains.unwrap_or(GRAINS) {
        assert!(!offered.is_granted(shifted(wanted, earlier)), "{earlier} grains later would do, not {grains:?}");
    }
    if let (Some(later), Some(grains)) = (later, grains) {
        assert_eq!(later, shifted(wanted, grains));
    }
}

/// Each interval by itself could not have kept more; and what is given nothing for could not have kept anything.
fn check_smaller(offered: &mut Offered, wanted: &[Interval], instead: &Instead, failing: &[usize]) {
    let smaller = find(instead, OfferReason::SmallerQuantity);
    if let (None, [only]) = (smaller, wanted) {
        for quantity in 1..only.quantity {
            assert!(!offered.is_granted(vec![Interval { quantity, ..*only }]), "{quantity} would do");
        }
    }
    let Some(smaller) = smaller else { return };
    for (index, (was, is)) in wanted.iter().zip(smaller).enumerate() {
        assert_eq!((was.start, was.end), (is.start, is.end));
        assert_eq!(was.quantity > is.quantity, failing.contains(&index), "only what does not fit is cut");
        for quantity in is.quantity + 1..=was.quantity {
            let mut more = smaller.to_vec();
            more[index].quantity = quantity;
            assert!(!offered.is_granted(more), "{quantity} in interval {index} would do");
        }
    }
}

fn check_shorter(offered: &mut Offered, wanted: &[Interval], instead: &Instead) {
    let shorter = find(instead, OfferReason::Shorter);
    let is_one_run = wanted.windows(2).all(|pair| pair[0].end == pair[1].start);
    if !is_one_run {
        return assert_eq!(shorter, None);
    }
    let (start, end) = (wanted[0].start, wanted[wanted.len() - 1].end);
    let grains = shorter.map_or(0, |shorter| grains_between(start, shorter[shorter.len() - 1].end));
    for more in grains + 1..grains_between(start, end) {
        let until = shifted(&[Interval { start, end: start, quantity: 1 }], more)[0].end;
        assert!(!offered.is_granted(up_to(wanted, until)), "{more} grains would do, not {grains}");
    }
    if let Some(shorter) = shorter {
        assert_eq!(shorter, up_to(wanted, shorter[shorter.len() - 1].end));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn every_offer_is_granted_and_none_could_be_nearer(setting in setting(), wanted in asked(1..12, 1..4)) {
        let mut offered = Offered::new(&setting);
        let wanted = wanted.intervals();
        let asked = offered.wanted(wanted.clone(), Some(60));
        let outcome = offered.ask(asked);
        let Err(Refusal::InsufficientCapacity { intervals, instead }) = outcome else { return Ok(()) };
        let failing: Vec<usize> =
            intervals.iter().map(|it| wanted.iter().position(|wanted| wanted.start == it.start).unwrap()).collect();
        for offer in &instead.offers {
            prop_assert_eq!(offer.request.hold_seconds, Some(60), "what was asked for otherwise stays");
            prop_assert_eq!(&offer.request.zone, &offered.zone);
            let granted = offered.ask(Command::Reserve(offer.request.clone()));
            prop_assert!(granted.is_ok(), "{:?} is refused: {granted:?}", offer);
        }
        check_later(&mut offered, &wanted, &instead);
        check_smaller(&mut offered, &wanted, &instead, &failing);
        check_shorter(&mut offered, &wanted, &instead);
    }

    #[test]
    fn an_extension_is_granted_up_to_the_end_that_it_is_told(
        setting in setting(),
        first in asked(1..5, 1..3),
        grains in 1i64..16,
    ) {
        let mut offered = Offered::new(&setting);
        let first = offered.wanted(first.intervals(), None);
        let Ok(Answer::Reservation(hold)) = offered.send(first) else {
            return Ok(());
        };
        let present = hold.reservation().unwrap().end_time;
        let until = |grains| shifted(&[Interval { start: present, end: present, quantity: 1 }], grains)[0].end;
        let extend = |grains| Command::Extend(Extend { id: hold.id, end_time: until(grains), price: PriceLimit::default() });
        let outcome = offered.ask(extend(grains));
        let Err(Refusal::InsufficientCapacity { instead, .. }) = outcome else { return Ok(()) };
        let latest = grains_between(present, instead.latest_end.unwrap());
        prop_assert!(instead.offers.is_empty());
        prop_assert!(latest < grains && offered.ask(extend(latest)).is_ok());
        for later in latest + 1..grains {
            prop_assert!(offered.ask(extend(later)).is_err(), "{} grains would do, not {}", later, latest);
        }
    }
}

/// A pool in which every other grain is full, so often; then it is free.
fn combed(teeth: i64) -> Offered {
    let quantity = |at: i64| u32::from(at == 2 * teeth || at % 2 == 0);
    let steps = (0..=2 * teeth).map(|at| CapacityStep { effective_at: grain(at), quantity: quantity(at) });
    let mut offered = Offered { world: World::new(grain(0)), count: 0, zone: None };
    let policy = Policy { grain_seconds: GRAIN_SECONDS, ..Policy::default() };
    offered.send(put(Capacity::Schedule(steps.collect()), policy, Zones::new())).unwrap();
    offered
}

#[test]
fn a_later_start_is_looked_for_only_so_often() {
    let wanted = vec![Interval { start: grain(0), end: grain(2), quantity: 1 }];
    for (teeth, is_found) in [(200, true), (400, false)] {
        let outcome = combed(teeth).ask(Command::Reserve(reserve(wanted.clone(), None)));
        let Err(Refusal::InsufficientCapacity { instead, .. }) = outcome else { panic!("{outcome:?}") };
        let expected = is_found.then(|| shifted(&wanted, 2 * teeth));
        assert_eq!(find(&instead, OfferReason::LaterStart), expected.as_deref(), "{teeth} gaps that are too short");
    }
}
