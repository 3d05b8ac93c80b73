//! Instants on the wire: RFC 3339 in, UTC with `Z` out.

use std::fmt;

use chrono::{Datelike, Duration, NaiveDate, Timelike};
use serde::{Serialize, Serializer};

use crate::domain::window::Instant;

/// What an instant has to be, for a person.
pub const EXPECTED: &str =
    "an RFC 3339 instant with an offset, at most 6 fraction digits, no leap second, of the years 1970 to 9999";

/// The form of an instant, for JSON Schema.
pub const PATTERN: &str =
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-5][0-9](\\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})$";

/// Parses RFC 3339: an offset is needed, `t` and `z` may be small, `-00:00` is UTC. `None` for more than 6 fraction
/// digits, for the second 60, and outside of the years 1970 to 9999 in UTC.
pub fn parse(text: &str) -> Option<Instant> {
    let bytes = text.as_bytes();
    let is_separated = bytes.len() >= 20
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && matches!(bytes[10], b'T' | b't')
        && bytes[13] == b':'
        && bytes[16] == b':';
    if !is_separated {
        return None;
    }
    let year = i32::try_from(digits(&bytes[..4])?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, digits(&bytes[5..7])?, digits(&bytes[8..10])?)?;
    let (micros, offset) = fraction(&bytes[19..])?;
    let hour_minute_second = [&bytes[11..13], &bytes[14..16], &bytes[17..19]].map(digits);
    let [Some(hour), Some(minute), Some(second)] = hour_minute_second else { return None };
    let local = date.and_hms_micro_opt(hour, minute, second, micros)?.and_utc();
    let at = local.checked_sub_signed(Duration::seconds(offset_seconds(offset)?))?;
    (1970..=9999).contains(&at.year()).then_some(at)
}

/// The value of decimal digits; `None` where one of them is none. At most 9 of them.
fn digits(bytes: &[u8]) -> Option<u32> {
    let add = |value: u32, byte: &u8| byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0'));
    bytes.iter().try_fold(0, add)
}

/// Microseconds, and what stands behind them.
fn fraction(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let Some(rest) = bytes.strip_prefix(b".") else { return Some((0, bytes)) };
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=6).contains(&count) {
        return None;
    }
    let scale = (count..6).fold(1, |scale, _| scale * 10);
    Some((digits(&rest[..count])? * scale, &rest[count..]))
}

fn offset_seconds(bytes: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match bytes {
        b"Z" | b"z" => return Some(0),
        [b'+', h0, h1, b':', m0, m1] => (1, digits(&[*h0, *h1])?, digits(&[*m0, *m1])?),
        [b'-', h0, h1, b':', m0, m1] => (-1, digits(&[*h0, *h1])?, digits(&[*m0, *m1])?),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then(|| sign * i64::from(hours * 3_600 + minutes * 60))
}

/// An instant as it is answered: UTC, `Z`, microseconds (six digits) only where they are not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utc(pub Instant);

impl Utc {
    /// Every reply and event has a handful of these, so the digits are set by hand: formatting them was a twelfth of
    /// the worker's time.
    fn write(self, buffer: &mut [u8; 27]) -> &str {
        let Utc(at) = self;
        buffer.copy_from_slice(b"0000-00-00T00:00:00.000000Z");
        set_digits(&mut buffer[..4], at.year().unsigned_abs());
        let fields = [(5, at.month()), (8, at.day()), (11, at.hour()), (14, at.minute()), (17, at.second())];
        fields.into_iter().for_each(|(from, value)| set_digits(&mut buffer[from..from + 2], value));
        let length = match at.timestamp_subsec_micros() {
            0 => {
                buffer[19] = b'Z';
                20
            }
            micros => {
                set_digits(&mut buffer[20..26], micros);
                27
            }
        };
        std::str::from_utf8(&buffer[..length]).unwrap_or_default()
    }
}

fn set_digits(place: &mut [u8], mut value: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or_default();
        value /= 10;
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.write(&mut [0; 27]))
    }
}

impl Serialize for Utc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.write(&mut [0; 27]))
    }
}
