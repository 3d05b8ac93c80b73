//! JSON text taken apart one level at a time. Unlike a tree of values this keeps what strictness needs: members that
//! stand twice, and how a number was written.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Deepest nesting of arrays and objects.
pub const DEPTH_MAX: usize = 32;

/// One JSON value as it was written, without white space around it.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a>(&'a str);

/// It is not JSON, or nested too deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// What a number is: only digits make an integer, `16.0` and `1e3` do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    Integer(i64),
    /// An integer that does not fit 64 bits.
    Vast,
    /// With a fraction or an exponent.
    Float,
}

impl<'a> Json<'a> {
    /// Checks the grammar of the whole text, except that escapes of strings may be lone surrogates: `string` finds
    /// those.
    pub fn parse(bytes: &'a [u8]) -> Result<Json<'a>, Malformed> {
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed)?;
        if opening(bytes) > DEPTH_MAX && depth(bytes) > DEPTH_MAX {
            return Err(Malformed);
        }
        let raw: &RawValue = serde_json::from_str(text).map_err(|_| Malformed)?;
        Ok(Json(raw.get()))
    }

    pub fn is_null(self) -> bool {
        self.0 == "null"
    }

    pub fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

    pub fn is_array(self) -> bool {
        self.0.starts_with('[')
    }

    pub fn is_string(self) -> bool {
        self.0.starts_with('"')
    }

    pub fn boolean(self) -> Option<bool> {
        match self.0 {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// `None` where it is no number.
    pub fn number(self) -> Option<Number> {
        if !self.0.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
            return None;
        }
        if self.0.contains(['.', 'e', 'E']) {
            return Some(Number::Float);
        }
        Some(self.0.parse().map_or(Number::Vast, Number::Integer))
    }

    /// The text of a string; malformed where it is no string or has a lone surrogate.
    pub fn string(self) -> Result<Cow<'a, str>, Malformed> {
        let inner = self.0.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or(Malformed)?;
        if !inner.contains('\\') {
            return Ok(Cow::Borrowed(inner));
        }
        serde_json::from_str(self.0).map(Cow::Owned).map_err(|_| Malformed)
    }

    /// The items of an array.
    pub fn items(self) -> Result<Vec<Json<'a>>, Malformed> {
        let raw: Vec<&RawValue> = serde_json::from_str(self.0).map_err(|_| Malformed)?;
        Ok(raw.into_iter().map(|item| Json(item.get())).collect())
    }

    /// The members of an object in the order in which they stand, also those that stand twice.
    pub fn members(self) -> Result<Vec<(Cow<'a, str>, Json<'a>)>, Malformed> {
        serde_json::Deserializer::from_str(self.0).deserialize_map(Members).map_err(|_| Malformed)
    }

    pub fn as_str(self) -> &'a str {
        self.0
    }
}

#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(Cow<'de, str>, Json<'de>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(Key(name)) = map.next_key()? {
            let value: &RawValue = map.next_value()?;
            members.push((name, Json(value.get())));
        }
        Ok(members)
    }
}

/// How many opening brackets there are, in strings too: nothing is nested deeper. Nearly every request has few, and
/// counting them is cheaper than following them.
fn opening(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| matches!(byte, b'[' | b'{')).count()
}

/// The deepest nesting of brackets outside of strings. Right for JSON; for anything else some number.
fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0usize);
    let (mut is_in_string, mut is_escaped) = (false, false);
    for byte in bytes {
        match (is_in_string, byte) {
            (true, _) if is_escaped => is_escaped = false,
            (true, b'\\') => is_escaped = true,
            (_, b'"') => is_in_string = !is_in_string,
            (false, b'[' | b'{') => depth += 1,
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}
