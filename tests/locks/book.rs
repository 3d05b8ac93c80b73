//! The dumbest right answer about locks: everybody's tenures in one list, gone through from end to end.

use std::collections::{BTreeMap, BTreeSet};

use berth::domain::command::{Command, Method, Register, Renew, TakeLock, Unlock};
use berth::domain::id::Entropy;
use berth::domain::lock::Mode;
use uuid::Uuid;

use super::ops::{NAMES, number, who};

/// What is registered of a name. `former`: what it blocked, as it is read back after each command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reg {
    pub capacity: u32,
    pub parent: Option<usize>,
    pub blocks: Vec<usize>,
    pub delay: i64,
    pub former: Vec<usize>,
}

/// A lock that was asked for by name and is held or waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenure {
    pub token: Uuid,
    pub who: usize,
    pub name: usize,
    pub shared: bool,
    pub waits: bool,
    pub until: Option<i64>,
    pub ttl: Option<i64>,
    pub covers: Vec<usize>,
    pub slot: u32,
    pub delay: i64,
}

/// What somebody has of a name for the sake of other locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub who: usize,
    pub name: usize,
    pub shared: bool,
    pub slot: u32,
    pub delay: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    pub now: i64,
    pub regs: BTreeMap<usize, Reg>,
    /// In the order in which they were asked for.
    pub tenures: Vec<Tenure>,
    pub parts: Vec<Part>,
    /// Name, slot, and when it opens.
    pub closed: Vec<(usize, u32, i64)>,
}

/// Nobody stands in the way (`Ok`), or why it is not to be had.
type Fits = Result<(), &'static str>;

impl Book {
    /// What a command is answered with, in a word or a few.
    pub fn decide(&mut self, command: &Command, entropy: &Entropy) -> Vec<String> {
        match command {
            Command::Lock(lock) => vec![self.lock(lock, entropy.token())],
            Command::Unlock(unlock) => vec![self.unlock(unlock)],
            Command::Renew(renew) => vec![self.renew(renew).to_owned()],
            Command::Register(register) => vec![self.register(register).to_owned()],
            Command::LockRelease(release) => vec![self.release(number(&release.resource))],
            Command::Transact(transact) => self.transact(transact.method, &transact.commands, entropy),
            _ => panic!("no command about locks"),
        }
    }

    fn transact(&mut self, method: Method, commands: &[Command], entropy: &Entropy) -> Vec<String> {
        let before = self.clone();
        let mut said: Vec<String> = Vec::new();
        let is_success = |word: &String| {
            ["ACQUIRED", "ALREADY_HAD", "RELINQUISHED", "NOT_RESERVED"].iter().any(|good| word.starts_with(good))
        };
        for (index, command) in commands.iter().enumerate() {
            match method == Method::First && said.iter().any(is_success) {
                true => said.push("SKIPPED".to_owned()),
                false => said.extend(self.decide(command, &entropy.item(index))),
            }
        }
        if method == Method::AllOrNone && !said.iter().all(is_success) {
            *self = before;
            said.iter_mut().filter(|word| is_success(word)).for_each(|word| *word = "ROLLED_BACK".to_owned());
        }
        said
    }

    fn lock(&mut self, lock: &TakeLock, token: Uuid) -> String {
        let (name, who, shared) = (number(&lock.resource), who(&lock.requester), lock.mode == Mode::Shared);
        self.settle(&self.component(&[name]));
        if self.is_place(name) && !self.regs.contains_key(&name) || shared && self.capacity(name) > 1 {
            return "NOT_VALID".to_owned();
        }
        if let Some(covers) = self.has(who, name, shared) {
            return if covers { "ALREADY_HAD" } else { "ALREADY_HELD" }.to_owned();
        }
        if let Some(at) = self.tenures.iter().position(|it| it.waits && it.who == who && it.name == name) {
            return format!("QUEUED {}", self.position(at));
        }
        let fits = self.fits(who, shared, name, self.tenures.len());
        if let (Err(why), None) = (fits, lock.wait_seconds) {
            return why.to_owned();
        }
        let ttl = lock.ttl_seconds.map(i64::from);
        let until = lock.wait_seconds.map(|seconds| self.now + i64::from(seconds));
        let (waits, covers, slot, delay) = (true, Vec::new(), 0, 0);
        self.tenures.push(Tenure { token, who, name, shared, waits, until, ttl, covers, slot, delay });
        let at = self.tenures.len() - 1;
        if fits.is_ok() {
            self.grant(at);
            return "ACQUIRED".to_owned();
        }
        format!("QUEUED {}", self.position(at))
    }

    fn position(&self, at: usize) -> usize {
        1 + self.tenures[..at].iter().filter(|it| it.waits && it.name == self.tenures[at].name).count()
    }

    fn unlock(&mut self, unlock: &Unlock) -> String {
        let name = number(&unlock.resource);
        let component = self.component(&[name]);
        self.settle(&component);
        if self.held_by(name).is_empty() && !self.tenures.iter().any(|it| it.waits && it.name == name) {
            return "NOT_RESERVED".to_owned();
        }
        let is_own = |it: &Tenure| it.token == unlock.release_token && it.who == who(&unlock.requester);
        let Some(at) = self.tenures.iter().position(|it| it.name == name && is_own(it)) else {
            return "DOESNT_OWN_RESERVATION".to_owned();
        };
        let waited = self.tenures[at].waits;
        let freed = self.drop_tenure(at, None);
        self.serve(&component);
        if waited { "RELINQUISHED".to_owned() } else { format!("RELINQUISHED {}", freed.join(",")) }
    }

    fn renew(&mut self, renew: &Renew) -> &'static str {
        let name = number(&renew.resource);
        self.settle(&self.component(&[name]));
        if self.held_by(name).is_empty() {
            return "NOT_RESERVED";
        }
        let now = self.now;
        let own = self.tenures.iter_mut().find(|it| it.name == name && !it.waits && it.token == renew.release_token);
        let Some(own) = own else { return "DOESNT_OWN_RESERVATION" };
        own.until = Some(now + i64::from(renew.ttl_seconds));
        "RENEWED"
    }

    fn release(&mut self, name: usize) -> String {
        let component = self.component(&[name]);
        self.settle(&component);
        let mut ended = Vec::new();
        while let Some(at) =
            self.tenures.iter().position(|it| !it.waits && (it.name == name || it.covers.contains(&name)))
        {
            ended.push(self.tenures[at].clone());
            self.drop_tenure(at, None);
        }
        self.serve(&component);
        let mut ended: Vec<String> = ended.iter().map(|it| format!("{}:{}", it.who, NAMES[it.name])).collect();
        ended.sort();
        format!("RELEASED {}", ended.join(","))
    }

    fn register(&mut self, register: &Register) -> &'static str {
        let name = number(&register.name);
        let (under, blocks): (Vec<usize>, Vec<usize>) =
            (register.ancestors.iter().map(number).collect(), register.blocks.iter().map(number).collect());
        let named: Vec<usize> = under.iter().chain(&blocks).copied().chain([name]).collect();
        let component = self.component(&named);
        self.settle(&component);
        let is_slot = |it: &usize| is_slot_of(NAMES[*it], NAMES[name], register.capacity);
        if named.iter().any(|it| self.is_place(*it)) || self.regs.keys().any(is_slot) {
            return "REFUSED";
        }
        let before = self.clone();
        let plain = Reg { capacity: 1, ..Reg::default() };
        let mut parent = None;
        for it in under {
            let known = self.regs.entry(it).or_insert_with(|| Reg { parent, ..plain.clone() });
            if known.parent != parent {
                *self = before;
                return "REFUSED";
            }
            parent = Some(it);
        }
        for it in &blocks {
            self.regs.entry(*it).or_insert_with(|| plain.clone());
        }
        let delay = i64::from(register.lock_delay_seconds);
        let former = before.regs.get(&name).map_or_else(Vec::new, |it| [&it.blocks[..], &it.former].concat());
        self.regs.insert(name, Reg { capacity: register.capacity, parent, blocks, delay, former });
        let is_circle = self.above(name).contains(&name) || self.blockers(name).contains(&name);
        if is_circle || self.has_conflict() {
            *self = before;
            return if is_circle { "REFUSED" } else { "STILL_HELD" };
        }
        self.serve(&component);
        "REGISTERED"
    }

    /// Do two hold what stands above and below each other?
    fn has_conflict(&self) -> bool {
        (0..NAMES.len()).any(|name| {
            self.held_by(name)
                .iter()
                .any(|(who, shared)| self.tree(name).iter().any(|other| self.is_taken(*other, *who, *shared)))
        })
    }

    fn is_place(&self, name: usize) -> bool {
        NAMES[name] == "a_1" && self.capacity(0) > 1
    }

    fn capacity(&self, name: usize) -> u32 {
        self.regs.get(&name).map_or(1, |it| it.capacity)
    }

    /// What has to be held with it, sorted; itself too if it stands in a circle.
    pub fn blockers(&self, name: usize) -> Vec<usize> {
        let mut found: BTreeSet<usize> = BTreeSet::new();
        let mut left = vec![name];
        while let Some(next) = left.pop() {
            let blocks = self.regs.get(&next).map_or(&[][..], |it| &it.blocks);
            left.extend(blocks.iter().copied().filter(|it| found.insert(*it)));
        }
        found.into_iter().collect()
    }

    fn above(&self, name: usize) -> Vec<usize> {
        let parent = |name: &usize| self.regs.get(name).and_then(|it| it.parent);
        std::iter::successors(parent(&name), parent).take(NAMES.len()).collect()
    }

    /// What stands above and below.
    pub fn tree(&self, name: usize) -> Vec<usize> {
        let below = (0..NAMES.len()).filter(|it| self.above(*it).contains(&name));
        self.above(name).into_iter().chain(below).collect()
    }

    /// All that a claim on these can come to depend on.
    pub fn component(&self, names: &[usize]) -> BTreeSet<usize> {
        let mut found: BTreeSet<usize> = names.iter().copied().collect();
        loop {
            let before = found.len();
            if found.iter().any(|name| self.is_place(*name)) {
                found.insert(0); // a place hangs together with what it is a place of
            }
            for (name, it) in &self.regs {
                let linked: BTreeSet<usize> =
                    it.parent.iter().chain(&it.blocks).chain(&it.former).chain([name]).copied().collect();
                if linked.intersection(&found).next().is_some() {
                    found.extend(linked);
                }
            }
            if found.len() == before {
                return found;
            }
        }
    }

    /// Who has something of a name, and whether shared.
    pub fn held_by(&self, name: usize) -> Vec<(usize, bool)> {
        let direct = self.tenures.iter().filter(|it| !it.waits && it.name == name).map(|it| (it.who, it.shared));
        direct.chain(self.parts.iter().filter(|it| it.name == name).map(|it| (it.who, it.shared))).collect()
    }

    /// Has somebody it already, and as wanted?
    fn has(&self, who: usize, name: usize, shared: bool) -> Option<bool> {
        let held = self.held_by(name);
        let own: Vec<bool> = held.iter().filter(|it| it.0 == who).map(|it| shared || !it.1).collect();
        (!own.is_empty()).then(|| own.contains(&true))
    }

    /// Is there anything of it that goes not with another's claim?
    fn is_taken(&self, name: usize, who: usize, shared: bool) -> bool {
        self.held_by(name).iter().any(|it| it.0 != who && !(it.1 && shared))
    }

    fn free_slot(&self, name: usize) -> Option<u32> {
        let direct = self.tenures.iter().filter(|it| !it.waits && it.name == name).map(|it| it.slot);
        let parts = self.parts.iter().filter(|it| it.name == name).map(|it| it.slot);
        let closed = self.closed.iter().filter(|it| it.0 == name).map(|it| it.1);
        let taken: BTreeSet<u32> = direct.chain(parts).chain(closed).collect();
        (0..self.capacity(name)).find(|slot| !taken.contains(slot))
    }

    /// Could it be granted to one who came as the `at`th?
    fn fits(&self, who: usize, shared: bool, name: usize, at: usize) -> Fits {
        if self.has(who, name, shared).is_some() {
            return Err("ALREADY_HELD");
        }
        for needed in [name].into_iter().chain(self.blockers(name)) {
            match self.has(who, needed, shared) {
                Some(true) => continue,
                Some(false) => return Err("ALREADY_HELD"),
                None => {}
            }
            let closed = |name: usize| self.closed.iter().any(|it| it.0 == name);
            match self.capacity(needed) {
                1 if self.is_taken(needed, who, shared) || closed(needed) => return Err("ALREADY_HELD"),
                1 => {}
                _ if self.free_slot(needed).is_none() => return Err("NOT_AVAILABLE"),
                _ => {}
            }
            if self.tree(needed).iter().any(|it| self.is_taken(*it, who, shared) || closed(*it)) {
                return Err("ALREADY_HELD");
            }
            if self.tenures[..at].iter().any(|it| self.goes_before(it, who, shared, needed)) {
                return Err("ALREADY_HELD");
            }
        }
        Ok(())
    }

    fn goes_before(&self, other: &Tenure, who: usize, shared: bool, needed: usize) -> bool {
        let is_live = other.waits && other.until.is_none_or(|until| until > self.now);
        let needs = [other.name].into_iter().chain(self.blockers(other.name));
        let near = [needed].into_iter().chain(self.tree(needed)).collect::<Vec<_>>();
        is_live && other.who != who && !(other.shared && shared) && needs.into_iter().any(|it| near.contains(&it))
    }

    fn grant(&mut self, at: usize) {
        let (name, who) = (self.tenures[at].name, self.tenures[at].who);
        let covers = self.blockers(name);
        let delay = |book: &Book, name: usize| book.regs.get(&name).map_or(0, |it| it.delay);
        let has_part = |it: &usize| self.parts.iter().any(|part| part.who == who && part.name == *it);
        let new: Vec<usize> = covers.iter().copied().filter(|it| !has_part(it)).collect();
        for it in &new {
            let own = self.tenures.iter().find(|own| !own.waits && own.who == who && own.name == *it);
            let slot = own.map(|own| own.slot).or(self.free_slot(*it)).unwrap_or(0);
            self.parts.push(Part { who, name: *it, shared: self.tenures[at].shared, slot, delay: delay(self, *it) });
        }
        let (slot, delay, now) = (self.free_slot(name).unwrap_or(0), delay(self, name), self.now);
        let tenure = &mut self.tenures[at];
        (tenure.waits, tenure.covers, tenure.slot, tenure.delay) = (false, covers, slot, delay);
        tenure.until = tenure.ttl.map(|ttl| now + ttl);
    }

    /// Gives the names that nobody has any more of this one's. `ran_out`: when its time to live was over.
    fn drop_tenure(&mut self, at: usize, ran_out: Option<i64>) -> Vec<String> {
        let gone = self.tenures.remove(at);
        if gone.waits {
            return Vec::new();
        }
        let mut over = vec![(gone.name, gone.slot, gone.delay)];
        let tenures = &self.tenures;
        self.parts.retain(|part| {
            let is_needed = tenures.iter().any(|it| !it.waits && it.who == part.who && it.covers.contains(&part.name));
            let is_kept = part.who != gone.who || is_needed;
            if !is_kept {
                over.push((part.name, part.slot, part.delay));
            }
            is_kept
        });
        over[1..].sort_unstable();
        let closing = ran_out.into_iter().flat_map(|at| over.iter().map(move |it| (it.0, it.1, at + it.2, it.2)));
        self.closed.extend(closing.filter(|it| it.3 > 0).map(|it| (it.0, it.1, it.2)));
        let free = over.iter().filter(|it| !self.held_by(it.0).iter().any(|held| held.0 == gone.who));
        free.map(|it| NAMES[it.0].to_owned()).collect()
    }

    /// Does what is due among these names, and grants what came free.
    pub fn settle(&mut self, names: &BTreeSet<usize>) {
        let mut has_ended = false;
        while let Some(at) = self.next_due(names) {
            self.end_next(names, at);
            has_ended = true;
        }
        if has_ended {
            self.serve(names);
        }
    }

    /// Without granting anything to anybody: what a reader sees.
    pub fn seen(&self) -> Book {
        let names = (0..NAMES.len()).collect();
        let mut seen = self.clone();
        while let Some(at) = seen.next_due(&names) {
            seen.end_next(&names, at);
        }
        seen
    }

    fn next_due(&self, names: &BTreeSet<usize>) -> Option<i64> {
        let tenures = self.tenures.iter().filter(|it| names.contains(&it.name)).filter_map(|it| it.until);
        let closed = self.closed.iter().filter(|it| names.contains(&it.0)).map(|it| it.2);
        tenures.chain(closed).filter(|at| *at <= self.now).min()
    }

    fn end_next(&mut self, names: &BTreeSet<usize>, at: i64) {
        match self.tenures.iter().position(|it| names.contains(&it.name) && it.until == Some(at)) {
            Some(index) => drop(self.drop_tenure(index, Some(at))),
            None => self.closed.retain(|it| it.2 != at || !names.contains(&it.0)),
        }
    }

    /// Grants what can be granted, to who came first.
    fn serve(&mut self, names: &BTreeSet<usize>) {
        for at in 0..self.tenures.len() {
            let it = &self.tenures[at];
            let is_live = it.waits && it.until.is_none_or(|until| until > self.now);
            if is_live && names.contains(&it.name) && self.fits(it.who, it.shared, it.name, at).is_ok() {
                self.grant(at);
            }
        }
    }
}

/// Is it the name of one of the slots that a resource of this capacity has?
fn is_slot_of(name: &str, resource: &str, capacity: u32) -> bool {
    (0..capacity).any(|slot| capacity > 1 && name == format!("{resource}_{slot}"))
}
