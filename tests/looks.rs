//! What is answered beforehand against what the commands then do: each of them tried, one by one, on the same pool.
#![allow(clippy::unwrap_used, clippy::panic)] // tests may fail loudly, their helpers too

mod world;

use berth::domain::command::{Cancel, Part};
use berth::domain::command::{Command, Confirm, Extend, PoolPut, PriceLimit, Reserve, Terminate};
use berth::domain::decide::decide;
use berth::domain::id::{HoldId, PoolName};
use berth::domain::look::{Availability, Find, Look, Looked, Mode, Target};
use berth::domain::outcome::{Answer, Outcome};
use berth::domain::resource::{Capacity, CapacityStep, Policy, Zones};
use berth::domain::state::{Changes, Decided};
use berth::domain::window::{Instant, Interval, ceil, floor, from_micros, is_aligned};
use proptest::prelude::*;
use world::{World, request};

/// How many minutes are tried.
const MINUTES: i64 = 60;

/// Minute 0 is on every grid that is used here.
fn minute(number: i64) -> Instant {
    from_micros(1_800_000_000_000_000 + number * 60_000_000)
}

fn pool(number: usize) -> PoolName {
    PoolName::parse(&format!("pool-{number}")).unwrap()
}

fn target(number: usize) -> Target {
    Target { pool: Some(pool(number)), wanted_kind: None }
}

/// A pool as it is put, and what is done with it.
#[derive(Clone, Debug)]
struct Setting {
    policy: Policy,
    /// Minute and units, ascending; a single step is a constant capacity.
    capacity: Vec<(i64, u32)>,
    bookings: Vec<Booking>,
    /// The minute, and microseconds of it, at which all is asked.
    now: (i64, i64),
}

#[derive(Clone, Debug)]
struct Booking {
    start: i64,
    length: i64,
    quantity: u32,
    hold_seconds: Option<u32>,
    then: Then,
}

#[derive(Clone, Debug)]
enum Then {
    Nothing,
    Confirm,
    Cancel,
    Terminate(u32),
}

fn policy() -> impl Strategy<Value = Policy> {
    let grains = prop::sample::select(vec![60u32, 120, 300]);
    let quantities = (1u32..4, prop::option::of(1u32..4), prop::option::of(2u32..9));
    let durations = (prop::option::of(1u32..5), prop::option::of(4u32..20));
    let times = (prop::sample::select(vec![0u32, 0, 90, 300]), 10u32..70);
    (grains, quantities, durations, times, prop::bool::weighted(0.95)).prop_map(
        |(grain, (step, least, most), (shortest, longest), (lead_time_seconds, horizon), enabled)| Policy {
            grain_seconds: grain,
            quantity_step: step,
            quantity_min: least,
            quantity_max: most.map(|most| most.max(least.unwrap_or(1))),
            duration_min_seconds: shortest.map(|count| count * 60),
            duration_max_seconds: longest.map(|count| count * 60),
            lead_time_seconds,
            horizon_seconds: horizon * 60 + 30,
            enabled,
            ..Policy::default()
        },
    )
}

fn booking() -> impl Strategy<Value = Booking> {
    let then = prop_oneof![
        4 => Just(Then::Nothing),
        1 => Just(Then::Confirm),
        1 => Just(Then::Cancel),
        2 => (1u32..4).prop_map(Then::Terminate),
    ];
    (0i64..40, 1i64..12, 1u32..5, prop::option::weighted(0.3, 1u32..900), then).prop_map(
        |(start, length, quantity, hold_seconds, then)| Booking { start, length, quantity, hold_seconds, then },
    )
}

fn setting() -> impl Strategy<Value = Setting> {
    let capacity = prop::collection::btree_map(0i64..50, 0u32..9, 1..5);
    let now = (0i64..15, prop::sample::select(vec![0i64, 1, 29_500_000]));
    (policy(), capacity, prop::collection::vec(booking(), 0..9), now).prop_map(|(policy, capacity, bookings, now)| {
        Setting { policy, capacity: capacity.into_iter().collect(), bookings, now }
    })
}

fn capacity(steps: &[(i64, u32)]) -> Capacity {
    let step = |(at, quantity): &(i64, u32)| CapacityStep { effective_at: minute(*at), quantity: *quantity };
    match steps {
        [(_, quantity)] => Capacity::Constant(*quantity),
        steps => Capacity::Schedule(steps.iter().map(step).collect()),
    }
}

/// A world with some pools, their bookings made when nothing but a free grid bound them.
struct Tried {
    world: World,
    count: u64,
    ids: Vec<HoldId>,
}

impl Tried {
    fn new(settings: &[Setting]) -> Tried {
        let mut tried = Tried { world: World::new(minute(0)), count: 0, ids: Vec::new() };
        for (number, setting) in settings.iter().enumerate() {
            tried.put(number, setting, Policy { grain_seconds: 60, ..Policy::default() });
            setting.bookings.iter().for_each(|booking| tried.book(number, booking));
            tried.put(number, setting, setting.policy.clone());
        }
        // Some of what is due by now was carried out, and some was not.
        let now = settings[0].now;
        for number in 0..settings.len() {
            assert!(tried.world.peak(&pool(number), minute(0), minute(2 * MINUTES)) <= Some(0), "as much as there is");
        }
        tried.world.set_now(minute(now.0 / 2));
        tried.world.tick(minute(now.0 / 2));
        tried.world.set_now(minute(now.0) + chrono::TimeDelta::microseconds(now.1));
        tried
    }

    fn put(&mut self, number: usize, setting: &Setting, policy: Policy) {
        self.done(Command::PoolPut(PoolPut {
            pool: pool(number),
            capacity: capacity(&setting.capacity),
            instance_type: None,
            region: None,
            policy,
            offers: Vec::new(),
            instance_spec: None,
            tags: None,
            zones: Zones::new(),
            force: None,
        }))
        .unwrap();
    }

    /// What does not fit is not booked.
    fn book(&mut self, number: usize, booking: &Booking) {
        let Booking { start, length, quantity, hold_seconds, ref then } = *booking;
        let window = Interval { start: minute(start), end: minute(start + length), quantity };
        let reserve = Reserve { pool: Some(pool(number)), hold_seconds, ..Reserve::of_window(window) };
        let Ok(Answer::Reservation(hold)) = self.done(Command::Reserve(reserve)) else { return };
        let id = hold.id;
        self.ids.push(id);
        // Some of these are refused: the reservation stays as it is.
        let _ = match then {
            Then::Nothing => return,
            Then::Confirm => self.done(Command::Confirm(Confirm { id, quantity: None })),
            Then::Cancel => self.done(Command::Cancel(Cancel { id })),
            Then::Terminate(units) => self.done(Command::Terminate(Terminate { id, part: Part::Quantity(*units) })),
        };
    }

    fn done(&mut self, command: Command) -> Outcome {
        self.count += 1;
        let (mut outcomes, _) = self.world.batch(&[request("acme", self.count, command)]);
        outcomes.remove(0)
    }

    /// The outcome that it would have, taken back.
    fn would(&mut self, command: Command) -> (Outcome, Changes) {
        let request = request("acme", 1_000_000, command);
        let heads: Vec<_> = self.world.lanes.iter().map(|(lane, state)| (*lane, state.head)).collect();
        let mut state = self.world.open(std::slice::from_ref(&request), &[]);
        let outcome = decide(&mut state, &request);
        let Decided { mut lanes, changes, rollback, mut tenants } = state.finish();
        rollback.apply(&mut lanes, &mut tenants);
        self.world.lanes.extend(lanes);
        for (lane, head) in heads {
            self.world.lanes.get_mut(&lane).unwrap().head = head;
        }
        (outcome, changes)
    }

    fn can_reserve(&mut self, number: usize, start: Instant, end: Instant, quantity: u32) -> bool {
        let window = Interval { start, end, quantity };
        start < end
            && self
                .would(Command::Reserve(Reserve { pool: Some(pool(number)), ..Reserve::of_window(window) }))
                .0
                .is_ok()
    }

    /// The answer, and that nothing came of it.
    fn look(&mut self, look: Look) -> Looked {
        let (outcome, changes) = self.would(Command::Look(look));
        assert!(changes.events.is_empty() && changes.inserted.is_empty() && changes.updated.is_empty());
        assert!(changes.pools.is_empty());
        let Ok(Answer::Looked(looked)) = outcome else { panic!("{outcome:?}") };
        *looked
    }

    fn availability(&mut self, mode: Mode) -> Looked {
        self.look(Look::Availability(Availability { target: target(0), mode }))
    }

    /// The most that one reservation could have in each grain of the range, by trying; durations apart.
    fn grains(&mut self, policy: &Policy, from: Instant, to: Instant) -> Vec<Interval> {
        let unbound = Policy { duration_min_seconds: None, duration_max_seconds: None, ..policy.clone() };
        let name = pool(0);
        let lane = self.world.lanes.values_mut().find(|lane| lane.pools.contains_key(&name)).unwrap();
        lane.pools.get_mut(&name).unwrap().pool.policy = unbound;
        let grain = chrono::TimeDelta::seconds(policy.grain_seconds.into());
        let mut grains: Vec<Interval> = Vec::new();
        let mut start = ceil(from, policy.grain_seconds);
        while start + grain <= to {
            let end = start + grain;
            if let Some(quantity) = (1..9).rev().find(|quantity| self.can_reserve(0, start, end, *quantity)) {
                match grains.last_mut() {
                    Some(last) if last.end == start && last.quantity == quantity => last.end = end,
                    _ => grains.push(Interval { start, end, quantity }),
                }
            }
            start = end;
        }
        let lane = self.world.lanes.values_mut().find(|lane| lane.pools.contains_key(&name)).unwrap();
        lane.pools.get_mut(&name).unwrap().pool.policy = policy.clone();
        grains
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn check_says_what_reserve_would_do(
        setting in setting(),
        asked in prop::collection::vec((0i64..50, 1i64..20, 1u32..10), 1..20),
    ) {
        let mut tried = Tried::new(&[setting]);
        for (start, length, quantity) in asked {
            let (start, end) = (minute(start), minute(start + length));
            let fits = tried.can_reserve(0, start, end, quantity);
            let check = tried.availability(Mode::Check(Interval { start, end, quantity }));
            prop_assert_eq!(check, Looked::Check(fits));
        }
    }

    #[test]
    fn the_latest_end_fits_and_no_later_one_does(
        setting in setting(),
        asked in prop::collection::vec((0i64..50, 1u32..10), 1..12),
    ) {
        let mut tried = Tried::new(&[setting]);
        for (start, quantity) in asked {
            let start = minute(start);
            let latest = (1..=2 * MINUTES).map(|length| start + chrono::TimeDelta::minutes(length))
                .filter(|end| tried.can_reserve(0, start, *end, quantity)).last();
            prop_assert_eq!(tried.availability(Mode::LatestEnd { start, quantity }), Looked::LatestEnd(latest));
        }
    }

    #[test]
    fn slots_are_what_each_grain_could_have(setting in setting(), from in -5i64..40, length in 1i64..60, off in 0i64..2) {
        let policy = setting.policy.clone();
        let mut tried = Tried::new(&[setting]);
        let earliest_start = minute(from) + chrono::TimeDelta::seconds(off * 17);
        let latest_end = minute(from + length) + chrono::TimeDelta::seconds(off * 23);
        let slots = tried.availability(Mode::Slots { earliest_start, latest_end });
        let expected = tried.grains(&policy, earliest_start, latest_end);
        prop_assert_eq!(slots, Looked::Slots(expected));
    }

    #[test]
    fn find_gives_every_window_that_could_be_reserved_earliest_first(
        settings in prop::collection::vec(setting(), 1..4),
        from in 0i64..40, length in 1i64..60,
        duration in 1i64..12, quantity in 1u32..6, limit in 1u32..12, is_many in any::<bool>(),
    ) {
        let mut tried = Tried::new(&settings);
        let count = if is_many { settings.len() } else { 1 };
        let (earliest_start, latest_end) = (minute(from), minute(from + length));
        let find = Find {
            targets: (0..count).rev().map(target).collect(),
            is_many,
            quantity,
            duration_seconds: u32::try_from(duration * 60).unwrap(),
            earliest_start,
            latest_end,
            limit,
        };
        let mut expected = Vec::new();
        for start in (from..=from + length - duration).map(minute) {
            let end = start + chrono::TimeDelta::minutes(duration);
            for number in (0..count).rev() {
                if tried.can_reserve(number, start, end, quantity) {
                    expected.push((Interval { start, end, quantity }, is_many.then(|| pool(number))));
                }
            }
        }
        expected.truncate(limit as usize);
        prop_assert_eq!(tried.look(Look::Find(find)), Looked::Found(expected));
    }

    #[test]
    fn an_extension_reaches_exactly_as_far_as_is_said(setting in setting()) {
        let grain = setting.policy.grain_seconds;
        let mut tried = Tried::new(&[setting]);
        for id in tried.ids.clone() {
            let Looked::Extension { is_available, latest_end } = tried.look(Look::Extension(id)) else { panic!() };
            let present = tried.world.holds[&id].reservation().unwrap().end_time;
            let first = floor(present, grain);
            let mut latest = None;
            for steps in 1..=i64::from(3600 * 2 / grain) {
                let end_time = first + chrono::TimeDelta::seconds(steps * i64::from(grain));
                assert!(is_aligned(end_time, grain));
                let extend = Extend { id, end_time, price: PriceLimit::default() };
                if end_time > present && tried.would(Command::Extend(extend)).0.is_ok() {
                    latest = Some(end_time);
                }
            }
            prop_assert_eq!((is_available, latest_end), (latest.is_some(), latest.unwrap_or(present)));
        }
    }
}

#[test]
fn a_look_sees_what_came_before_it_in_its_batch_and_leaves_what_comes_behind_alone() {
    let policy = Policy { grain_seconds: 60, ..Policy::default() };
    let mut tried = Tried::new(&[Setting { policy, capacity: vec![(0, 8)], bookings: Vec::new(), now: (0, 0) }]);
    let window = Interval { start: minute(1), end: minute(2), quantity: 8 };
    let reserve = || Command::Reserve(Reserve { pool: Some(pool(0)), ..Reserve::of_window(window) });
    let check = || Command::Look(Look::Availability(Availability { target: target(0), mode: Mode::Check(window) }));
    let commands = [check(), reserve(), check(), reserve()];
    let requests: Vec<_> = (100..).zip(commands).map(|(number, command)| request("acme", number, command)).collect();
    let (outcomes, changes) = tried.world.batch(&requests);
    assert!(matches!(&outcomes[0], Ok(Answer::Looked(looked)) if **looked == Looked::Check(true)));
    assert!(matches!(&outcomes[2], Ok(Answer::Looked(looked)) if **looked == Looked::Check(false)));
    assert!(
        outcomes[1].is_ok() && outcomes[3].as_ref().is_err_and(|refusal| refusal.code() == "insufficient_capacity")
    );
    assert_eq!((changes.events.len(), changes.inserted.len()), (1, 1));
}

#[test]
fn a_thousand_slots_are_answered_and_the_next_request_goes_on_from_there() {
    let policy = Policy { grain_seconds: 60, horizon_seconds: 10 * 86_400, ..Policy::default() };
    let setting = Setting { policy, capacity: vec![(0, 8)], bookings: Vec::new(), now: (0, 0) };
    let mut tried = Tried::new(&[setting]);
    for number in 0..1_100 {
        let booking = Booking { start: 2 * number, length: 1, quantity: 8, hold_seconds: None, then: Then::Nothing };
        tried.book(0, &booking);
    }
    let range = |earliest_start| Mode::Slots { earliest_start, latest_end: minute(3_000) };
    let Looked::Slots(slots) = tried.availability(range(minute(0))) else { panic!() };
    let odd = |number: i64| Interval { start: minute(number), end: minute(number + 1), quantity: 8 };
    assert_eq!(slots, (0..1_000).map(|number| odd(2 * number + 1)).collect::<Vec<_>>());
    let Looked::Slots(rest) = tried.availability(range(slots[999].end)) else { panic!() };
    assert_eq!(rest.len(), 100);
    assert_eq!(rest[0], odd(2_001));
    assert_eq!(rest[99], Interval { end: minute(3_000), ..odd(2_199) }, "the last one is as long as the range");
}

#[test]
fn a_search_through_too_much_is_refused_and_not_answered_by_half() {
    let policy = Policy { grain_seconds: 1, ..Policy::default() };
    let setting = Setting { policy: policy.clone(), capacity: vec![(0, 1)], bookings: Vec::new(), now: (0, 0) };
    let mut tried = Tried::new(&[setting]);
    let second = |number: i64| minute(0) + chrono::TimeDelta::seconds(number);
    for number in 0..10_001 {
        let window = Interval { start: second(2 * number), end: second(2 * number + 1), quantity: 1 };
        tried.done(Command::Reserve(Reserve { pool: Some(pool(0)), ..Reserve::of_window(window) })).unwrap();
    }
    let find = |count: i64| {
        Command::Look(Look::Find(Find {
            targets: vec![target(0)],
            is_many: false,
            quantity: 1,
            duration_seconds: 2,
            earliest_start: second(0),
            latest_end: second(2 * count),
            limit: 1,
        }))
    };
    assert_eq!(tried.would(find(10_000)).0.map(|answer| format!("{answer:?}")), Ok("Looked(Found([]))".to_owned()));
    let (outcome, _) = tried.would(find(20_000));
    let refusal = outcome.unwrap_err();
    assert_eq!(refusal.code(), "invalid_request");
    assert!(refusal.to_string().starts_with("The field latest_end_time must be nearer"), "{refusal}");
}
