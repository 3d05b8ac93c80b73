//! `quote`: what a window would cost by each offer of its pool. Whether it is free is not looked at.

use super::check;
use super::look::known;
use super::reserve;
use crate::domain::command::Reserve;
use crate::domain::id::Label;
use crate::domain::look::{Looked, Quote, Quoted};
use crate::domain::outcome::Refusal;
use crate::domain::price::{cost_cents, worth_cents};
use crate::domain::resource::{Offer, STANDARD_OFFER};
use crate::domain::state::State;
use crate::domain::window::Interval;

pub(super) fn look(state: &mut State, asked: &Quote) -> Result<Looked, Refusal> {
    let (known, now) = known(state, &asked.target)?;
    reserve::check_policy(&known.pool.policy, &Reserve::of_window(asked.window))?;
    check::horizon(&known.pool.policy, now, asked.window.end, || "end_time".to_owned())?;
    let offers = match known.pool.offers.is_empty() {
        true => free_offer().into_iter().collect(),
        false => known.pool.offers.clone(),
    };
    Ok(Looked::Quoted(offers.into_iter().map(|offer| quoted(offer, &asked.window)).collect()))
}

fn quoted(offer: Offer, window: &Interval) -> Quoted {
    let (quantity, seconds) = (window.quantity, window.seconds());
    let unit_seconds = i128::from(quantity) * i128::from(seconds);
    Quoted {
        total_price_cents: cost_cents(quantity, seconds, offer.unit_price_cents),
        total_return_cents: worth_cents(unit_seconds, offer.return_buyback_price_cents),
        total_pause_cents: worth_cents(unit_seconds, offer.pause_buyback_price_cents),
        offer,
    }
}

/// The offer of a pool that has none.
fn free_offer() -> Option<Offer> {
    Some(Offer {
        key: Label::parse(STANDARD_OFFER)?,
        display_name: Label::parse("Standard")?,
        unit_price_cents: 0,
        return_buyback_price_cents: 0,
        pause_buyback_price_cents: 0,
        option_premium_cents: 0,
    })
}
