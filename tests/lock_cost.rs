//! How long one decision about locks takes where much depends on it. Measures and says so, no more: run it with
//! `cargo test --release --test lock_cost -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, clippy::panic)] // tests may fail loudly, their helpers too

#[allow(dead_code)] // the random commands have more of it
#[path = "locks/ops.rs"]
mod ops;
#[allow(dead_code)] // other tests use the rest of it
mod world;

use std::time::Instant;

use berth::domain::command::{Command, Register, TakeLock, Unlock};
use berth::domain::decide::decide;
use berth::domain::id::{Requester, ResourceName};
use berth::domain::lock::{BLOCKS_MAX, Mode};
use berth::domain::outcome::{Answer, LockStatus, ReleaseStatus};
use uuid::Uuid;
use world::{World, request};

fn name(text: &str) -> ResourceName {
    ResourceName::parse(text).unwrap()
}

fn lock(resource: &str, by: &str, wait_seconds: Option<u32>) -> Command {
    let (requester, resource) = (Requester::parse(by).unwrap(), name(resource));
    let (resource_type, ttl_seconds, mode) = (None, None, Mode::Exclusive);
    Command::Lock(TakeLock { requester, resource, resource_type, ttl_seconds, mode, wait_seconds })
}

fn unlock(resource: &str, by: &str, release_token: Uuid) -> Command {
    Command::Unlock(Unlock { requester: Requester::parse(by).unwrap(), resource: name(resource), release_token })
}

fn register(resource: &str, blocks: Vec<ResourceName>, ancestors: Vec<ResourceName>) -> Command {
    let (name, capacity, resource_type, lock_delay_seconds) = (name(resource), 1, None, 0);
    Command::Register(Register { name, capacity, blocks, ancestors, resource_type, lock_delay_seconds })
}

/// Commands one after the other, each in a batch of its own.
struct Run(World, u64);

impl Run {
    fn new() -> Run {
        Run(World::new(ops::second(0)), 0)
    }

    /// How long it takes to decide it, without loading and writing, and what it says.
    fn send(&mut self, command: Command) -> (u128, Answer) {
        self.1 += 1;
        let request = request("acme", self.1, command);
        let mut state = self.0.open(std::slice::from_ref(&request), &[]);
        let begun = Instant::now();
        let outcome = decide(&mut state, &request);
        let micros = begun.elapsed().as_micros();
        self.0.commit(state);
        (micros, outcome.unwrap())
    }

    fn take(&mut self, command: Command, wanted: LockStatus) -> (u128, Uuid) {
        let (micros, answer) = self.send(command);
        let Answer::Lock(answer) = answer else { panic!("{answer:?}") };
        assert_eq!(answer.status, wanted);
        (micros, answer.claim.unwrap().lock().unwrap().release_token)
    }

    fn give(&mut self, command: Command) -> u128 {
        let (micros, answer) = self.send(command);
        assert!(matches!(answer, Answer::Unlock(answer) if answer.status == ReleaseStatus::Relinquished));
        micros
    }
}

/// A queue of so many: the last comes, the first leaves.
fn queue(length: usize) -> [u128; 2] {
    let mut run = Run::new();
    let (_, held) = run.take(lock("door", "ann", None), LockStatus::Acquired);
    let came = (0..length).map(|number| run.take(lock("door", &format!("w{number}"), Some(60)), LockStatus::Queued).0);
    let came = came.last().unwrap();
    [came, run.give(unlock("door", "ann", held))]
}

/// One lock with so many blockers: taken, given back.
fn blockers(count: usize) -> [u128; 2] {
    let mut run = Run::new();
    let names: Vec<ResourceName> = (0..count).map(|number| name(&format!("b{number:04}"))).collect();
    run.send(register("all", names, Vec::new()));
    let (took, token) = run.take(lock("all", "ann", None), LockStatus::Acquired);
    [took, run.give(unlock("all", "ann", token))]
}

/// A tree of so many leaves, all held: one is given back, and taken again.
fn tree(count: usize) -> [u128; 2] {
    let mut run = Run::new();
    let mut token = Uuid::nil();
    for number in 0..count {
        let leaf = format!("leaf{number:04}");
        run.send(register(&leaf, Vec::new(), vec![name("root")]));
        token = run.take(lock(&leaf, &format!("w{number}"), None), LockStatus::Acquired).1;
    }
    let (leaf, by) = (format!("leaf{:04}", count - 1), format!("w{}", count - 1));
    let gave = run.give(unlock(&leaf, &by, token));
    [gave, run.take(lock(&leaf, &by, None), LockStatus::Acquired).0]
}

#[test]
#[ignore = "it only measures"]
fn what_a_decision_costs() {
    for count in [125, 250, 500, 900] {
        let [came, left] = queue(count);
        let [took, gave] = blockers(count.min(BLOCKS_MAX));
        let [freed, again] = tree(count);
        eprintln!("{count}: queue {came} {left} µs, with blockers {took} {gave} µs, in a held tree {freed} {again} µs");
    }
}
