//! The load of a pool against a vector of minutes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::resource::CapacityStep;

/// The minutes that the model knows.
const MINUTES: i64 = 24;

fn minute(number: i64) -> Instant {
    from_micros(1_800_000_000_000_000 + number * 60_000_000)
}

fn id(number: u8) -> HoldId {
    HoldId::from_uuid(Uuid::from_u128(u128::from(number)))
}

fn span(start: i64, end: i64, units: i64) -> Delta {
    Delta { start: minute(start), end: minute(end), units }
}

/// What a hold has, said in full and never as a change.
#[derive(Clone, Debug, Default)]
struct Held {
    spans: Vec<Delta>,
    lapses_at: Option<Instant>,
    has_lapsed: bool,
}

#[derive(Debug, Default)]
struct Model {
    holds: BTreeMap<HoldId, Held>,
    capacity: Vec<i64>,
    folded: i64,
}

impl Model {
    fn load(&self) -> Vec<i64> {
        let live = self.holds.values().filter(|held| !held.has_lapsed).flat_map(|held| &held.spans);
        let live: Vec<&Delta> = live.collect();
        let units = |at: Instant| -> i64 {
            live.iter().filter(|span| span.start <= at && at < span.end).map(|span| span.units).sum()
        };
        (0..MINUTES).map(|at| units(minute(at)) - self.capacity[at as usize]).collect()
    }

    fn check(&self, usage: &Usage) {
        let load = self.load();
        let at = |number: i64| load[number as usize];
        for start in self.folded..MINUTES {
            for end in start + 1..=MINUTES {
                let peak = (start..end).map(at).max().unwrap();
                assert_eq!(usage.peak(minute(start), minute(end)), peak, "{start}..{end}");
            }
            for limit in [-4, 0, 2] {
                let above = (start..MINUTES).find(|number| at(*number) > limit).map(minute);
                assert_eq!(usage.first_above(minute(start), limit), above, "{start} above {limit}");
                // Behind the minutes that the model knows the load may still fall.
                let low = usage.first_at_most(minute(start), limit).filter(|at| *at < minute(MINUTES));
                let at_most = (start..MINUTES).find(|number| at(*number) <= limit).map(minute);
                assert_eq!(low, at_most, "{start} at most {limit}");
            }
        }
        let from = self.folded;
        let mut stretches: Vec<(Instant, Option<Instant>, i64)> = Vec::new();
        for number in (from..MINUTES).filter(|number| at(*number) > 0) {
            let end = Some(minute(number + 1));
            match stretches.last_mut().filter(|last| last.1 == Some(minute(number))) {
                Some(last) => *last = (last.0, end, last.2.max(at(number))),
                None => stretches.push((minute(number), end, at(number))),
            }
        }
        assert_eq!(usage.overcommitted(minute(from)), stretches);
    }
}

#[derive(Clone, Debug)]
enum Op {
    /// A hold's new state, with or without a time at which it lapses.
    Set {
        hold: u8,
        spans: Vec<(i64, i64, i64)>,
        lapses_at: Option<i64>,
    },
    Lapse(i64),
    Undo,
    Fold(i64),
    Capacity(Vec<(i64, u32)>),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let spans = prop::collection::vec((0i64..16, 1i64..9, 1i64..5), 0..3)
        .prop_map(|spans| spans.into_iter().map(|(start, length, units)| (start, start + length, units)).collect());
    let set = (0u8..5, spans, prop::option::of(0i64..24)).prop_map(|(hold, spans, lapses_at)| Op::Set {
        hold,
        spans,
        lapses_at,
    });
    let capacity = prop::collection::btree_map(0i64..MINUTES - 1, 0u32..9, 1..4);
    let op = prop_oneof![
        8 => set,
        2 => (0i64..24).prop_map(Op::Lapse),
        3 => Just(Op::Undo),
        1 => (0i64..12).prop_map(Op::Fold),
        1 => capacity.prop_map(|steps| Op::Capacity(steps.into_iter().collect())),
    ];
    prop::collection::vec(op, 1..30)
}

fn capacity_of(steps: &[(i64, u32)]) -> Capacity {
    match steps {
        [(_, quantity)] => Capacity::Constant(*quantity),
        steps => Capacity::Schedule(
            steps
                .iter()
                .map(|(at, quantity)| CapacityStep { effective_at: minute(*at), quantity: *quantity })
                .collect(),
        ),
    }
}

fn run(ops: Vec<Op>) {
    let mut usage = Usage::new(&Capacity::Constant(0));
    let mut model = Model { capacity: vec![0; MINUTES as usize], ..Model::default() };
    let mut undos: Vec<(HoldId, Held, Undo)> = Vec::new();
    for op in ops {
        match op {
            Op::Set { hold, spans, lapses_at } => {
                let hold = id(hold);
                let before = model.holds.get(&hold).cloned().unwrap_or_default();
                let spans: Vec<Delta> = spans.iter().map(|(start, end, units)| span(*start, *end, *units)).collect();
                let gone = before.spans.iter().map(|span| Delta { units: -span.units, ..*span });
                let change: Vec<Delta> = gone.chain(spans.iter().copied()).collect();
                // What was placed once is never held again.
                let may_lapse = before.spans.is_empty() || before.lapses_at.is_some();
                let lapses_at = lapses_at.filter(|_| may_lapse).map(minute);
                let undo = usage.apply(hold, &change, lapses_at);
                undos.push((hold, before, undo));
                model.holds.insert(hold, Held { spans, lapses_at, has_lapsed: false });
            }
            Op::Lapse(now) => {
                usage.lapse(minute(now));
                for held in model.holds.values_mut() {
                    held.has_lapsed |= held.lapses_at.is_some_and(|lapses_at| lapses_at <= minute(now));
                }
            }
            Op::Undo => {
                if let Some((hold, before, undo)) = undos.pop() {
                    usage.undo(undo);
                    model.holds.insert(hold, before);
                }
            }
            Op::Fold(until) => {
                usage.fold(minute(until));
                model.folded = model.folded.max(until);
            }
            Op::Capacity(steps) => {
                let capacity = capacity_of(&steps);
                usage.set_capacity(&capacity);
                model.capacity = (0..MINUTES).map(|at| i64::from(capacity.at(minute(at)))).collect();
            }
        }
        model.check(&usage);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_load_is_what_a_vector_of_minutes_says(ops in ops()) {
        run(ops);
    }
}

#[test]
fn a_lapsed_claim_is_not_taken_out_again_by_its_event() {
    let mut usage = Usage::new(&Capacity::Constant(8));
    usage.apply(id(1), &[span(0, 10, 5)], Some(minute(3)));
    usage.lapse(minute(2));
    assert_eq!(usage.peak(minute(0), minute(10)), -3, "its time has not come");
    usage.lapse(minute(3));
    assert_eq!(usage.peak(minute(0), minute(10)), -8, "it lapses at the very instant");
    usage.apply(id(1), &[span(0, 10, -5)], None);
    assert_eq!(usage.peak(minute(0), minute(10)), -8, "the event changes nothing more");
    usage.lapse(minute(9));
    assert_eq!(usage.peak(minute(0), minute(10)), -8);
}

#[test]
fn a_claim_that_lapsed_before_its_event_was_taken_back_stays_lapsed() {
    let mut usage = Usage::new(&Capacity::Constant(8));
    usage.apply(id(1), &[span(0, 10, 5)], Some(minute(3)));
    usage.lapse(minute(3));
    let expired = usage.apply(id(1), &[span(0, 10, -5)], None);
    usage.undo(expired);
    assert_eq!(usage.peak(minute(0), minute(10)), -8);
    usage.lapse(minute(4));
    assert_eq!(usage.peak(minute(0), minute(10)), -8);
}

#[test]
fn a_new_claim_that_lapsed_is_taken_back_without_a_trace() {
    let mut usage = Usage::new(&Capacity::Constant(8));
    let held = usage.apply(id(1), &[span(0, 10, 5)], Some(minute(3)));
    usage.lapse(minute(3));
    usage.undo(held);
    assert_eq!(usage.peak(minute(0), minute(10)), -8);
    assert!(usage.claims.is_empty() && usage.due.is_empty());
}

#[test]
fn a_schedule_has_no_capacity_before_its_first_step() {
    let step = |at, quantity| CapacityStep { effective_at: minute(at), quantity };
    let usage = Usage::new(&Capacity::Schedule(vec![step(5, 4), step(8, 0), step(9, 6)]));
    assert_eq!(usage.peak(minute(0), minute(5)), 0);
    assert_eq!(usage.peak(minute(5), minute(8)), -4);
    assert_eq!(usage.peak(minute(7), minute(9)), 0, "the step to nothing");
    assert_eq!(usage.peak(minute(9), minute(1_000_000)), -6);
}

#[test]
fn the_largest_quantities_add_up_without_overflow() {
    let mut usage = Usage::new(&Capacity::Constant(u32::MAX));
    for number in 0..200 {
        usage.apply(id(number), &[span(0, 10, i64::from(u32::MAX))], None);
    }
    assert_eq!(usage.peak(Instant::MIN_UTC, Instant::MAX_UTC), 199 * i64::from(u32::MAX));
    assert_eq!(usage.first_above(Instant::MIN_UTC, i64::MAX), None);
    assert_eq!(usage.first_above(Instant::MIN_UTC, i64::MIN), Some(Instant::MIN_UTC));
}
