//! A refusal's body: `{"error":{"code","message","retryable","details"}}`.

use serde::Serialize;

use super::instant::Utc;
use super::offer::{self, OfferView};
use super::view::Shown;
use crate::domain::booked::{Booked, Stretch};
use crate::domain::id::HoldId;
use crate::domain::outcome::{Refusal, Shortfall};

#[derive(Serialize)]
pub struct ErrorView<'a> {
    error: Error<'a>,
}

#[derive(Serialize)]
struct Error<'a> {
    code: &'static str,
    message: Shown<&'a Refusal>,
    retryable: bool,
    details: Details<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Details<'a> {
    Field {
        field: &'a str,
        reason: &'static str,
    },
    Payload {
        bytes_max: usize,
    },
    Conflict {
        field: &'a str,
    },
    Duration {
        duration_min_seconds: Option<u32>,
        duration_max_seconds: Option<u32>,
    },
    State {
        status: &'static str,
        allowed: Vec<&'static str>,
    },
    Held {
        resources: Vec<&'a str>,
    },
    LeadTime {
        earliest_start_time: Utc,
    },
    Capacity {
        intervals: Vec<ShortfallView>,
        offers: Vec<OfferView>,
        #[serde(skip_serializing_if = "Option::is_none")]
        latest_end_time: Option<Utc>,
    },
    Booked {
        intervals: Vec<StretchView<'a>>,
        offers: [(); 0],
        reservations: Vec<BookedView<'a>>,
        reservation_count: u64,
    },
    Price {
        unit_price_cents: i64,
    },
    Quota {
        quota: &'static str,
        limit: u64,
        used: u64,
        requested: u64,
    },
    Overload {
        retry_after_ms: u64,
    },
    None {},
}

#[derive(Serialize)]
struct ShortfallView {
    start_time: Utc,
    end_time: Utc,
    requested: u32,
    available: u32,
}

#[derive(Serialize)]
struct StretchView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<&'a str>,
    start_time: Utc,
    end_time: Utc,
    requested: u32,
    available: u32,
}

#[derive(Serialize)]
struct BookedView<'a> {
    reservation_id: Shown<HoldId>,
    tenant: &'a str,
    quantity: u32,
}

pub fn view(refusal: &Refusal) -> ErrorView<'_> {
    ErrorView {
        error: Error {
            code: refusal.code(),
            message: Shown(refusal),
            retryable: refusal.is_retryable(),
            details: details(refusal),
        },
    }
}

fn details(refusal: &Refusal) -> Details<'_> {
    match refusal {
        Refusal::InvalidRequest { field, reason, .. } => Details::Field { field, reason: reason.name() },
        Refusal::PayloadTooLarge { bytes_max } => Details::Payload { bytes_max: *bytes_max },
        Refusal::IdempotencyKeyConflict { field } => Details::Conflict { field },
        Refusal::DurationOutOfPolicy { seconds_min, seconds_max } => {
            Details::Duration { duration_min_seconds: *seconds_min, duration_max_seconds: *seconds_max }
        }
        Refusal::InvalidState { status, allowed } => {
            Details::State { status: status.name(), allowed: allowed.iter().map(|status| status.name()).collect() }
        }
        Refusal::LeadTimeViolation { earliest_start } => {
            Details::LeadTime { earliest_start_time: Utc(*earliest_start) }
        }
        Refusal::InsufficientCapacity { intervals, instead } => Details::Capacity {
            intervals: intervals.iter().map(shortfall).collect(),
            offers: offer::views(&instead.offers),
            latest_end_time: instead.latest_end.map(Utc),
        },
        Refusal::StillBooked { stretches, reservations, count } => Details::Booked {
            intervals: stretches.iter().map(stretch).collect(),
            offers: [],
            reservations: reservations.iter().map(booked).collect(),
            reservation_count: *count,
        },
        Refusal::StillHeld { resources } => {
            Details::Held { resources: resources.iter().map(|name| name.as_str()).collect() }
        }
        Refusal::PriceAboveMax { unit_price_cents } => Details::Price { unit_price_cents: *unit_price_cents },
        Refusal::QuotaExceeded { quota, limit, used, requested } => {
            Details::Quota { quota: quota.name(), limit: *limit, used: *used, requested: *requested }
        }
        Refusal::Overloaded { retry_after_ms } => Details::Overload { retry_after_ms: *retry_after_ms },
        Refusal::InvalidJson
        | Refusal::InvalidIdempotencyKey
        | Refusal::TenantMismatch
        | Refusal::DeadlineExceeded
        | Refusal::NotFound
        | Refusal::UnknownPool
        | Refusal::UnknownVerb
        | Refusal::NotCancellable
        | Refusal::NotExtendable
        | Refusal::NotPausable
        | Refusal::NotReducible
        | Refusal::PoolDisabled
        | Refusal::HoldExpired
        | Refusal::Unavailable
        | Refusal::UnknownOutcome => Details::None {},
    }
}

fn stretch(stretch: &Stretch) -> StretchView<'_> {
    StretchView {
        zone: stretch.zone.as_ref().map(|zone| zone.as_str()),
        start_time: Utc(stretch.start),
        end_time: Utc(stretch.end),
        requested: stretch.requested,
        available: stretch.available,
    }
}

fn booked(booked: &Booked) -> BookedView<'_> {
    BookedView { reservation_id: Shown(booked.id), tenant: booked.tenant.as_str(), quantity: booked.quantity }
}

fn shortfall(shortfall: &Shortfall) -> ShortfallView {
    ShortfallView {
        start_time: Utc(shortfall.start),
        end_time: Utc(shortfall.end),
        requested: shortfall.requested,
        available: shortfall.available,
    }
}
