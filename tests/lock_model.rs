//! Random commands about locks, time and crashes against the dumbest right answer, and what has to hold at any instant.
#![allow(clippy::unwrap_used, clippy::panic)] // tests may fail loudly, their helpers too

mod locks;
#[allow(dead_code)] // other tests use the rest of it
mod world;

use berth::domain::command::{Command, Request};
use berth::domain::decide::decide;
use berth::domain::hold::Hold;
use berth::domain::id::{HoldId, Lane};
use berth::domain::registry::Registry;
use berth::domain::state::{Changes, Decided, State};
use berth::domain::tick::tick_due;
use locks::book::Book;
use locks::ops::{Crash, Numbering, Step, Tick, acme, second, seconds, step};
use locks::watch::{Watch, said, seen};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestError, TestRunner};
use world::World;

struct Run {
    world: World,
    book: Book,
    watch: Watch,
    numbering: Numbering,
    now: i64,
    /// What was sent and answered, for the message of a failure.
    told: Vec<String>,
}

impl Run {
    fn new() -> Run {
        Run {
            world: World::new(second(0)),
            book: Book::default(),
            watch: Watch::default(),
            numbering: Numbering::default(),
            now: 0,
            told: Vec::new(),
        }
    }

    fn fail(&self, what: &str) -> String {
        format!("{what}\n{}", self.told.join("\n"))
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        self.now += step.seconds;
        self.book.now = self.now;
        self.world.set_now(second(self.now));
        self.told.push(format!("at {}: {:?} {:?}", self.now, step.tick, step.crash));
        match step.tick {
            Tick::Late => {}
            Tick::Whole => self.tick(usize::MAX)?,
            Tick::Pages(size) => self.tick(size)?,
        }
        let requests: Vec<Request> =
            step.batch.iter().map(|(op, is_dry_run)| self.numbering.request(op, *is_dry_run)).collect();
        match step.crash {
            Crash::No => {}
            Crash::Lost => self.lose(&requests)?,
            Crash::Cold => self.start_anew()?,
        }
        let mut state = self.world.open(&requests, &[]);
        for request in &requests {
            self.decide(&mut state, request)?;
        }
        let changes = self.world.commit(state);
        self.follow(&changes)?;
        self.compare()
    }

    /// Carries out all that is due, in batches of so many.
    fn tick(&mut self, size: usize) -> Result<(), String> {
        loop {
            let mut due: Vec<_> =
                self.world.holds.values().filter_map(|hold| Some((hold.due_at()?, hold.id))).collect();
            due.retain(|(at, _)| *at <= second(self.now));
            due.sort_unstable();
            due.truncate(size);
            let Some((horizon, _)) = due.last().copied() else { break };
            let ids: Vec<HoldId> = due.iter().map(|(_, id)| *id).collect();
            let mut state = self.world.open(&[], &ids);
            tick_due(&mut state, &ids, horizon);
            let changes = self.world.commit(state);
            self.told.push(format!("  tick of {}", ids.len()));
            self.follow(&changes)?;
        }
        let all = (0..locks::ops::NAMES.len()).collect();
        self.book.settle(&all);
        self.adopt_slots();
        self.compare()
    }

    fn decide(&mut self, state: &mut State, request: &Request) -> Result<(), String> {
        let answer = said(&decide(state, request));
        let before = self.book.clone();
        let expected = self.book.decide(&request.command, &request.entropy);
        let dry = if request.is_dry_run { "dry " } else { "" };
        self.told.push(format!("  {dry}{} -> {}", locks::watch::asked(&request.command), answer.join("; ")));
        if request.is_dry_run {
            self.book = before;
        }
        if let (Command::Register(_), Some(registry)) = (&request.command, state.registry(lane())) {
            self.book.adopt_former(registry);
        }
        match locks::watch::agree(&answer, &expected) {
            true => Ok(()),
            false => Err(self.fail(&format!("answered {answer:?}, expected {expected:?}"))),
        }
    }

    /// A batch is decided and never committed: memory is what it was.
    fn lose(&mut self, requests: &[Request]) -> Result<(), String> {
        let heads: Vec<_> = self.world.lanes.iter().map(|(lane, state)| (*lane, state.head)).collect();
        let before = self.world.lanes[&lane()].registry.clone();
        let mut state = self.world.open(requests, &[]);
        requests.iter().for_each(|request| drop(decide(&mut state, request)));
        let Decided { mut lanes, mut tenants, rollback, .. } = state.finish();
        rollback.apply(&mut lanes, &mut tenants);
        self.world.lanes.extend(lanes);
        self.world.tenants.extend(tenants);
        for (lane, head) in heads {
            self.world.lanes.get_mut(&lane).unwrap().head = head;
        }
        match self.world.lanes[&lane()].registry == before {
            true => Ok(()),
            false => Err(self.fail("what a lost batch registered is still there")),
        }
    }

    /// What is registered is read again from what was written.
    fn start_anew(&mut self) -> Result<(), String> {
        let mut read = Registry::default();
        for resource in self.watch.resources.values() {
            read.put(resource.clone());
        }
        let known = &mut self.world.lanes.get_mut(&lane()).unwrap().registry;
        let is_same = *known == read;
        *known = read;
        match is_same {
            true => Ok(()),
            false => Err(self.fail("what is registered is not what was written")),
        }
    }

    fn follow(&mut self, changes: &Changes) -> Result<(), String> {
        self.told.extend(changes.events.iter().map(|event| format!("    ! {}", locks::watch::event(event))));
        self.watch.follow(changes, second(self.now)).map_err(|what| self.fail(&what))?;
        let registry = &self.world.lanes[&lane()].registry;
        locks::watch::check_instants(&self.world.holds, registry, second(self.now)).map_err(|what| self.fail(&what))
    }

    /// Which of several free places somebody got is nobody's promise.
    fn adopt_slots(&mut self) {
        let holds: Vec<&Hold> = self.world.holds.values().collect();
        self.book.adopt_slots(&holds);
    }

    fn compare(&mut self) -> Result<(), String> {
        self.adopt_slots();
        let (is, should) = (seen(&self.world.holds, second(self.now)), self.book.seen().shown());
        match is == should {
            true => Ok(()),
            false => Err(self.fail(&format!("now {}\nis     {is:?}\nshould {should:?}", seconds(second(self.now))))),
        }
    }
}

fn lane() -> Lane {
    Lane::of_locks(&acme())
}

#[test]
fn every_answer_about_locks_is_what_a_list_of_tenures_says() {
    let default = ProptestConfig::default(); // more by PROPTEST_CASES
    let cases = default.cases.max(400);
    let config = ProptestConfig { cases, max_shrink_iters: 20_000, failure_persistence: None, ..default };
    let walk = |steps: Vec<Step>| {
        let mut run = Run::new();
        steps.iter().try_for_each(|step| run.step(step)).map_err(TestCaseError::fail)
    };
    let outcome = TestRunner::new(config).run(&prop::collection::vec(step(), 1..40), walk);
    if let Err(TestError::Fail(what, _)) = outcome {
        panic!("{what}"); // it tells all that was sent: what it was made of would only repeat that
    }
    assert!(outcome.is_ok());
}
