//! What `history` and `usage` answer, and how a span of time is written.

use serde::Serialize;

use super::instant::Utc;
use super::view::{Shown, UnitShown};
use crate::domain::hold::{Hold, Status};
use crate::domain::id::HoldId;
use crate::domain::past::{Entry, EntryKind};
use crate::domain::statement::{Grant, Milestone, Stated, Sums, UnitChange, UnitStatus};
use crate::domain::window::Instant;

#[derive(Serialize)]
pub struct HistoryView<'a> {
    reservation_id: Shown<HoldId>,
    events: Vec<EntryView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    continues_as_of: Option<Utc>,
}

#[derive(Serialize)]
struct EntryView<'a> {
    timestamp: Utc,
    event_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit_price_cents: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pause_credit_cents: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    return_credit_cents: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u32>,
}

/// `continues_as_of`: where earlier lines are left out, the `as_of` that tells them.
pub fn history(id: HoldId, entries: &[Entry], continues_as_of: Option<Instant>) -> HistoryView<'_> {
    HistoryView {
        reservation_id: Shown(id),
        events: entries.iter().map(entry).collect(),
        continues_as_of: continues_as_of.map(Utc),
    }
}

fn entry(entry: &Entry) -> EntryView<'_> {
    EntryView {
        timestamp: Utc(entry.at),
        event_type: match entry.kind {
            EntryKind::Event(event_type) => title(event_type.name()),
            EntryKind::TermsSet => "Terms Set".to_owned(),
            EntryKind::TermsChanged => "Terms Changed".to_owned(),
            EntryKind::UnitsRunning => "Units Running".to_owned(),
            EntryKind::UnitsStopped => "Units Stopped".to_owned(),
        },
        user_id: entry.actor.as_ref().map(|actor| actor.as_str()),
        unit_price_cents: entry.unit_price_cents,
        pause_credit_cents: entry.pause_credit_cents,
        return_credit_cents: entry.return_credit_cents,
        count: entry.count,
    }
}

/// `ending_soon` as `Ending Soon`.
pub(super) fn title(name: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    };
    name.split('_').map(word).collect::<Vec<_>>().join(" ")
}

#[derive(Serialize)]
pub struct UsageView<'a> {
    reservation: ReservationView<'a>,
    summary: SummaryView,
    grants: Vec<GrantView>,
    pricing_events: Vec<UnitChangeView>,
    reservation_events: Vec<MilestoneView<'a>>,
}

#[derive(Serialize)]
struct ReservationView<'a> {
    reservation_id: Shown<HoldId>,
    order_name: Option<&'a str>,
    start_date: Option<Utc>,
    end_date: Option<Utc>,
    status: &'static str,
    committed_cost_cents: i64,
}

#[derive(Serialize)]
struct SummaryView {
    committed_cost_cents: i64,
    flex_use_credits_cents: i64,
    early_termination_credits_cents: i64,
    net_cost_cents: i64,
    reserved_instance_hours: String,
    active_instance_hours: String,
    idle_instance_hours: String,
    as_of: Utc,
}

#[derive(Serialize)]
struct GrantView {
    grant_id: String,
    starts_at: Utc,
    ends_at: Utc,
    quantity: u32,
    unit_price_cents: i64,
    price_credit_cents: i64,
    return_credit_cents: i64,
}

#[derive(Serialize)]
struct UnitChangeView {
    id: Shown<uuid::Uuid>,
    occurred_at: Utc,
    instance_id: UnitShown,
    instance_status: &'static str,
}

#[derive(Serialize)]
struct MilestoneView<'a> {
    occurred_at: Utc,
    event_type: &'static str,
    reservation_name: Option<&'a str>,
}

pub fn usage(stated: &Stated) -> UsageView<'_> {
    let Stated { at, hold, sums, grants, units, milestones } = stated;
    UsageView {
        reservation: reservation(hold),
        summary: summary(hold, sums, *at),
        grants: grants.iter().map(|it| grant(hold.id, it)).collect(),
        pricing_events: units.iter().map(unit_change).collect(),
        reservation_events: milestones.iter().map(milestone).collect(),
    }
}

fn committed_cents(hold: &Hold) -> i64 {
    hold.reservation().map_or(0, |reservation| reservation.total_price_cents)
}

fn reservation(hold: &Hold) -> ReservationView<'_> {
    let reservation = hold.reservation();
    ReservationView {
        reservation_id: Shown(hold.id),
        order_name: reservation.and_then(|it| it.name.as_ref()).map(|name| name.as_str()),
        start_date: reservation.map(|it| Utc(it.start_time)),
        end_date: reservation.map(|it| Utc(it.end_time)),
        status: match hold.status {
            Status::Waitlisted | Status::Held | Status::Pending => "Open",
            Status::Active => "Allocated",
            Status::Paused => "Paused",
            Status::Canceled | Status::Ended | Status::Expired => "Terminated",
        },
        committed_cost_cents: committed_cents(hold),
    }
}

fn summary(hold: &Hold, sums: &Sums, at: Instant) -> SummaryView {
    let committed_cost_cents = committed_cents(hold);
    let credits = sums.pause_credit_cents.saturating_add(sums.return_credit_cents);
    SummaryView {
        committed_cost_cents,
        flex_use_credits_cents: sums.pause_credit_cents,
        early_termination_credits_cents: sums.return_credit_cents,
        net_cost_cents: committed_cost_cents.saturating_sub(credits),
        reserved_instance_hours: duration(sums.reserved),
        active_instance_hours: duration(sums.active),
        idle_instance_hours: duration(sums.idle),
        as_of: Utc(at),
    }
}

fn grant(id: HoldId, grant: &Grant) -> GrantView {
    GrantView {
        grant_id: format!("{id}/{}", grant.number),
        starts_at: Utc(grant.interval.start),
        ends_at: Utc(grant.interval.end),
        quantity: grant.interval.quantity,
        unit_price_cents: grant.unit_price_cents,
        price_credit_cents: grant.pause_credit_cents,
        return_credit_cents: grant.return_credit_cents,
    }
}

fn unit_change(change: &UnitChange) -> UnitChangeView {
    UnitChangeView {
        id: Shown(change.unit.hold.unit_change_id(change.version, change.unit.number)),
        occurred_at: Utc(change.at),
        instance_id: UnitShown(change.unit),
        instance_status: match change.status {
            UnitStatus::Running => "STATUS_RUNNING",
            UnitStatus::Paused => "STATUS_PAUSED",
            UnitStatus::Terminated => "STATUS_TERMINATED",
        },
    }
}

fn milestone(milestone: &Milestone) -> MilestoneView<'_> {
    MilestoneView {
        occurred_at: Utc(milestone.at),
        event_type: match milestone.event_type.name() {
            "active" => "Started",
            "paused" => "Paused",
            _ => "Extended",
        },
        reservation_name: milestone.name.as_ref().map(|name| name.as_str()),
    }
}

/// Unit-microseconds as an ISO 8601 duration of hours, minutes and seconds, the fraction only where it is not zero:
/// `PT36H`, `PT1H0M0.5S`, `PT0S`.
pub(super) fn duration(micros: i128) -> String {
    let (hours, rest) = (micros / 3_600_000_000, micros % 3_600_000_000);
    let (minutes, rest) = (rest / 60_000_000, rest % 60_000_000);
    let (seconds, micros) = (rest / 1_000_000, rest % 1_000_000);
    let mut text = "PT".to_owned();
    let mut part = |count: i128, unit: &str| {
        if count != 0 {
            text += &format!("{count}{unit}");
        }
    };
    part(hours, "H");
    part(minutes, "M");
    match micros {
        0 => part(seconds, "S"),
        _ => text += format!("{seconds}.{micros:06}").trim_end_matches('0'),
    }
    if micros != 0 {
        text.push('S');
    }
    if text == "PT" { "PT0S".to_owned() } else { text }
}
