//! A checked object, read by the names of its fields.

use std::borrow::Cow;

use uuid::Uuid;

use super::canonical;
use super::shape::{Constant, Field, Kind, Path, Presence, Value};
use crate::domain::hold::Opaque;
use crate::domain::id::HoldId;
use crate::domain::outcome::{FieldReason, Refusal};
use crate::domain::window::Instant;

/// The values of an object's fields; one that is absent reads as its default.
#[derive(Clone, Copy)]
pub struct Record<'v, 'a> {
    pub fields: &'static [Field],
    pub values: &'v [Option<Value<'a>>],
    pub path: Path<'v>,
}

impl<'v, 'a> Record<'v, 'a> {
    fn find(&self, name: &str) -> Option<(&'static Field, Option<&'v Value<'a>>)> {
        let at = self.fields.iter().position(|field| field.name == name);
        debug_assert!(at.is_some(), "no field {name} in the table");
        Some((self.fields.get(at?)?, self.values.get(at?)?.as_ref()))
    }

    fn value(&self, name: &str) -> Option<&'v Value<'a>> {
        self.find(name)?.1
    }

    fn default(&self, name: &str) -> Option<Constant> {
        match self.find(name)?.0.presence {
            Presence::Default(constant) => Some(constant),
            _ => None,
        }
    }

    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    pub fn text(&self, name: &str) -> Option<&'v str> {
        match (self.value(name), self.default(name)) {
            (Some(Value::Text(text)), _) => Some(text),
            (None, Some(Constant::Text(text))) => Some(text),
            _ => None,
        }
    }

    pub fn integer(&self, name: &str) -> Option<i64> {
        match (self.value(name), self.default(name)) {
            (Some(Value::Integer(value)), _) => Some(*value),
            (None, Some(Constant::Integer(value))) => Some(value),
            _ => None,
        }
    }

    /// For fields whose range lies within 32 bits.
    pub fn count(&self, name: &str) -> Option<u32> {
        self.integer(name).and_then(|value| u32::try_from(value).ok())
    }

    pub fn boolean(&self, name: &str) -> Option<bool> {
        match (self.value(name), self.default(name)) {
            (Some(Value::Boolean(value)), _) => Some(*value),
            (None, Some(Constant::Boolean(value))) => Some(value),
            _ => None,
        }
    }

    pub fn instant(&self, name: &str) -> Option<Instant> {
        match self.value(name)? {
            Value::Instant(at) => Some(*at),
            _ => None,
        }
    }

    pub fn uuid(&self, name: &str) -> Option<Uuid> {
        match self.value(name)? {
            Value::Id(id) => Some(*id),
            _ => None,
        }
    }

    pub fn hold_id(&self, name: &'static str) -> Result<HoldId, Refusal> {
        self.need(name, self.uuid(name).map(HoldId::from_uuid))
    }

    pub fn list(&self, name: &str) -> Option<&'v [Value<'a>]> {
        match self.value(name)? {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// Values under names of free choice, and of which kind they are; none where it is absent.
    pub fn by_name(&self, name: &str) -> (Option<&'static Kind>, &'v [(Cow<'a, str>, Value<'a>)]) {
        match self.find(name) {
            Some((Field { kind: Kind::ByName(by_name), .. }, Some(Value::ByName(values)))) => {
                (Some(by_name.value), values)
            }
            _ => (None, &[]),
        }
    }

    /// A nested object; `path` is where it stands.
    pub fn object<'p>(&self, name: &str, path: Path<'p>) -> Option<Record<'p, 'a>>
    where
        'v: 'p,
    {
        match self.find(name)? {
            (Field { kind: Kind::Object(fields), .. }, Some(Value::Object(values))) => {
                Some(Record { fields, values, path })
            }
            _ => None,
        }
    }

    /// The canonical text of a value that is carried and not read.
    pub fn opaque(&self, name: &str) -> Option<Opaque> {
        let (field, value) = self.find(name)?;
        let mut text = Vec::new();
        canonical::write(&mut text, &field.kind, value?);
        std::str::from_utf8(&text).ok().map(Opaque::new)
    }

    /// The text as a name; `None` where it is absent.
    pub fn name<T>(&self, name: &'static str, parse: fn(&str) -> Option<T>) -> Result<Option<T>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let fault = || self.fault(name, FieldReason::InvalidString, "of its form");
        parse(text).map(Some).ok_or_else(fault)
    }

    /// The text as a name that has to be there.
    pub fn required_name<T>(&self, name: &'static str, parse: fn(&str) -> Option<T>) -> Result<T, Refusal> {
        self.need(name, self.name(name, parse)?)
    }

    pub fn need<T>(&self, name: &'static str, value: Option<T>) -> Result<T, Refusal> {
        value.ok_or_else(|| self.fault(name, FieldReason::MissingField, "given"))
    }

    pub fn fault(&self, name: &'static str, reason: FieldReason, expected: &str) -> Refusal {
        Path::Name(&self.path, name).fault(reason, expected)
    }

    /// Refuses `name` where it is given: it goes not together with `other`.
    pub fn exclude(&self, name: &'static str, other: &'static str) -> Result<(), Refusal> {
        match self.has(name) {
            true => Err(self.fault(name, FieldReason::OutOfRange, &format!("left out where {other} is given"))),
            false => Ok(()),
        }
    }
}
