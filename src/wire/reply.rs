//! Replies: a body, and for a refusal the two error headers.

use serde::Serialize;

use super::capacity::{self, Capacity};
use super::cursor;
use super::history;
use super::look_view::{self, LookedView};
use super::refusal::{self as refusals, ErrorView};
use super::reply_lock::{self, CheckView, LockReply, RenewReply, ResourceView, UnlockReply};
use super::reply_operator::{self, LockReleasedView, LoweredView};
use super::tenant::{self, TenantView};
pub use super::tenant::{encode as tenant_config, quota};
use super::view::{self, Carried, PoolView, ReservationView};
use crate::domain::command::ListCursor;
use crate::domain::hold::Hold;
use crate::domain::id::HoldId;
use crate::domain::look::Looked;
use crate::domain::outcome::{Answer, Outcome, Refusal, Registered, Terminated, TransactItem, Transacted};
use crate::domain::past::Entry;
use crate::domain::resource::Pool;
use crate::domain::statement::Stated;
use crate::domain::window::Instant;

/// A reply's bytes, ready to be sent and to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    pub body: Vec<u8>,
    /// Number and code, for the error headers; `None` for an answer.
    pub error: Option<(u16, String)>,
}

impl Encoded {
    fn answer(value: &impl Serialize) -> Encoded {
        Encoded { body: view::bytes(value), error: None }
    }
}

/// What a command is answered with. A refusal within `Several` stands in its place, without error headers.
pub fn outcome(outcome: &Outcome) -> Encoded {
    match outcome {
        Ok(Answer::DryRun(answer)) => Encoded::answer(&DryRunView { answer: answer_view(answer), dry_run: true }),
        Ok(answer) => Encoded::answer(&answer_view(answer)),
        Err(refused) => refusal(refused),
    }
}

pub fn refusal(refusal: &Refusal) -> Encoded {
    let error = Some((refusal.number(), refusal.code().to_owned()));
    Encoded { body: view::bytes(&refusals::view(refusal)), error }
}

/// `get`. A lock's claim is no reservation, so it is not found.
pub fn reservation(hold: &Hold) -> Encoded {
    match hold.reservation() {
        Some(reservation) => Encoded::answer(&view::reservation(hold, reservation)),
        None => refusal(&Refusal::NotFound),
    }
}

/// `history`: `continues_as_of` where earlier lines are left out.
pub fn history(id: HoldId, entries: &[Entry], continues_as_of: Option<Instant>) -> Encoded {
    Encoded::answer(&history::history(id, entries, continues_as_of))
}

pub fn usage(stated: &Stated) -> Encoded {
    Encoded::answer(&history::usage(stated))
}

/// `schedule`.
pub fn capacity(capacity: &Capacity<'_>) -> Encoded {
    Encoded::answer(&capacity::view(capacity))
}

#[derive(Serialize)]
struct Page<T> {
    data: Vec<T>,
    next_cursor: Option<String>,
}

/// `list`: `next` is the last of the page where there is more behind it.
pub fn reservations(holds: &[Hold], has_more: bool, is_by_status: bool) -> Encoded {
    let cursor =
        |last: &Hold| cursor::encode_list(&ListCursor { status: is_by_status.then_some(last.status), id: last.id });
    Encoded::answer(&Page {
        data: holds.iter().filter_map(reservation_view).collect(),
        next_cursor: holds.last().filter(|_| has_more).map(cursor),
    })
}

/// `list` as of an instant: `next` is where the next page begins, behind the last that was looked at.
pub fn past_reservations(holds: &[Hold], next: Option<HoldId>) -> Encoded {
    Encoded::answer(&Page {
        data: holds.iter().filter_map(reservation_view).collect(),
        next_cursor: next.map(|id| cursor::encode_list(&ListCursor { status: None, id })),
    })
}

#[derive(Serialize)]
struct VerifyView {
    current: bool,
    fencing_token: i64,
}

/// `verify`: is it the token of a present holder? The reply's `fencing_token` is the one asked about, never another's.
pub fn verify(fencing_token: i64, current: bool) -> Encoded {
    Encoded::answer(&VerifyView { current, fencing_token })
}

/// `resources`, by name: each with the claims that hold it.
pub fn resources(resources: &[(Registered, Vec<Hold>)], has_more: bool) -> Encoded {
    let last = resources.last().filter(|_| has_more);
    Encoded::answer(&Page {
        data: resources.iter().map(|(resource, holders)| reply_lock::registered(resource, Some(holders))).collect(),
        next_cursor: last.map(|(last, _)| cursor::encode_resource(&last.resource.name)),
    })
}

/// `locks`, the oldest first.
pub fn locks(holds: &[Hold], has_more: bool) -> Encoded {
    Encoded::answer(&Page {
        data: holds.iter().filter_map(reply_lock::listed).collect(),
        next_cursor: holds.last().filter(|_| has_more).map(|last| cursor::encode_lock(last.id)),
    })
}

pub fn pool(pool: &Pool) -> Encoded {
    Encoded::answer(&view::pool(pool))
}

/// `pool_list`, by name.
pub fn pools(pools: &[Pool], has_more: bool) -> Encoded {
    Encoded::answer(&Page {
        data: pools.iter().map(view::pool).collect(),
        next_cursor: pools.last().filter(|_| has_more).map(|last| cursor::encode_pool(&last.name)),
    })
}

/// `pools`, by name.
pub fn open_pools(pools: &[Pool], has_more: bool) -> Encoded {
    Encoded::answer(&Page {
        data: pools.iter().map(look_view::open_pool).collect(),
        next_cursor: pools.last().filter(|_| has_more).map(|last| cursor::encode_pool(&last.name)),
    })
}

#[derive(Serialize)]
#[serde(untagged)]
enum AnswerView<'a> {
    Reservation(Option<Box<ReservationView<'a, Carried<'a>>>>),
    Terminated(Box<TerminatedView<'a>>),
    Lock(Box<LockReply<'a>>),
    Unlock(UnlockReply<'a>),
    Renew(RenewReply<'a>),
    Registered(Box<ResourceView<'a>>),
    Transacted(TransactedView<'a>),
    Untouched { status: &'static str },
    Checked(Box<CheckView<'a>>),
    Pool(Box<PoolView<'a>>),
    Lowered(Box<LoweredView<'a>>),
    LockReleased(LockReleasedView<'a>),
    Looked(Box<LookedView<'a>>),
    Tenant(Box<TenantView<'a>>),
    Several(Vec<AnswerView<'a>>),
    Refused(ErrorView<'a>),
}

/// The answer that it would be, marked.
#[derive(Serialize)]
struct DryRunView<'a> {
    #[serde(flatten)]
    answer: AnswerView<'a>,
    dry_run: bool,
}

fn answer_view(answer: &Answer) -> AnswerView<'_> {
    match answer {
        Answer::Reservation(hold) => AnswerView::Reservation(reservation_view(hold).map(Box::new)),
        Answer::Terminated(terminated) => AnswerView::Terminated(Box::new(terminated_view(terminated))),
        Answer::Lock(answer) => AnswerView::Lock(Box::new(reply_lock::lock(answer))),
        Answer::Unlock(answer) => AnswerView::Unlock(reply_lock::unlock(answer)),
        Answer::Renew(answer) => AnswerView::Renew(reply_lock::renew(answer)),
        Answer::Registered(registered) => AnswerView::Registered(Box::new(reply_lock::registered(registered, None))),
        Answer::Transacted(transacted) => AnswerView::Transacted(transacted_view(transacted)),
        Answer::Lowered(lowered) => AnswerView::Lowered(Box::new(reply_operator::lowered(lowered))),
        Answer::LockReleased(released) => AnswerView::LockReleased(reply_operator::lock_released(released)),
        Answer::Pool(pool) => AnswerView::Pool(Box::new(view::pool(pool))),
        Answer::Looked(looked) => looked_view(looked),
        Answer::DryRun(answer) => answer_view(answer), // only a whole message is one
        Answer::Tenant(config) => AnswerView::Tenant(Box::new(tenant::view(config))),
        Answer::Several(outcomes) => AnswerView::Several(outcomes.iter().map(item_view).collect()),
    }
}

fn looked_view(looked: &Looked) -> AnswerView<'_> {
    let Looked::Locks { locks, is_many } = looked else {
        return AnswerView::Looked(Box::new(look_view::looked(looked)));
    };
    let mut views = locks.iter().map(|checked| AnswerView::Checked(Box::new(reply_lock::checked(checked))));
    match is_many {
        false => views.next().unwrap_or(AnswerView::Several(Vec::new())),
        true => AnswerView::Several(views.collect()),
    }
}

#[derive(Serialize)]
struct TransactedView<'a> {
    status: &'static str,
    results: Vec<AnswerView<'a>>,
}

fn transacted_view(transacted: &Transacted) -> TransactedView<'_> {
    TransactedView { status: transacted.status.name(), results: transacted.results.iter().map(result_view).collect() }
}

fn result_view(item: &TransactItem) -> AnswerView<'_> {
    match item {
        TransactItem::Decided(outcome) => item_view(outcome),
        TransactItem::RolledBack => AnswerView::Untouched { status: "ROLLED_BACK" },
        TransactItem::Skipped => AnswerView::Untouched { status: "SKIPPED" },
    }
}

fn item_view(outcome: &Outcome) -> AnswerView<'_> {
    match outcome {
        Ok(answer) => answer_view(answer),
        Err(refusal) => AnswerView::Refused(refusals::view(refusal)),
    }
}

fn reservation_view(hold: &Hold) -> Option<ReservationView<'_, Carried<'_>>> {
    hold.reservation().map(|reservation| view::reservation(hold, reservation))
}

#[derive(Serialize)]
struct TerminatedView<'a> {
    reservation: Option<ReservationView<'a, Carried<'a>>>,
    terminated_units: Vec<view::UnitShown>,
    already_terminated: Vec<view::UnitShown>,
    credit_cents: i64,
}

fn terminated_view(terminated: &Terminated) -> TerminatedView<'_> {
    TerminatedView {
        reservation: reservation_view(&terminated.hold),
        terminated_units: terminated.terminated_units.iter().copied().map(view::UnitShown).collect(),
        already_terminated: terminated.already_terminated.iter().copied().map(view::UnitShown).collect(),
        credit_cents: terminated.credit_cents,
    }
}
