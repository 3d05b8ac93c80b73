//! The tree of changes against a sorted list.

use std::cell::Cell;

use proptest::prelude::*;

use super::*;

thread_local! {
    /// How many nodes were looked at on this thread.
    pub(super) static VISITS: Cell<u64> = const { Cell::new(0) };
}

fn visits_of<T>(act: impl FnOnce() -> T) -> u64 {
    let before = VISITS.get();
    act();
    VISITS.get() - before
}

/// The changes of a tree, after a look at its order, its balance and its sums.
fn checked(steps: &Steps) -> Vec<(i64, i64)> {
    let found = steps.after(i64::MIN);
    assert!(found.is_sorted_by_key(|(at, _)| *at) && found.iter().all(|(_, delta)| *delta != 0), "{found:?}");
    check_node(steps, steps.root);
    let places = steps.nodes.len() - 1 - steps.free.len();
    assert_eq!(places, found.len(), "every place is used or free");
    found
}

fn check_node(steps: &Steps, node: usize) -> Part {
    if node == NONE {
        return Part::EMPTY;
    }
    let here = &steps.nodes[node];
    let (left, right) = (steps.height(here.left), steps.height(here.right));
    assert!(left.abs_diff(right) <= 1 && here.height == 1 + left.max(right));
    let own = Part::one(here.delta);
    let whole = check_node(steps, here.left).then(own).then(check_node(steps, here.right));
    assert_eq!((here.sum, here.peak, here.trough), (whole.sum, whole.peak, whole.trough));
    whole
}

fn sum_at(model: &[(i64, i64)], at: i64) -> i64 {
    model.iter().filter(|(step, _)| *step <= at).map(|(_, delta)| delta).sum()
}

proptest! {
    #[test]
    fn answers_as_a_list_of_changes_would(
        changes in prop::collection::vec((0i64..40, -3i64..4), 0..120),
        fold in 0i64..20,
        limit in -6i64..6,
    ) {
        let mut steps = Steps::new();
        for (at, delta) in &changes {
            steps.add(*at, *delta);
        }
        checked(&steps);
        let base = steps.take_before(fold);
        prop_assert_eq!(base, sum_at(&changes, fold - 1));
        let kept = checked(&steps);
        prop_assert!(kept.iter().all(|(at, _)| *at >= fold));
        for start in fold..41 {
            prop_assert_eq!(base + steps.sum_at(start), sum_at(&changes, start));
            let above = kept.iter().find(|(at, _)| *at > start && sum_at(&changes, *at) > limit);
            let expected = above.map(|(at, _)| *at);
            prop_assert_eq!(steps.first_above(start, limit - base), expected);
            let at_most = kept.iter().find(|(at, _)| *at > start && sum_at(&changes, *at) <= limit);
            prop_assert_eq!(steps.first_at_most(start, limit - base), at_most.map(|(at, _)| *at));
            for end in start + 1..41 {
                let peak = (start..end).map(|at| sum_at(&changes, at)).max().unwrap_or(0);
                prop_assert_eq!(base + steps.peak(start, end), peak);
            }
        }
    }
}

/// 100,000 intervals, each starting later than the one before: the order that unbalances a plain tree.
fn ascending() -> Steps {
    let mut steps = Steps::new();
    for start in 0..100_000 {
        steps.add(3 * start, 5);
        steps.add(3 * start + 7, -5);
    }
    steps
}

#[test]
fn a_hundred_thousand_intervals_are_asked_in_a_few_dozen_steps() {
    let mut steps = ascending();
    assert!(steps.nodes.len() > 190_000);
    let most = |count: u64| count < 100;
    assert!(most(visits_of(|| steps.peak(0, 300_000))), "everything");
    assert!(most(visits_of(|| steps.peak(150_001, 150_002))), "hardly anything");
    assert!(most(visits_of(|| steps.peak(1_001, 299_001))), "nearly everything");
    assert!(most(visits_of(|| steps.first_above(5, 1_000))), "never");
    assert!(most(visits_of(|| steps.first_above(299_000, 10))), "late");
    assert!(most(visits_of(|| steps.first_at_most(5, -1))), "never so low");
    assert!(most(visits_of(|| steps.first_at_most(5, 0))), "low at the end only");
    assert!(most(visits_of(|| steps.add(150_001, 9))), "a new change");
    assert!(most(visits_of(|| steps.add(150_001, -9))), "a change taken back");
}

#[test]
fn folding_costs_a_few_dozen_steps_for_each_change_that_is_forgotten() {
    let mut steps = ascending();
    let before = steps.after(i64::MIN).len();
    let visits = visits_of(|| steps.take_before(150_000));
    let forgotten = before - checked(&steps).len();
    assert!(forgotten > 90_000);
    assert!(visits < 40 * forgotten as u64, "{visits} for {forgotten}");
}

#[test]
fn places_of_removed_changes_are_used_again() {
    let mut steps = Steps::new();
    for round in 0..1_000 {
        steps.add(round, 1);
        steps.add(round + 10, -1);
        steps.take_before(round);
    }
    assert!(steps.nodes.len() < 20, "{}", steps.nodes.len());
}
