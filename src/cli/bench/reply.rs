//! What a reply means. Looks at the bytes instead of parsing them: the load shares the machine with what it measures.

use std::time::Duration;

use async_nats::{Message, StatusCode};
use serde_json::Value;
use uuid::Uuid;

use crate::cli::ERROR_CODE_HEADER;

/// A worker that says nothing about when to come again, or is not there.
const RETRY_DEFAULT: Duration = Duration::from_millis(100);
const RESERVATION: &[u8; 18] = b"\"reservation_id\":\"";
const LOCK: &[u8; 11] = b"\"lock_id\":\"";
const TOKEN: &[u8; 17] = b"\"release_token\":\"";
/// Each item of a reply about locks has one of these two, and no more.
const STATUS: &[u8; 10] = b"\"status\":\"";
const ERROR: &[u8; 10] = b"\"error\":{\"";
const CODE: &[u8; 7] = b"code\":\"";
/// Neither granted nor refused.
pub const NO_ID: &str = "no_id";

/// What a reply says as a whole.
#[derive(Debug, PartialEq, Eq)]
pub enum Said<'a> {
    Answer,
    Refused(&'a str),
    Again(&'static str, Duration),
}

pub fn said(message: &Message) -> Said<'_> {
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        return Said::Again("nobody_serves", RETRY_DEFAULT);
    }
    let code = message.headers.as_ref().and_then(|headers| headers.get(ERROR_CODE_HEADER));
    match code.map(async_nats::HeaderValue::as_str) {
        None => Said::Answer,
        Some("overloaded") => Said::Again("overloaded", retry_after(&message.payload)),
        Some("unavailable") => Said::Again("unavailable", RETRY_DEFAULT),
        // It may have been done: as with no answer at all, only a key makes it safe to send again.
        Some("unknown_outcome") => Said::Again("no_answer", RETRY_DEFAULT),
        Some(code) => Said::Refused(code),
    }
}

fn retry_after(payload: &[u8]) -> Duration {
    let body: Value = serde_json::from_slice(payload).unwrap_or(Value::Null);
    body.pointer("/error/details/retry_after_ms").and_then(Value::as_u64).map_or(RETRY_DEFAULT, Duration::from_millis)
}

/// The id of the reservation that a reply shows.
pub fn reservation(payload: &[u8]) -> Option<Uuid> {
    uuid(behind(payload, RESERVATION)?)
}

/// One item of a reply about locks.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    Locked { id: Uuid, token: Uuid },
    Returned,
    Refused(&'a str),
}

/// The items of a reply about locks, one or several, in their order.
#[derive(Debug)]
pub struct Items<'a>(&'a [u8]);

pub fn items(payload: &[u8]) -> Items<'_> {
    Items(payload)
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        let at = self.0.windows(STATUS.len()).position(|window| window == STATUS || window == ERROR)?;
        let is_error = self.0.get(at..)?.starts_with(ERROR);
        self.0 = self.0.get(at + STATUS.len()..)?;
        if is_error {
            self.0 = self.0.strip_prefix(CODE).unwrap_or(self.0);
        }
        let end = self.0.iter().position(|byte| *byte == b'"')?;
        let word = std::str::from_utf8(self.0.get(..end)?).unwrap_or(NO_ID);
        Some(match word {
            "ACQUIRED" | "ALREADY_HAD" => self.locked().unwrap_or(Item::Refused(NO_ID)),
            "RELINQUISHED" => Item::Returned,
            word => Item::Refused(word),
        })
    }
}

impl<'a> Items<'a> {
    fn locked(&mut self) -> Option<Item<'a>> {
        self.0 = behind(self.0, TOKEN)?;
        let token = uuid(self.0)?;
        self.0 = behind(self.0, LOCK)?;
        Some(Item::Locked { id: uuid(self.0)?, token })
    }
}

/// The name's length is known to the compiler, which so compares a few words and calls nothing.
fn behind<'a, const N: usize>(bytes: &'a [u8], name: &[u8; N]) -> Option<&'a [u8]> {
    bytes.get(bytes.windows(N).position(|window| window == name)? + N..)
}

fn uuid(bytes: &[u8]) -> Option<Uuid> {
    Uuid::try_parse_ascii(bytes.get(..36)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0198c5a0-0000-7000-8000-000000000001";
    const TOKEN: &str = "5b0e7c1a-9d1f-8a3c-b9d5-0f5a3c1d2e4f";

    #[test]
    fn a_reservation_is_found_by_its_name() {
        assert_eq!(reservation(format!(r#"{{"reservation_id":"{ID}","pool":"p"}}"#).as_bytes()), ID.parse().ok());
        assert_eq!(reservation(br#"{"reservation_id":null}"#), None);
        assert_eq!(reservation(br#"{"reservation_id":"0198"}"#), None);
    }

    #[test]
    fn each_item_about_locks_is_told_apart() {
        let had = format!(r#"{{"resource":"a","status":"ACQUIRED","release_token":"{TOKEN}","lock_id":"{ID}"}}"#);
        let (id, token) = (ID.parse().unwrap(), TOKEN.parse().unwrap());
        assert_eq!(items(had.as_bytes()).collect::<Vec<_>>(), [Item::Locked { id, token }]);
        let held = r#"{"resource":"b","status":"ALREADY_HELD","release_token":null,"lock_id":null}"#;
        let refused = r#"{"error":{"code":"quota_exceeded","message":"m","details":{}}}"#;
        let several = format!("[{held},{had},{refused},{had}]");
        let (one, other) = (Item::Refused("ALREADY_HELD"), Item::Refused("quota_exceeded"));
        let locked = || Item::Locked { id, token };
        assert_eq!(items(several.as_bytes()).collect::<Vec<_>>(), [one, locked(), other, locked()]);
        let returned = r#"[{"requester":"r","status":"RELINQUISHED","released":["a"]},{"status":"NOT_RESERVED"}]"#;
        assert_eq!(items(returned.as_bytes()).collect::<Vec<_>>(), [Item::Returned, Item::Refused("NOT_RESERVED")]);
        assert_eq!(items(b"{}").count(), 0);
        assert_eq!(items(br#"{"status":"ACQUIRED"}"#).collect::<Vec<_>>(), [Item::Refused(NO_ID)]);
    }
}
