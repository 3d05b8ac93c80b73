//! Reads of the past: a reservation's history and usage, what a tenant holds of a pool over time, and what stood at an
//! earlier instant. Told from the events, and with what was due at that instant.

use super::answer::fits;
use super::reader::Queries;
use crate::domain::command::ScheduleOf;
use crate::domain::hold::{Hold, Kind};
use crate::domain::id::{HoldId, Tenant};
use crate::domain::outcome::{FieldReason, Refusal};
use crate::domain::past::{Entry, History, Recorded, later_part};
use crate::domain::schedule::Allocation;
use crate::domain::statement::Statement;
use crate::domain::tick::as_of;
use crate::domain::window::{Instant, minutes_before};
use crate::store::StoreError;
use crate::wire::capacity::Capacity;
use crate::wire::recall;
use crate::wire::reply::{self, Encoded};

/// Most events of one reservation that are read for an answer, the latest.
const EVENTS_MAX: u32 = 100_000;

pub(super) type Answered = Result<Result<Encoded, Refusal>, StoreError>;

/// A reservation, and the instant as of which it is asked about.
struct Subject {
    /// As its row is.
    present: Hold,
    /// `None`: as it is now.
    asked: Option<Instant>,
    at: Instant,
}

impl Queries {
    pub(super) async fn get_past(&self, tenant: &Tenant, id: HoldId, at: Instant) -> Answered {
        let subject = match self.subject(tenant, id, Some(at)).await? {
            Ok(subject) => subject,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut last = None;
        let told = self.recorded(&subject, 1, |event| last = Some(event.hold)).await?;
        Ok(told.and_then(|()| last.map(|hold| reply::reservation(&hold)).ok_or(Refusal::NotFound)))
    }

    /// Where the whole does not fit into one message its later part is told, and how to ask for what is before.
    pub(super) async fn history(&self, tenant: &Tenant, id: HoldId, asked: Option<Instant>) -> Answered {
        let subject = match self.subject(tenant, id, asked).await? {
            Ok(subject) => subject,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut history = History::default();
        let told = self.recorded(&subject, EVENTS_MAX, |event| history.add(&event)).await?;
        Ok(told.map(|()| self.told_to_fit(id, &history.finish())))
    }

    fn told_to_fit(&self, id: HoldId, entries: &[Entry]) -> Encoded {
        let mut first = 0usize;
        loop {
            let continues_as_of = first.checked_sub(1).and_then(|before| entries.get(before)).map(|entry| entry.at);
            let encoded = reply::history(id, &entries[first..], continues_as_of);
            let later = first + later_part(&entries[first..]);
            if later == first || fits(encoded.body.len(), self.payload_bytes_max) {
                return encoded;
            }
            first = later;
        }
    }

    pub(super) async fn usage(&self, tenant: &Tenant, id: HoldId, asked: Option<Instant>) -> Answered {
        let subject = match self.subject(tenant, id, asked).await? {
            Ok(subject) => subject,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut statement = Statement::default();
        let told = self.recorded(&subject, EVENTS_MAX, |event| statement.add(event)).await?;
        Ok(told.map(|()| reply::usage(&statement.finish(subject.at, subject.present))))
    }

    pub(super) async fn schedule(&self, tenant: &Tenant, of: ScheduleOf) -> Answered {
        let (capacity, now) = self.reader.capacity(&of.pool).await?;
        if of.as_of.is_some_and(|at| at > now) {
            return Ok(Err(later_than_now()));
        }
        let Some(capacity) = capacity else { return Ok(Err(Refusal::UnknownPool)) };
        let at = of.as_of.unwrap_or(now);
        let from = minutes_before(at, of.history_minutes);
        let mut allocation = Allocation::new(from);
        let mut is_readable = true;
        let add = |hold: Hold, payload: Option<&[u8]>| match payload {
            None => allocation.add(&as_of(hold, at)),
            Some(payload) => match recall::decode(payload, &hold) {
                Some(event) => allocation.add(&as_of(event.hold, at)),
                None => is_readable = false,
            },
        };
        self.reader.allocation(tenant, &of.pool, from, of.as_of, add).await?;
        if !is_readable {
            return Ok(Err(unreadable(&of.pool)));
        }
        let encoded = reply::capacity(&Capacity {
            tenant,
            pool: &of.pool,
            created_at: capacity.created_at,
            tags: capacity.tags.as_ref(),
            total: &allocation.total(),
            zones: &capacity.zones,
            by_zone: &allocation.by_zone(),
        });
        if fits(encoded.body.len(), self.payload_bytes_max) {
            return Ok(Ok(encoded));
        }
        let expected = "one whose schedule has so few steps that the answer fits into one message";
        Ok(Err(Refusal::field("pool", FieldReason::TooManyItems, expected)))
    }

    async fn subject(
        &self,
        tenant: &Tenant,
        id: HoldId,
        asked: Option<Instant>,
    ) -> Result<Result<Subject, Refusal>, StoreError> {
        let (hold, now) = self.reader.hold(tenant, id).await?;
        if asked.is_some_and(|at| at > now) {
            return Ok(Err(later_than_now()));
        }
        let hold = hold.filter(|hold| hold.kind() == Kind::Reservation);
        let subject = |present| Subject { present, asked, at: asked.unwrap_or(now) };
        Ok(hold.map(subject).ok_or(Refusal::NotFound))
    }

    /// Hands on the latest `limit` events, in order, and then what was due and has no event yet. Where an instant was
    /// asked for at which there was no event, the reservation is not found.
    async fn recorded(
        &self,
        subject: &Subject,
        limit: u32,
        mut each: impl FnMut(Recorded),
    ) -> Result<Result<(), Refusal>, StoreError> {
        let Subject { present, asked, at } = subject;
        let mut last = None;
        let mut is_readable = true;
        let tell = |payload: &[u8]| match recall::decode(payload, present) {
            Some(event) => {
                last = Some(event.hold.clone());
                each(event);
            }
            None => is_readable = false,
        };
        self.reader.events(present.id, present.last_seq, *asked, limit, tell).await?;
        if !is_readable {
            return Ok(Err(unreadable(&present.id)));
        }
        if last.is_none() && asked.is_some() {
            return Ok(Err(Refusal::NotFound));
        }
        Recorded::due(last.as_ref().unwrap_or(present), *at).for_each(each);
        Ok(Ok(()))
    }
}

pub(super) fn later_than_now() -> Refusal {
    Refusal::field("as_of", FieldReason::OutOfRange, "not later than now")
}

/// An event in the database is not one that berth writes.
pub(super) fn unreadable(whose: &dyn std::fmt::Display) -> Refusal {
    tracing::error!(%whose, "an event in the database can't be read");
    Refusal::Unavailable
}
