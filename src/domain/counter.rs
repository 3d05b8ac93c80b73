//! What would be granted in place of what does not fit.

use super::command::Reserve;
use super::window::Instant;

/// Most offers of one refusal.
pub const OFFERS_MAX: usize = 3;

/// What goes with a refusal for want of capacity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Instead {
    /// For a new reservation: at most [`OFFERS_MAX`].
    pub offers: Vec<CounterOffer>,
    /// For an extension: the latest end that it would be granted, the present one where there is none.
    pub latest_end: Option<Instant>,
}

/// A request that would be granted now.
#[derive(Clone, Debug, PartialEq)]
pub struct CounterOffer {
    pub reason: OfferReason,
    /// What was asked for, but for what `reason` says.
    pub request: Reserve,
}

/// In what an offer differs from what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferReason {
    LaterStart,
    SmallerQuantity,
    Shorter,
    OtherPool,
}

impl OfferReason {
    pub const ALL: [OfferReason; 4] =
        [OfferReason::LaterStart, OfferReason::SmallerQuantity, OfferReason::Shorter, OfferReason::OtherPool];

    pub fn name(self) -> &'static str {
        match self {
            OfferReason::LaterStart => "later_start",
            OfferReason::SmallerQuantity => "smaller_quantity",
            OfferReason::Shorter => "shorter",
            OfferReason::OtherPool => "other_pool",
        }
    }
}
