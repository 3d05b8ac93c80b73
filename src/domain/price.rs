//! Money: integer cents, rounded half up once per grant and per credit. Never a float.

/// What `units` over `seconds` cost at `unit_price_cents` per unit-hour, in cents, rounded half up; at most `i64::MAX`.
///
/// All three are zero or more.
pub fn cost_cents(units: u32, seconds: i64, unit_price_cents: i64) -> i64 {
    worth_cents(i128::from(units) * i128::from(seconds), unit_price_cents)
}

/// What `unit_seconds` are worth at `unit_price_cents` per unit-hour, in cents, rounded half up; at most `i64::MAX`.
pub fn worth_cents(unit_seconds: i128, unit_price_cents: i64) -> i64 {
    let cents = (unit_seconds * i128::from(unit_price_cents) + 1_800).div_euclid(3_600);
    i64::try_from(cents).unwrap_or(i64::MAX)
}

/// What `unit_micros` (units × microseconds) are worth at `unit_price_cents` per unit-hour, in cents, rounded half up;
/// at most `i64::MAX`.
pub fn worth_of_micros_cents(unit_micros: i128, unit_price_cents: i64) -> i64 {
    let cents = (unit_micros * i128::from(unit_price_cents) + 1_800_000_000).div_euclid(3_600_000_000);
    i64::try_from(cents).unwrap_or(i64::MAX)
}
