//! A sum over time: changes at instants, in a balanced (AVL) tree that knows the sum and the greatest running sum of
//! every part of it. Balance depends on nothing that a client chooses, so every operation is O(log n) for any input.

use std::cmp::Ordering;

/// The place of the sentinel that stands for "no node": its sum is 0, and no running sum is as low as its peak or as
/// high as its trough.
const NONE: usize = 0;
/// Less than every running sum, and far enough from the end of the range to be added to.
const NO_PEAK: i64 = i64::MIN / 4;
/// More than every running sum, likewise.
const NO_TROUGH: i64 = i64::MAX / 4;

#[derive(Debug)]
struct Node {
    /// Microseconds since 1970.
    at: i64,
    /// How the sum changes at that instant; never 0.
    delta: i64,
    /// Over the whole subtree.
    sum: i64,
    /// The greatest and the least running sum within the subtree, from its first change on.
    peak: i64,
    trough: i64,
    left: usize,
    right: usize,
    height: u8,
}

/// The changes, in order of time; their nodes in one block of memory.
#[derive(Debug)]
pub(super) struct Steps {
    nodes: Vec<Node>,
    /// Places in `nodes` that can be used again.
    free: Vec<usize>,
    root: usize,
    /// No change is earlier; so long as nothing lies before it, nobody walks down the tree to find that out.
    earliest: i64,
}

/// The sum of some consecutive changes, and the greatest and the least running sum among them.
#[derive(Clone, Copy)]
struct Part {
    sum: i64,
    peak: i64,
    trough: i64,
}

impl Part {
    const EMPTY: Part = Part { sum: 0, peak: NO_PEAK, trough: NO_TROUGH };

    fn one(delta: i64) -> Part {
        Part { sum: delta, peak: delta, trough: delta }
    }

    fn then(self, next: Part) -> Part {
        Part {
            sum: self.sum + next.sum,
            peak: self.peak.max(self.sum + next.peak),
            trough: self.trough.min(self.sum + next.trough),
        }
    }
}

/// What a running sum is searched for.
#[derive(Clone, Copy)]
enum Wanted {
    Above(i64),
    AtMost(i64),
}

impl Wanted {
    fn is(self, sum: i64) -> bool {
        match self {
            Wanted::Above(limit) => sum > limit,
            Wanted::AtMost(limit) => sum <= limit,
        }
    }

    /// Is it anywhere in a subtree before which the sum is `sum`?
    fn is_within(self, sum: i64, node: &Node) -> bool {
        self.is(match self {
            Wanted::Above(_) => sum + node.peak,
            Wanted::AtMost(_) => sum + node.trough,
        })
    }
}

impl Steps {
    pub(super) fn new() -> Steps {
        let Part { sum, peak, trough } = Part::EMPTY;
        let sentinel = Node { at: 0, delta: 0, sum, peak, trough, left: NONE, right: NONE, height: 0 };
        Steps { nodes: vec![sentinel], free: Vec::new(), root: NONE, earliest: i64::MAX }
    }

    /// Changes the sum by `delta` from `at` on.
    pub(super) fn add(&mut self, at: i64, delta: i64) {
        if delta != 0 {
            self.root = self.insert(self.root, at, delta);
            self.earliest = self.earliest.min(at);
        }
    }

    /// The sum at an instant.
    pub(super) fn sum_at(&self, at: i64) -> i64 {
        let mut sum = 0;
        let mut node = self.root;
        while node != NONE {
            let here = self.visit(node);
            if here.at <= at {
                sum += self.nodes[here.left].sum + here.delta;
                node = here.right;
            } else {
                node = here.left;
            }
        }
        sum
    }

    /// The greatest sum at any instant of `[start, end)`, the one at `start` in any case.
    pub(super) fn peak(&self, start: i64, end: i64) -> i64 {
        let within = self.part(self.root, Some(start), Some(end));
        self.sum_at(start) + within.peak.max(0)
    }

    /// The first change after `start` that brings the sum above `limit`.
    pub(super) fn first_above(&self, start: i64, limit: i64) -> Option<i64> {
        let mut sum = self.sum_at(start);
        self.find(self.root, Some(start), &mut sum, Wanted::Above(limit))
    }

    /// The first change after `start` that brings the sum to `limit` or below.
    pub(super) fn first_at_most(&self, start: i64, limit: i64) -> Option<i64> {
        let mut sum = self.sum_at(start);
        self.find(self.root, Some(start), &mut sum, Wanted::AtMost(limit))
    }

    /// Every change after `start`, in order: the instant and the change.
    pub(super) fn after(&self, start: i64) -> Vec<(i64, i64)> {
        let mut found = Vec::new();
        self.collect(self.root, Some(start), &mut found);
        found
    }

    /// Removes every change before `until`, and gives their sum.
    pub(super) fn take_before(&mut self, until: i64) -> i64 {
        let mut sum = 0;
        while self.earliest < until {
            let Some(first) = self.first() else {
                self.earliest = i64::MAX;
                break;
            };
            self.earliest = self.nodes[first].at;
            if self.earliest < until {
                (_, self.root) = self.split_first(self.root);
                sum += self.nodes[first].delta;
                self.free.push(first);
            }
        }
        sum
    }

    fn first(&self) -> Option<usize> {
        let mut node = self.root;
        while node != NONE && self.nodes[node].left != NONE {
            node = self.nodes[node].left;
        }
        (node != NONE).then_some(node)
    }

    fn visit(&self, node: usize) -> &Node {
        #[cfg(test)]
        tests::VISITS.with(|visits| visits.set(visits.get() + 1));
        &self.nodes[node]
    }

    /// What lies after `after` and before `before`; no bound where there is none, so that whole subtrees are taken
    /// at once.
    fn part(&self, node: usize, after: Option<i64>, before: Option<i64>) -> Part {
        if node == NONE {
            return Part::EMPTY;
        }
        let here = self.visit(node);
        if after.is_none() && before.is_none() {
            return Part { sum: here.sum, peak: here.peak, trough: here.trough };
        }
        if after.is_some_and(|after| here.at <= after) {
            return self.part(here.right, after, before);
        }
        if before.is_some_and(|before| here.at >= before) {
            return self.part(here.left, after, before);
        }
        let own = Part::one(here.delta);
        self.part(here.left, after, None).then(own).then(self.part(here.right, None, before))
    }

    /// `sum` is the sum before the first change looked at, and afterwards that behind the last one.
    fn find(&self, node: usize, after: Option<i64>, sum: &mut i64, wanted: Wanted) -> Option<i64> {
        if node == NONE {
            return None;
        }
        let here = self.visit(node);
        if after.is_none() && !wanted.is_within(*sum, here) {
            *sum += here.sum;
            return None;
        }
        if after.is_some_and(|after| here.at <= after) {
            return self.find(here.right, after, sum, wanted);
        }
        if let Some(found) = self.find(here.left, after, sum, wanted) {
            return Some(found);
        }
        *sum += here.delta;
        match wanted.is(*sum) {
            true => Some(here.at),
            false => self.find(here.right, None, sum, wanted),
        }
    }

    fn collect(&self, node: usize, after: Option<i64>, found: &mut Vec<(i64, i64)>) {
        if node == NONE {
            return;
        }
        let here = &self.nodes[node];
        if after.is_some_and(|after| here.at <= after) {
            return self.collect(here.right, after, found);
        }
        self.collect(here.left, after, found);
        found.push((here.at, here.delta));
        self.collect(here.right, None, found);
    }

    /// Adds to the subtree; gives its new top.
    fn insert(&mut self, node: usize, at: i64, delta: i64) -> usize {
        if node == NONE {
            return self.new_node(at, delta);
        }
        match at.cmp(&self.visit(node).at) {
            Ordering::Less => self.nodes[node].left = self.insert(self.nodes[node].left, at, delta),
            Ordering::Greater => self.nodes[node].right = self.insert(self.nodes[node].right, at, delta),
            Ordering::Equal => {
                self.nodes[node].delta += delta;
                if self.nodes[node].delta == 0 {
                    return self.remove_top(node);
                }
            }
        }
        self.balance(node)
    }

    fn new_node(&mut self, at: i64, delta: i64) -> usize {
        let Part { sum, peak, trough } = Part::one(delta);
        let node = Node { at, delta, sum, peak, trough, left: NONE, right: NONE, height: 1 };
        match self.free.pop() {
            Some(place) => {
                self.nodes[place] = node;
                place
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        }
    }

    fn remove_top(&mut self, node: usize) -> usize {
        let (left, right) = (self.nodes[node].left, self.nodes[node].right);
        self.free.push(node);
        match (left, right) {
            (left, NONE) => left,
            (NONE, right) => right,
            (left, right) => {
                let (first, rest) = self.split_first(right);
                self.nodes[first].left = left;
                self.nodes[first].right = rest;
                self.balance(first)
            }
        }
    }

    /// The first node of a subtree that is not empty, and the rest of it.
    fn split_first(&mut self, node: usize) -> (usize, usize) {
        let left = self.visit(node).left;
        if left == NONE {
            return (node, self.nodes[node].right);
        }
        let (first, rest) = self.split_first(left);
        self.nodes[node].left = rest;
        (first, self.balance(node))
    }

    /// Makes the heights of both sides differ by at most one; gives the new top.
    fn balance(&mut self, node: usize) -> usize {
        let (left, right) = (self.nodes[node].left, self.nodes[node].right);
        if self.height(left) > self.height(right) + 1 {
            if self.height(self.nodes[left].left) < self.height(self.nodes[left].right) {
                self.nodes[node].left = self.lift_right(left);
            }
            return self.lift_left(node);
        }
        if self.height(right) > self.height(left) + 1 {
            if self.height(self.nodes[right].right) < self.height(self.nodes[right].left) {
                self.nodes[node].right = self.lift_left(right);
            }
            return self.lift_right(node);
        }
        self.sum_up(node);
        node
    }

    fn height(&self, node: usize) -> u8 {
        self.nodes[node].height
    }

    /// Puts the left child on top.
    fn lift_left(&mut self, node: usize) -> usize {
        let top = self.nodes[node].left;
        self.nodes[node].left = self.nodes[top].right;
        self.nodes[top].right = node;
        self.sum_up(node);
        self.sum_up(top);
        top
    }

    /// Puts the right child on top.
    fn lift_right(&mut self, node: usize) -> usize {
        let top = self.nodes[node].right;
        self.nodes[node].right = self.nodes[top].left;
        self.nodes[top].left = node;
        self.sum_up(node);
        self.sum_up(top);
        top
    }

    fn sum_up(&mut self, node: usize) {
        let part = |node: usize| {
            let Node { sum, peak, trough, .. } = self.nodes[node];
            Part { sum, peak, trough }
        };
        let Node { delta, left, right, .. } = self.nodes[node];
        let whole = part(left).then(Part::one(delta)).then(part(right));
        let height = 1 + self.height(left).max(self.height(right));
        let here = &mut self.nodes[node];
        (here.sum, here.peak, here.trough, here.height) = (whole.sum, whole.peak, whole.trough, height);
    }
}

#[cfg(test)]
#[path = "steps_tests.rs"]
mod tests;
