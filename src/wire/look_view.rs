//! What is shown of what was asked before something is reserved.

use serde::Serialize;

use super::instant::Utc;
use super::view::{Carried, OfferView, offer};
use crate::domain::id::PoolName;
use crate::domain::look::{Looked, Quoted};
use crate::domain::resource::Pool;
use crate::domain::window::{Instant, Interval};

#[derive(Serialize)]
#[serde(untagged)]
pub enum LookedView<'a> {
    LatestEnd { available: bool, latest_end_time: Option<Utc> },
    Check { available: bool },
    Windows(Vec<WindowView<'a>>),
    Extension { available: bool, latest_extension_time: Utc },
    Quoted { offers: Vec<QuotedView<'a>> },
}

#[derive(Serialize)]
pub struct WindowView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<&'a str>,
    start_time: Utc,
    end_time: Utc,
    quantity: u32,
}

/// Every amount is in cents.
#[derive(Serialize)]
pub struct QuotedView<'a> {
    key: &'a str,
    display_name: &'a str,
    unit_price: i64,
    return_buyback_price: i64,
    pause_buyback_price: i64,
    total_price: i64,
    total_etbp_value: i64,
    total_fubp_value: i64,
    option_premium: i64,
}

pub fn looked(looked: &Looked) -> LookedView<'_> {
    match looked {
        Looked::LatestEnd(end) => latest_end(*end),
        Looked::Slots(slots) => LookedView::Windows(slots.iter().map(|slot| window(slot, None)).collect()),
        Looked::Check(available) => LookedView::Check { available: *available },
        Looked::Found(found) => {
            LookedView::Windows(found.iter().map(|(found, pool)| window(found, pool.as_ref())).collect())
        }
        Looked::Extension { is_available, latest_end } => {
            LookedView::Extension { available: *is_available, latest_extension_time: Utc(*latest_end) }
        }
        Looked::Locks { .. } => LookedView::Windows(Vec::new()), // told by `reply`
        Looked::Quoted(offers) => LookedView::Quoted { offers: offers.iter().map(quoted).collect() },
    }
}

fn latest_end<'a>(end: Option<Instant>) -> LookedView<'a> {
    LookedView::LatestEnd { available: end.is_some(), latest_end_time: end.map(Utc) }
}

fn window<'a>(window: &Interval, pool: Option<&'a PoolName>) -> WindowView<'a> {
    let Interval { start, end, quantity } = *window;
    WindowView { pool: pool.map(PoolName::as_str), start_time: Utc(start), end_time: Utc(end), quantity }
}

fn quoted(quoted: &Quoted) -> QuotedView<'_> {
    let offer = &quoted.offer;
    QuotedView {
        key: offer.key.as_str(),
        display_name: offer.display_name.as_str(),
        unit_price: offer.unit_price_cents,
        return_buyback_price: offer.return_buyback_price_cents,
        pause_buyback_price: offer.pause_buyback_price_cents,
        total_price: quoted.total_price_cents,
        total_etbp_value: quoted.total_return_cents,
        total_fubp_value: quoted.total_pause_cents,
        option_premium: offer.option_premium_cents,
    }
}

/// A pool as tenants see it: what it lets them do, and not how much of it there is.
#[derive(Serialize)]
pub struct OpenPoolView<'a> {
    pool: &'a str,
    instance_type: Option<&'a str>,
    region: Option<&'a str>,
    instance_spec: Option<Carried<'a>>,
    grain_seconds: u32,
    quantity_step: u32,
    quantity_min: Option<u32>,
    quantity_max: Option<u32>,
    duration_min_seconds: Option<u32>,
    duration_max_seconds: Option<u32>,
    lead_time_seconds: u32,
    horizon_seconds: u32,
    intervals_max: u32,
    ending_soon_seconds: u32,
    cancellable: bool,
    extendable: bool,
    pausable: bool,
    reducible: bool,
    offers: Vec<OfferView<'a>>,
    tags: Option<Carried<'a>>,
}

pub fn open_pool(pool: &Pool) -> OpenPoolView<'_> {
    let policy = &pool.policy;
    OpenPoolView {
        pool: pool.name.as_str(),
        instance_type: pool.instance_type.as_ref().map(|label| label.as_str()),
        region: pool.region.as_ref().map(|label| label.as_str()),
        instance_spec: pool.instance_spec.as_ref().map(Carried),
        grain_seconds: policy.grain_seconds,
        quantity_step: policy.quantity_step,
        quantity_min: policy.quantity_min,
        quantity_max: policy.quantity_max,
        duration_min_seconds: policy.duration_min_seconds,
        duration_max_seconds: policy.duration_max_seconds,
        lead_time_seconds: policy.lead_time_seconds,
        horizon_seconds: policy.horizon_seconds,
        intervals_max: policy.intervals_max,
        ending_soon_seconds: policy.ending_soon_seconds,
        cancellable: policy.cancellable,
        extendable: policy.extendable,
        pausable: policy.pausable,
        reducible: policy.reducible,
        offers: pool.offers.iter().map(offer).collect(),
        tags: pool.tags.as_ref().map(Carried),
    }
}
