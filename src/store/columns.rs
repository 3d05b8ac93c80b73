//! Domain types to parameters: a statement of a batch takes an array of records where it writes rows, otherwise one
//! array for each column. Arrays within rows of the latter travel as Postgres's text form of an array.

use std::fmt::Write;

use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

use crate::domain::id::Lane;
use crate::domain::window::Instant;

pub type Bound<'q> = Query<'q, Postgres, PgArguments>;

pub fn lane_numbers(lanes: impl IntoIterator<Item = Lane>) -> Vec<i16> {
    lanes.into_iter().map(lane_number).collect()
}

pub fn lane_number(lane: Lane) -> i16 {
    i16::from(lane.number())
}

pub fn column<'a, R, T>(rows: &'a [R], of: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

pub fn integer(number: u32) -> Result<i32, sqlx::Error> {
    i32::try_from(number).map_err(too_large)
}

pub fn maybe_integer(number: Option<u32>) -> Result<Option<i32>, sqlx::Error> {
    number.map(integer).transpose()
}

pub fn too_large(error: std::num::TryFromIntError) -> sqlx::Error {
    sqlx::Error::Encode(Box::new(error))
}

pub fn micros(at: Instant) -> i64 {
    at.timestamp_micros()
}

/// Postgres's text form of an array: `{1,2,3}`.
pub fn array(items: impl Iterator<Item = impl std::fmt::Display>) -> String {
    let mut text = String::from("{");
    for (position, item) in items.enumerate() {
        let comma = if position == 0 { "" } else { "," };
        // Writing into a string does not fail.
        let _ = write!(text, "{comma}{item}");
    }
    text.push('}');
    text
}
