//! The headers of a request that mean something here.

use super::instant;
use crate::domain::command::Trace;
use crate::domain::id::{Actor, IdempotencyKey};
use crate::domain::outcome::{FieldReason, Refusal};
use crate::domain::window::Instant;

/// Keys with this prefix are made by berth itself, for submitted messages that carry none.
pub const KEY_PREFIX_RESERVED: &str = "berth:";

/// Stands in a message instead of headers that can't be read: not UTF-8, a line without a colon, a lone line break.
pub const UNREADABLE_HEADER: &str = "Berth-Unreadable";

/// Longest `tracestate` that is carried on, bytes; a longer one is dropped, as the W3C allows.
const TRACESTATE_MAX: usize = 512;

/// The headers that mean something here, as they came.
#[derive(Clone, Debug, Default)]
pub struct Headers<'a> {
    pub idempotency_key: Option<&'a str>,
    pub actor: Option<&'a str>,
    pub not_after: Option<&'a str>,
    pub traceparent: Option<&'a str>,
    pub tracestate: Option<&'a str>,
    /// What stood there could not be read.
    pub are_unreadable: bool,
}

impl Headers<'_> {
    /// A client's key: of the form of [`IdempotencyKey`], and not one of berth's own.
    pub fn key(&self) -> Result<Option<IdempotencyKey>, Refusal> {
        let Some(text) = self.idempotency_key else { return Ok(None) };
        let key = IdempotencyKey::parse(text).filter(|key| !key.as_str().starts_with(KEY_PREFIX_RESERVED));
        key.map(Some).ok_or(Refusal::InvalidIdempotencyKey)
    }

    pub(super) fn check(&self) -> Result<(), Refusal> {
        let expected = "NATS/1.0 without a status, then lines of name: value, in UTF-8";
        let fault = || Refusal::field("headers", FieldReason::InvalidString, expected);
        if self.are_unreadable { Err(fault()) } else { Ok(()) }
    }

    pub(super) fn actor(&self) -> Result<Option<Actor>, Refusal> {
        let Some(text) = self.actor else { return Ok(None) };
        let expected = "1 to 255 characters without control characters";
        let fault = || Refusal::field("Berth-Actor", FieldReason::InvalidString, expected);
        Actor::parse(text).map(Some).ok_or_else(fault)
    }

    pub(super) fn not_after(&self) -> Result<Option<Instant>, Refusal> {
        let Some(text) = self.not_after else { return Ok(None) };
        let fault = || Refusal::field("Berth-Not-After", FieldReason::InvalidTimestamp, instant::EXPECTED);
        instant::parse(text).map(Some).ok_or_else(fault)
    }

    /// `None` also where the header is not a valid `traceparent`: by the W3C's rules it is then as if absent.
    pub fn trace(&self) -> Option<Trace> {
        let traceparent = self.traceparent.filter(|text| is_traceparent(text))?;
        let is_kept = |text: &&str| {
            (1..=TRACESTATE_MAX).contains(&text.len()) && text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
        };
        let tracestate = self.tracestate.filter(is_kept).map(str::to_owned);
        Some(Trace { traceparent: traceparent.to_owned(), tracestate })
    }
}

/// `<version>-<trace id>-<parent id>-<flags>` in small hexadecimal digits, neither id zero. Version 00 ends there;
/// later versions may go on behind another `-`; ff is no version.
fn is_traceparent(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_id = |id: &[u8]| id.iter().all(is_hex) && id.iter().any(|byte| *byte != b'0');
    let is_form = bytes.len() >= 55
        && [2, 35, 52].into_iter().all(|at| bytes[at] == b'-')
        && bytes[..2].iter().chain(&bytes[53..55]).all(is_hex)
        && is_id(&bytes[3..35])
        && is_id(&bytes[36..52]);
    let is_version = || match &bytes[..2] {
        b"ff" => false,
        b"00" => bytes.len() == 55,
        _ => text.len() <= 255 && bytes.iter().all(u8::is_ascii_graphic) && (bytes.len() == 55 || bytes[55] == b'-'),
    };
    is_form && is_version()
}
