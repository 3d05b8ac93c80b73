//! Events read back: from the CloudEvent that was published to the reservation that it recorded.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::instant;
use crate::domain::event::EventType;
use crate::domain::hold::{EndReason, Hold, Opaque, Status, Units};
use crate::domain::id::{Actor, Label};
use crate::domain::past::Recorded;
use crate::domain::window::{Instant, Interval};

#[derive(Deserialize)]
struct CloudEvent<'a> {
    r#type: &'a str,
    #[serde(borrow)]
    data: Data<'a>,
}

/// What may differ from one version to the next.
#[derive(Deserialize)]
struct Data<'a> {
    name: Option<String>,
    status: &'a str,
    end_reason: Option<&'a str>,
    intervals: Vec<Span<'a>>,
    start_time: &'a str,
    end_time: &'a str,
    quantity: u32,
    units: Vec<&'a str>,
    #[serde(borrow)]
    launch_specification: Option<&'a RawValue>,
    #[serde(borrow)]
    tags: Option<&'a RawValue>,
    offer_key: String,
    unit_price_cents: i64,
    total_price_cents: i64,
    deactivated_at: Option<&'a str>,
    hold_expires_at: Option<&'a str>,
    paused_at: Option<&'a str>,
    /// `None` of an event that was written before events told it; such a one does not tell `paused_at` either.
    #[serde(default, borrow, deserialize_with = "present")]
    ending_soon_at: Option<Option<&'a str>>,
    version: u32,
    effective_at: &'a str,
    actor: Option<String>,
    return_credit_cents: Option<i64>,
    pause_credit_cents: Option<i64>,
}

#[derive(Deserialize)]
struct Span<'a> {
    start_time: &'a str,
    end_time: &'a str,
    quantity: u32,
}

/// The event of a reservation as it was recorded. What an event does not tell is taken from `present`, the same
/// reservation as it is now; but never a startup script, which is in no event. `None` where it is no event that
/// [`super::event::encode`] wrote of a reservation.
pub fn decode(payload: &[u8], present: &Hold) -> Option<Recorded> {
    let event: CloudEvent = serde_json::from_slice(payload).ok()?;
    let event_type = EventType::parse(event.r#type.rsplit('.').nth(1)?)?;
    let data = event.data;
    let mut hold = Hold {
        status: Status::parse(data.status)?,
        end_reason: maybe(data.end_reason, EndReason::parse)?,
        version: data.version,
        deactivated_at: maybe(data.deactivated_at, instant::parse)?,
        expires_at: maybe(data.hold_expires_at, instant::parse)?,
        ..present.clone()
    };
    let effective_at = instant::parse(data.effective_at)?;
    let reservation = hold.reservation_mut()?;
    reservation.name = maybe(data.name.as_deref(), Label::parse)?;
    reservation.intervals = data.intervals.iter().map(interval).collect::<Option<_>>()?;
    reservation.start_time = instant::parse(data.start_time)?;
    reservation.end_time = instant::parse(data.end_time)?;
    reservation.quantity = data.quantity;
    reservation.units = units(&data.units)?;
    reservation.launch_specification = data.launch_specification.map(|json| Opaque::new(json.get()));
    reservation.tags = data.tags.map(|json| Opaque::new(json.get()));
    reservation.offer_key = Label::parse(&data.offer_key)?;
    reservation.unit_price_cents = data.unit_price_cents;
    reservation.total_price_cents = data.total_price_cents;
    let recorded = Recorded {
        event_type,
        effective_at,
        actor: maybe(data.actor.as_deref(), Actor::parse)?,
        return_credit_cents: data.return_credit_cents,
        pause_credit_cents: data.pause_credit_cents,
        hold,
    };
    Some(match data.ending_soon_at {
        Some(ending_soon_at) => {
            recorded.with_told(maybe(data.paused_at, instant::parse)?, maybe(ending_soon_at, instant::parse)?)
        }
        None => recorded.with_guessed(),
    })
}

/// A field that is there, `null` or not.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<&'de str>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// `None` where there is a text and it can't be read.
fn maybe<T>(text: Option<&str>, parse: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
    text.map_or(Some(None), |text| parse(text).map(Some))
}

fn interval(span: &Span<'_>) -> Option<Interval> {
    let (start, end): (Instant, Instant) = (instant::parse(span.start_time)?, instant::parse(span.end_time)?);
    Some(Interval { start, end, quantity: span.quantity })
}

/// The numbers of units in ascending order, as ranges.
fn units(ids: &[&str]) -> Option<Units> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for id in ids {
        let number: u32 = id.rsplit_once('.')?.1.parse().ok()?;
        match ranges.last_mut() {
            Some(last) if last.1 == number => last.1 += 1,
            _ => ranges.push((number, number + 1)),
        }
    }
    Some(Units::from_ranges(ranges))
}
