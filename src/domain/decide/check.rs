//! What several verbs check, each with the refusal that it leads to.

use crate::domain::command::{InstanceKind, PriceLimit};
use crate::domain::counter::Instead;
use crate::domain::id::{Label, Tenant, ZoneName};
use crate::domain::outcome::{FieldReason, Refusal, Shortfall};
use crate::domain::quota::Tenants;
use crate::domain::resource::{Offer, Policy, Pool, QUANTITY_MAX, STANDARD_OFFER};
use crate::domain::state::{PoolState, State};
use crate::domain::window::{Instant, Interval, is_aligned, later};

pub(super) fn out_of_range(field: impl Into<String>, expected: impl Into<String>) -> Refusal {
    Refusal::field(field, FieldReason::OutOfRange, expected)
}

/// A pool found by kind may have become another kind's since.
pub(super) fn kind(pool: &Pool, wanted: Option<&InstanceKind>) -> Result<(), Refusal> {
    let is_of_kind = wanted.is_none_or(|wanted| {
        pool.instance_type.as_ref() == Some(&wanted.instance_type) && pool.region.as_ref() == Some(&wanted.region)
    });
    is_of_kind.then_some(()).ok_or(Refusal::UnknownPool)
}

pub(super) fn enabled(policy: &Policy) -> Result<(), Refusal> {
    policy.enabled.then_some(()).ok_or(Refusal::PoolDisabled)
}

pub(super) fn alignment(policy: &Policy, at: Instant, field: impl Fn() -> String) -> Result<(), Refusal> {
    if is_aligned(at, policy.grain_seconds) {
        return Ok(());
    }
    let expected = format!("on the pool's grid of {} seconds", policy.grain_seconds);
    Err(Refusal::field(field(), FieldReason::Misaligned, expected))
}

/// Most units that one interval of a new reservation may ask for.
pub(super) fn quantity_max(policy: &Policy) -> u32 {
    policy.quantity_max.unwrap_or(QUANTITY_MAX).min(QUANTITY_MAX)
}

/// `quantity_max` binds what is asked for, not what remains of it: it is passed in.
pub(super) fn quantity(policy: &Policy, quantity: u32, max: u32, field: impl Fn() -> String) -> Result<(), Refusal> {
    let min = policy.quantity_min.unwrap_or(1);
    if (min..=max).contains(&quantity) && quantity.is_multiple_of(policy.quantity_step) {
        return Ok(());
    }
    Err(out_of_range(field(), format!("a multiple of {} from {min} to {max}", policy.quantity_step)))
}

pub(super) fn duration(policy: &Policy, seconds: i64) -> Result<(), Refusal> {
    let Policy { duration_min_seconds: seconds_min, duration_max_seconds: seconds_max, .. } = *policy;
    let is_long_enough = seconds_min.is_none_or(|min| seconds >= i64::from(min));
    let is_short_enough = seconds_max.is_none_or(|max| seconds <= i64::from(max));
    match is_long_enough && is_short_enough {
        true => Ok(()),
        false => Err(Refusal::DurationOutOfPolicy { seconds_min, seconds_max }),
    }
}

/// The runs of touching intervals, each as its start and its length in seconds.
pub(super) fn runs(intervals: &[Interval]) -> Vec<(Instant, i64)> {
    let mut runs: Vec<(Instant, i64)> = Vec::new();
    let mut end_before = None;
    for interval in intervals {
        match runs.last_mut() {
            Some(run) if end_before == Some(interval.start) => run.1 += interval.seconds(),
            _ => runs.push((interval.start, interval.seconds())),
        }
        end_before = Some(interval.end);
    }
    runs
}

pub(super) fn horizon(policy: &Policy, now: Instant, end: Instant, field: impl Fn() -> String) -> Result<(), Refusal> {
    match end <= later(now, policy.horizon_seconds) {
        true => Ok(()),
        false => Err(out_of_range(field(), format!("at most {} seconds ahead", policy.horizon_seconds))),
    }
}

/// Whose limits count: the caller's, or, where it is only looked what is free, nobody's.
#[derive(Clone, Copy)]
pub(super) struct Limited<'a>(Option<(&'a Tenants, &'a Tenant)>);

impl<'a> Limited<'a> {
    pub(super) const NOBODY: Limited<'static> = Limited(None);

    /// What the tenant has must have been lapsed before.
    pub(super) fn tenant(state: &'a State, tenant: &'a Tenant) -> Limited<'a> {
        Limited(Some((state.tenants(), tenant)))
    }

    /// May these intervals be added to what there is?
    fn check(self, now: Instant, added: &[Interval]) -> Result<(), Refusal> {
        self.0.map_or(Ok(()), |(tenants, tenant)| tenants.check_intervals(tenant, now, added))
    }

    /// In order of precedence: what the caller may have, then what there is.
    pub(super) fn quota_and_capacity(
        self,
        pool: &PoolState,
        zone: Option<&ZoneName>,
        now: Instant,
        added: &[Interval],
    ) -> Result<(), Refusal> {
        self.check(now, added)?;
        capacity(pool, zone, added)
    }
}

/// Every interval that does not fit into the pool, or into the zone, in order. What has lapsed must have been taken
/// out before.
fn capacity(pool: &PoolState, zone: Option<&ZoneName>, intervals: &[Interval]) -> Result<(), Refusal> {
    let shortfall = |interval: &Interval| {
        let load = pool.peak(zone, interval.start, interval.end);
        let available = u32::try_from((-load).max(0)).unwrap_or(u32::MAX);
        let Interval { start, end, quantity: requested } = *interval;
        (requested > available).then_some(Shortfall { start, end, requested, available })
    };
    let shortfalls: Vec<Shortfall> = intervals.iter().filter_map(shortfall).collect();
    match shortfalls.is_empty() {
        true => Ok(()),
        false => Err(Refusal::InsufficientCapacity { intervals: shortfalls, instead: Instead::default() }),
    }
}

/// The prices of an offer, cents per unit-hour.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) offer_key: Label,
    pub(super) unit_price_cents: i64,
    pub(super) return_buyback_price_cents: i64,
    pub(super) pause_buyback_price_cents: i64,
}

/// The offer of that key; for `None` the standard one, or the first where the pool has no standard one. A pool
/// without offers has the standard one, at no price.
pub(super) fn terms(pool: &Pool, key: Option<&Label>) -> Result<Terms, Refusal> {
    let offer = match key {
        Some(key) => pool.offers.iter().find(|offer| offer.key == *key),
        None => pool.offers.iter().find(|offer| offer.key.as_str() == STANDARD_OFFER).or(pool.offers.first()),
    };
    if let Some(offer) = offer {
        return Ok(terms_of(offer));
    }
    let is_standard = key.is_none_or(|key| key.as_str() == STANDARD_OFFER);
    free_terms().filter(|_| pool.offers.is_empty() && is_standard).ok_or_else(unknown_offer)
}

fn terms_of(offer: &Offer) -> Terms {
    Terms {
        offer_key: offer.key.clone(),
        unit_price_cents: offer.unit_price_cents,
        return_buyback_price_cents: offer.return_buyback_price_cents,
        pause_buyback_price_cents: offer.pause_buyback_price_cents,
    }
}

fn free_terms() -> Option<Terms> {
    let offer_key = Label::parse(STANDARD_OFFER)?;
    Some(Terms { offer_key, unit_price_cents: 0, return_buyback_price_cents: 0, pause_buyback_price_cents: 0 })
}

fn unknown_offer() -> Refusal {
    out_of_range("price_specification.offer_key", "the key of an offer of the pool")
}

pub(super) fn price(terms: &Terms, limit: &PriceLimit) -> Result<(), Refusal> {
    let unit_price_cents = terms.unit_price_cents;
    match limit.unit_price_max_cents.is_none_or(|max| unit_price_cents <= max) {
        true => Ok(()),
        false => Err(Refusal::PriceAboveMax { unit_price_cents }),
    }
}
