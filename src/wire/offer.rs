//! Counter-offers in a refusal: each a request that can be sent as it stands.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::view::{self, Carried, IntervalView};
use crate::domain::command::{PriceLimit, Reserve};
use crate::domain::counter::{CounterOffer, OFFERS_MAX, OfferReason};

/// Most bytes that the requests of one refusal take together, so that it fits into a message and its receipt stays
/// small; an offer that is too much is left out.
const REQUESTS_BYTES_MAX: usize = 256 * 1024;

#[derive(Serialize)]
pub struct OfferView {
    reason: &'static str,
    request: Box<RawValue>,
}

pub fn views(offers: &[CounterOffer]) -> Vec<OfferView> {
    let mut left = REQUESTS_BYTES_MAX;
    let view = |offer: &CounterOffer| {
        let request = serde_json::value::to_raw_value(&request(&offer.request)).ok()?;
        left = left.checked_sub(request.get().len())?;
        Some(OfferView { reason: offer.reason.name(), request })
    };
    offers.iter().filter_map(view).collect()
}

/// A `reserve`, in the order of its table; what it does not say is left out.
#[derive(Serialize)]
struct RequestView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(flatten)]
    window: Option<IntervalView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    intervals: Option<Vec<IntervalView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Carried<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    launch_specification: Option<Carried<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    price_specification: Option<PriceView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<&'a str>,
}

#[derive(Serialize)]
struct PriceView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    offer_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_unit_price: Option<i64>,
}

fn request(reserve: &Reserve) -> RequestView<'_> {
    // A pool that was found by its kind is asked for by its kind again.
    let kind = reserve.wanted_kind.as_ref();
    let mut intervals = reserve.intervals.iter().map(view::interval);
    let (window, intervals) = match reserve.positions {
        None => (intervals.next(), None),
        Some(_) => (None, Some(intervals.collect())),
    };
    RequestView {
        pool: reserve.pool.as_ref().filter(|_| kind.is_none()).map(|pool| pool.as_str()),
        instance_type: kind.map(|kind| kind.instance_type.as_str()),
        region: kind.map(|kind| kind.region.as_str()),
        name: reserve.name.as_ref().map(|name| name.as_str()),
        window,
        intervals,
        tags: reserve.tags.as_ref().map(view::carried),
        launch_specification: reserve.launch_specification.as_ref().map(view::carried),
        price_specification: price(&reserve.price),
        hold_seconds: reserve.hold_seconds,
        zone: reserve.zone.as_ref().map(|zone| zone.as_str()),
    }
}

fn price(limit: &PriceLimit) -> Option<PriceView<'_>> {
    (*limit != PriceLimit::default()).then(|| PriceView {
        offer_key: limit.offer_key.as_ref().map(|key| key.as_str()),
        max_unit_price: limit.unit_price_max_cents,
    })
}

/// `details.offers`.
pub fn schema() -> Value {
    json!({
        "description": "Requests that would be granted now, in place of a reserve that was refused.",
        "type": "array",
        "maxItems": OFFERS_MAX,
        "items": {
            "type": "object",
            "properties": {
                "reason": {
                    "description": "In what it differs from what was asked for.",
                    "enum": OfferReason::ALL.map(OfferReason::name)
                },
                "request": {"description": "To be sent as it is.", "$ref": "reserve.request.json"}
            },
            "required": ["reason", "request"],
            "additionalProperties": false
        }
    })
}
