//! What became of the requests of a round.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::Message;
use hdrhistogram::Histogram;
use tokio::time::Instant;
use uuid::Uuid;

use super::CliError;
use super::mix::Kind;
use super::plan::EXTENSIONS_MAX;
use super::reply::{self, Item, NO_ID, Said};
use super::slot::{Booked, Has, Request, Sent, TakenLock};
use crate::wire::verb::Verb;

/// Latencies are kept in microseconds with three digits.
const LATENCY_MAX_MICROS: u64 = 600_000_000;

/// Something that was done, and is to be found afterwards.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    pub what: What,
    pub id: Uuid,
    pub tenant: u32,
    /// The request that it was asked by.
    pub round: &'static str,
    pub number: u64,
    pub item: u32,
}

/// `end`: the grain at which it ends now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Reserved { end: u32 },
    Extended { end: u32 },
    Canceled,
    Locked,
    Returned,
}

#[derive(Debug)]
pub struct Tally {
    pub kinds: BTreeMap<Kind, KindTally>,
    /// For each reservation and lock in the order in which it was done.
    pub done: Vec<Done>,
    /// Reservations and locks of which nobody knows what has become of them.
    pub unsure: Vec<Uuid>,
    /// Why requests were sent again.
    pub sent_again: BTreeMap<String, u64>,
    /// Answers that never came.
    pub unknown: u64,
    /// How late the last request of an open loop was sent, or should have been and was not.
    pub behind: Duration,
}

/// The answers to one kind of request.
#[derive(Debug)]
pub struct KindTally {
    /// Those that came before the end of the time; final ones, grants and refusals.
    pub answers: u64,
    pub refused: BTreeMap<String, u64>,
    /// Of messages: from the instant at which a request was due, or else first sent, to the final answer, microseconds.
    pub latency: Histogram<u64>,
}

pub fn latencies() -> Result<Histogram<u64>, CliError> {
    Histogram::new_with_bounds(1, LATENCY_MAX_MICROS, 3).map_err(CliError::of("make a histogram"))
}

impl KindTally {
    fn new() -> Result<KindTally, CliError> {
        Ok(KindTally { answers: 0, refused: BTreeMap::new(), latency: latencies()? })
    }

    fn refuse(&mut self, code: &str, items: u64) {
        add(&mut self.refused, code, items);
    }
}

impl Tally {
    pub fn new() -> Tally {
        Tally {
            kinds: BTreeMap::new(),
            done: Vec::new(),
            unsure: Vec::new(),
            sent_again: BTreeMap::new(),
            unknown: 0,
            behind: Duration::ZERO,
        }
    }

    pub fn add(&mut self, other: Tally) -> Result<(), CliError> {
        self.done.extend(other.done);
        self.unsure.extend(other.unsure);
        self.unknown += other.unknown;
        self.behind = self.behind.max(other.behind);
        other.sent_again.iter().for_each(|(why, count)| add(&mut self.sent_again, why, *count));
        for (kind, part) in other.kinds {
            let own = of(&mut self.kinds, kind)?;
            own.answers += part.answers;
            part.refused.iter().for_each(|(code, count)| own.refuse(code, *count));
            own.latency.add(&part.latency).map_err(CliError::of("add up latencies"))?;
        }
        Ok(())
    }

    pub fn answers(&self) -> u64 {
        self.kinds.values().map(|kind| kind.answers).sum()
    }

    pub fn refused(&self) -> BTreeMap<String, u64> {
        let mut refused = BTreeMap::new();
        for kind in self.kinds.values() {
            kind.refused.iter().for_each(|(code, count)| add(&mut refused, code, *count));
        }
        refused
    }

    /// Over all kinds.
    pub fn latency(&self) -> Result<Histogram<u64>, CliError> {
        let mut all = latencies()?;
        for kind in self.kinds.values() {
            all.add(&kind.latency).map_err(CliError::of("add up latencies"))?;
        }
        Ok(all)
    }

    /// What went wrong, for a person.
    pub fn complaint(&self) -> String {
        let mut parts: Vec<String> = self.refused().iter().map(|(code, count)| format!("{count} {code}")).collect();
        parts.extend((self.unknown > 0).then(|| format!("{} without an answer", self.unknown)));
        if parts.is_empty() { "not all were sent".to_owned() } else { parts.join(", ") }
    }

    pub fn count_again(&mut self, why: &str) {
        add(&mut self.sent_again, why, 1);
    }

    /// Gives a request up whose outcome was never told: what it was about is not touched again.
    pub fn give_up(&mut self, request: &Request, has: &mut Has) {
        self.unknown += u64::from(request.items);
        match request.verb {
            Verb::Extend | Verb::Cancel => self.unsure.extend(has.booked.take().map(|booked| booked.id)),
            Verb::Unlock => self.unsure.extend(has.taken.locks.drain(..).map(|lock| lock.id)),
            _ => (),
        }
    }

    /// Counts a final answer, and keeps what was granted by it.
    pub fn settle(
        &mut self,
        round: &'static str,
        sent: &Sent,
        has: &mut Has,
        message: &Message,
        said: &Said<'_>,
    ) -> Result<(), CliError> {
        let kind = of(&mut self.kinds, sent.request.kind)?;
        if let Said::Refused(code) = said {
            kind.refuse(code, sent.request.items.into());
            if sent.request.verb == Verb::Unlock {
                has.taken.locks.clear();
            }
            return Ok(());
        }
        let request = &sent.request;
        let mut settled = Settled { kind, done: &mut self.done, round, sent };
        match request.verb {
            Verb::Reserve => settled.reserved(has, &message.payload),
            Verb::Extend | Verb::Cancel => settled.changed(has, &message.payload),
            Verb::Lock => settled.locked(has, &message.payload),
            Verb::Unlock => settled.returned(has, &message.payload),
            _ => (), // only looked at
        }
        Ok(())
    }

    /// Counts when a final answer came.
    pub fn time(&mut self, sent: &Sent, now: Instant, is_in_time: bool) -> Result<(), CliError> {
        let kind = of(&mut self.kinds, sent.request.kind)?;
        kind.latency.saturating_record(u64::try_from((now - sent.due).as_micros()).unwrap_or(u64::MAX));
        kind.answers += if is_in_time { u64::from(sent.request.items) } else { 0 };
        Ok(())
    }
}

fn of(kinds: &mut BTreeMap<Kind, KindTally>, kind: Kind) -> Result<&mut KindTally, CliError> {
    use std::collections::btree_map::Entry;
    match kinds.entry(kind) {
        Entry::Occupied(entry) => Ok(entry.into_mut()),
        Entry::Vacant(entry) => Ok(entry.insert(KindTally::new()?)),
    }
}

fn add(counts: &mut BTreeMap<String, u64>, name: &str, by: u64) {
    match counts.get_mut(name) {
        Some(count) => *count += by,
        None => drop(counts.insert(name.to_owned(), by)),
    }
}

/// An answer that is no refusal, and where it is written down.
struct Settled<'a> {
    kind: &'a mut KindTally,
    done: &'a mut Vec<Done>,
    round: &'static str,
    sent: &'a Sent,
}

impl Settled<'_> {
    fn done(&mut self, what: What, id: Uuid, item: u32) {
        let (tenant, number) = (self.sent.request.tenant, self.sent.number);
        self.done.push(Done { what, id, tenant, round: self.round, number, item });
    }

    fn reserved(&mut self, has: &mut Has, payload: &[u8]) {
        let Some(id) = reply::reservation(payload) else { return self.kind.refuse(NO_ID, 1) };
        let Request { tenant, end, .. } = self.sent.request;
        has.booked = Some(Booked { id, tenant, end, extensions: 0 });
        self.done(What::Reserved { end }, id, 0);
    }

    fn changed(&mut self, has: &mut Has, payload: &[u8]) {
        let Some(mut booked) = has.booked.filter(|booked| reply::reservation(payload) == Some(booked.id)) else {
            return self.kind.refuse(NO_ID, 1);
        };
        if self.sent.request.verb == Verb::Cancel {
            has.booked = None;
            return self.done(What::Canceled, booked.id, 0);
        }
        booked.end = self.sent.request.end;
        booked.extensions += 1;
        has.booked = Some(booked).filter(|booked| booked.extensions < EXTENSIONS_MAX);
        self.done(What::Extended { end: booked.end }, booked.id, 0);
    }

    fn locked(&mut self, has: &mut Has, payload: &[u8]) {
        let mut items = reply::items(payload);
        for item in 0..self.sent.request.items {
            match items.next() {
                Some(Item::Locked { id, token }) => {
                    self.done(What::Locked, id, item);
                    if self.sent.request.kind == Kind::LockUnlock {
                        has.taken.locks.push(TakenLock { item, id, token });
                    }
                }
                Some(Item::Refused(code)) => self.kind.refuse(code, 1),
                Some(Item::Returned) | None => self.kind.refuse(NO_ID, 1),
            }
        }
        let taken = &mut has.taken;
        (taken.round, taken.number, taken.tenant) = (self.round, self.sent.number, self.sent.request.tenant);
    }

    fn returned(&mut self, has: &mut Has, payload: &[u8]) {
        let mut items = reply::items(payload);
        for (item, lock) in (0..).zip(has.taken.locks.drain(..)) {
            match items.next() {
                Some(Item::Returned) => self.done(What::Returned, lock.id, item),
                Some(Item::Refused(code)) => self.kind.refuse(code, 1),
                Some(Item::Locked { .. }) | None => self.kind.refuse(NO_ID, 1),
            }
        }
    }
}
