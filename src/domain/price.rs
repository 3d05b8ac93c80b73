//! Money: integer cents, rounded half up once per grant. Never a float.

/// What `units` over `seconds` cost at `unit_price_cents` per unit-hour, in cents, rounded half up.
///
/// All three are zero or more; the result fits 64 bits for every quantity, horizon and price that the limits allow.
pub fn cost_cents(units: u32, seconds: i64, unit_price_cents: i64) -> i64 {
    let cent_seconds = i128::from(units) * i128::from(seconds) * i128::from(unit_price_cents);
    let cents = (cent_seconds + 1_800).div_euclid(3_600);
    i64::try_from(cents).unwrap_or(i64::MAX)
}
