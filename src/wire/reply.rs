//! Replies: a body, and for a refusal the two error headers.

use serde::Serialize;

use super::capacity::{self, Capacity};
use super::cursor;
use super::history;
use super::instant::Utc;
use super::look_view::{self, LookedView};
use super::refusal::{self as refusals, ErrorView};
use super::reply_operator::{self, LockReleasedView, LoweredView};
use super::tenant::{self, TenantView};
pub use super::tenant::{encode as tenant_config, quota};
use super::view::{self, Carried, PoolView, ReservationView, Shown};
use crate::domain::command::ListCursor;
use crate::domain::hold::Hold;
use crate::domain::id::{HoldId, ResourceName};
use crate::domain::outcome::{
    Answer, LockAnswer, LockStatus, Outcome, Refusal, ReleaseStatus, RenewAnswer, Terminated, UnlockAnswer,
};
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
struct CheckView<'a> {
    resource: &'a str,
    is_reserved: bool,
    holder: Option<&'a str>,
    expires_at: Option<Utc>,
    fencing_token: Option<i64>,
}

/// `check`: for each resource its live holder.
pub fn check(resources: &[(ResourceName, Option<Hold>)], is_many: bool) -> Encoded {
    let mut views = resources.iter().map(check_view);
    match (is_many, views.next()) {
        (false, Some(one)) => Encoded::answer(&one),
        (_, first) => Encoded::answer(&first.into_iter().chain(views).collect::<Vec<_>>()),
    }
}

fn check_view((resource, hold): &(ResourceName, Option<Hold>)) -> CheckView<'_> {
    let lock = hold.as_ref().and_then(Hold::lock);
    CheckView {
        resource: resource.as_str(),
        is_reserved: hold.is_some(),
        holder: lock.map(|lock| lock.requester.as_str()),
        expires_at: hold.as_ref().and_then(|hold| hold.expires_at).map(Utc),
        fencing_token: lock.map(|lock| lock.fencing_token),
    }
}

#[derive(Serialize)]
struct VerifyView {
    current: bool,
    fencing_token: i64,
}

/// `verify`: `current` is the token of the present holder, if there is one. The reply's `fencing_token` is the one
/// asked about, never another's.
pub fn verify(fencing_token: i64, current: Option<i64>) -> Encoded {
    Encoded::answer(&VerifyView { current: current == Some(fencing_token), fencing_token })
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
        Answer::Lock(answer) => AnswerView::Lock(Box::new(lock_reply(answer))),
        Answer::Unlock(answer) => AnswerView::Unlock(unlock_reply(answer)),
        Answer::Renew(answer) => AnswerView::Renew(renew_reply(answer)),
        Answer::Lowered(lowered) => AnswerView::Lowered(Box::new(reply_operator::lowered(lowered))),
        Answer::LockReleased(released) => AnswerView::LockReleased(reply_operator::lock_released(released)),
        Answer::Pool(pool) => AnswerView::Pool(Box::new(view::pool(pool))),
        Answer::Looked(looked) => AnswerView::Looked(Box::new(look_view::looked(looked))),
        Answer::DryRun(answer) => answer_view(answer), // only a whole message is one
        Answer::Tenant(config) => AnswerView::Tenant(Box::new(tenant::view(config))),
        Answer::Several(outcomes) => AnswerView::Several(outcomes.iter().map(item_view).collect()),
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

#[derive(Serialize)]
struct LockReply<'a> {
    resource: &'a str,
    requester: &'a str,
    status: &'static str,
    explanation: &'static str,
    release_token: Option<Shown<uuid::Uuid>>,
    fencing_token: Option<i64>,
    expires_at: Option<Utc>,
    /// Slots, blockers and trees belong to registered resources, of which there are none yet.
    acquired_slots: Option<()>,
    acquired_blockers: Option<()>,
    reserved_at_path: Option<()>,
    lock_id: Option<Shown<HoldId>>,
}

fn lock_reply(answer: &LockAnswer) -> LockReply<'_> {
    // Another's claim must not show, whatever the answer carries.
    let claim = answer.claim.as_ref().filter(|_| answer.status != LockStatus::AlreadyHeld);
    let lock = claim.and_then(Hold::lock);
    LockReply {
        resource: answer.resource.as_str(),
        requester: answer.requester.as_str(),
        status: answer.status.name(),
        explanation: match answer.status {
            LockStatus::Acquired => "The lock is now held by the requester.",
            LockStatus::AlreadyHad => "The requester held the lock already; nothing was changed.",
            LockStatus::AlreadyHeld => "The lock is held by another requester; try again later.",
        },
        release_token: lock.map(|lock| Shown(lock.release_token)),
        fencing_token: lock.map(|lock| lock.fencing_token),
        expires_at: claim.and_then(|hold| hold.expires_at).map(Utc),
        acquired_slots: None,
        acquired_blockers: None,
        reserved_at_path: None,
        lock_id: claim.map(|hold| Shown(hold.id)),
    }
}

#[derive(Serialize)]
struct UnlockReply<'a> {
    requester: &'a str,
    resource: &'a str,
    status: &'static str,
    released: Vec<&'a str>,
}

fn unlock_reply(answer: &UnlockAnswer) -> UnlockReply<'_> {
    let is_released = answer.status == ReleaseStatus::Relinquished;
    UnlockReply {
        requester: answer.requester.as_str(),
        resource: answer.resource.as_str(),
        status: answer.status.name(),
        released: is_released.then_some(answer.resource.as_str()).into_iter().collect(),
    }
}

#[derive(Serialize)]
struct RenewReply<'a> {
    resource: &'a str,
    status: &'static str,
    expires_at: Option<Utc>,
    fencing_token: Option<i64>,
}

fn renew_reply(answer: &RenewAnswer) -> RenewReply<'_> {
    let claim = answer.claim.as_ref();
    RenewReply {
        resource: answer.resource.as_str(),
        status: answer.status.name(),
        expires_at: claim.and_then(|hold| hold.expires_at).map(Utc),
        fencing_token: claim.and_then(Hold::lock).map(|lock| lock.fencing_token),
    }
}
