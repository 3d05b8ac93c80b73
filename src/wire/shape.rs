//! What a table can say about a field, and the check of a value against it.
//!
//! Faults of one object are found in this order: a required field missing (in the table's order), an unknown field
//! (in the order sent), a field that stands twice, then the values (in the table's order, nested ones the same way).
//! `null` counts as absent. A value equal to its default, and a nested object with nothing in it, are dropped, so that
//! written and left out are the same from here on.

use std::borrow::Cow;
use std::fmt;

use uuid::Uuid;

use super::instant;
use super::json::{Json, Number};
use crate::domain::outcome::{FieldReason, Refusal};
use crate::domain::window::Instant;

/// One field of an object.
#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub presence: Presence,
    /// For the schema: what it means.
    pub about: &'static str,
}

#[derive(Debug)]
pub enum Presence {
    Required,
    Optional,
    Default(Constant),
    /// Optional, and no part of the request's meaning: it repeats what the subject says.
    Address,
}

#[derive(Clone, Copy, Debug)]
pub enum Constant {
    Boolean(bool),
    Integer(i64),
    Text(&'static str),
    EmptyList,
}

#[derive(Debug)]
pub enum Kind {
    Boolean,
    Integer {
        min: i64,
        max: i64,
    },
    Text(Text),
    Choice(&'static [&'static str]),
    Instant,
    /// A UUID in its hyphenated form.
    Id,
    /// `<uuid>.<number>`
    Unit,
    List(List),
    Object(&'static [Field]),
    /// Names of free choice with strings behind them.
    Tags(Tags),
    /// Values of one kind, each under a name of free choice.
    ByName(ByName),
    /// A value, or a list in its place.
    OneOrList(&'static Kind, List),
}

/// A string.
#[derive(Debug)]
pub struct Text {
    pub accepts: fn(&str) -> bool,
    /// In characters.
    pub length_min: usize,
    pub length_max: usize,
    /// The same as `accepts`, but for the length, as a regular expression.
    pub pattern: &'static str,
    /// For a person.
    pub expected: &'static str,
}

#[derive(Debug)]
pub struct List {
    pub item: &'static Kind,
    pub items_min: usize,
    pub items_max: usize,
    /// The order in which the items are sent means nothing.
    pub is_set: bool,
}

#[derive(Debug)]
pub struct ByName {
    pub name: &'static Text,
    pub value: &'static Kind,
    pub items_max: usize,
}

#[derive(Debug)]
pub struct Tags {
    pub items_max: usize,
    pub name_length_max: usize,
    pub value_length_max: usize,
}

/// A checked value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value<'a> {
    Boolean(bool),
    Integer(i64),
    Text(Cow<'a, str>),
    Instant(Instant),
    Id(Uuid),
    Unit(Uuid, u32),
    List(Vec<Value<'a>>),
    /// One for each field of its table.
    Object(Vec<Option<Value<'a>>>),
    /// Sorted by name.
    Tags(Vec<(Cow<'a, str>, Cow<'a, str>)>),
    /// Sorted by name.
    ByName(Vec<(Cow<'a, str>, Value<'a>)>),
}

/// Where a value stands: rendered only for a refusal.
#[derive(Clone, Copy, Debug)]
pub enum Path<'p> {
    Root,
    Name(&'p Path<'p>, &'p str),
    Index(&'p Path<'p>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Name(Path::Root, name) => f.write_str(name),
            Path::Name(parent, name) => write!(f, "{parent}.{name}"),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

impl Path<'_> {
    pub fn fault(&self, reason: FieldReason, expected: impl Into<String>) -> Refusal {
        Refusal::field(self.to_string(), reason, expected)
    }
}

impl Field {
    pub fn is_required(&self) -> bool {
        matches!(self.presence, Presence::Required)
    }
}

impl Constant {
    fn is(self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Constant::Boolean(default), Value::Boolean(value)) => default == *value,
            (Constant::Integer(default), Value::Integer(value)) => default == *value,
            (Constant::Text(default), Value::Text(value)) => default == value,
            (Constant::EmptyList, Value::List(items)) => items.is_empty(),
            _ => false,
        }
    }
}

/// Checks an object against its table: one value for each field, `None` where it is absent or what it would be then.
pub fn check_object<'a>(
    fields: &'static [Field],
    json: Json<'a>,
    path: &Path<'_>,
) -> Result<Vec<Option<Value<'a>>>, Refusal> {
    let members = json.members().map_err(|_| Refusal::InvalidJson)?;
    let mut found: Vec<Option<Json<'a>>> = vec![None; fields.len()];
    let (mut unknown, mut duplicate) = (None, None);
    for (name, value) in members {
        match fields.iter().position(|field| field.name == name) {
            None => unknown = unknown.or(Some(name)),
            Some(at) if found[at].is_some() => duplicate = duplicate.or(Some(fields[at].name)),
            Some(at) => found[at] = Some(value),
        }
    }
    let is_given = |value: &Option<Json<'_>>| value.is_some_and(|json| !json.is_null());
    let mut missing = fields.iter().zip(&found).filter(|(field, value)| field.is_required() && !is_given(value));
    if let Some((field, _)) = missing.next() {
        return Err(Path::Name(path, field.name).fault(FieldReason::MissingField, "given"));
    }
    if let Some(name) = unknown {
        return Err(Path::Name(path, printable_name(&name)).fault(FieldReason::UnknownField, "left out"));
    }
    if let Some(name) = duplicate {
        return Err(Path::Name(path, name).fault(FieldReason::DuplicateField, "given once"));
    }
    let check = |(field, json): (&'static Field, Option<Json<'a>>)| match json {
        Some(json) if !json.is_null() => check_field(field, json, &Path::Name(path, field.name)),
        _ => Ok(None),
    };
    fields.iter().zip(found).map(check).collect()
}

/// A client's name for a field, where repeating it does no harm.
fn printable_name(name: &str) -> &str {
    let is_plain = (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if is_plain { name } else { "?" }
}

fn check_field<'a>(field: &'static Field, json: Json<'a>, path: &Path<'_>) -> Result<Option<Value<'a>>, Refusal> {
    let value = check(&field.kind, json, path)?;
    let is_nothing = match (&field.presence, &value) {
        (Presence::Default(default), value) => default.is(value),
        (_, Value::Object(values)) => values.iter().all(Option::is_none),
        (_, Value::ByName(values)) => values.is_empty(),
        _ => false,
    };
    Ok((!is_nothing).then_some(value))
}

fn check<'a>(kind: &'static Kind, json: Json<'a>, path: &Path<'_>) -> Result<Value<'a>, Refusal> {
    let fault = |reason: FieldReason| path.fault(reason, kind.expected());
    match kind {
        Kind::Boolean => json.boolean().map(Value::Boolean).ok_or_else(|| fault(FieldReason::WrongType)),
        Kind::Integer { min, max } => match json.number() {
            Some(Number::Integer(value)) if (*min..=*max).contains(&value) => Ok(Value::Integer(value)),
            Some(Number::Integer(_) | Number::Vast) => Err(fault(FieldReason::OutOfRange)),
            Some(Number::Float) | None => Err(fault(FieldReason::WrongType)),
        },
        Kind::List(list) => check_list(list, json, path, &fault),
        Kind::Object(_) if !json.is_object() => Err(fault(FieldReason::WrongType)),
        Kind::Object(fields) => check_object(fields, json, path).map(Value::Object),
        Kind::Tags(tags) => check_tags(tags, json, &fault),
        Kind::ByName(by_name) => check_by_name(by_name, json, path, &fault),
        Kind::OneOrList(_, list) if json.is_array() => check_list(list, json, path, &fault),
        Kind::OneOrList(one, _) => check(one, json, path),
        Kind::Text(_) | Kind::Choice(_) | Kind::Instant | Kind::Id | Kind::Unit => {
            if !json.is_string() {
                return Err(fault(FieldReason::WrongType));
            }
            let text = json.string().map_err(|_| fault(FieldReason::InvalidString))?;
            check_text(kind, text).map_err(fault)
        }
    }
}

fn check_text<'a>(kind: &Kind, text: Cow<'a, str>) -> Result<Value<'a>, FieldReason> {
    match kind {
        Kind::Instant => instant::parse(&text).map(Value::Instant).ok_or(FieldReason::InvalidTimestamp),
        Kind::Id => parse_id(&text).map(Value::Id).ok_or(FieldReason::InvalidId),
        Kind::Unit => parse_unit(&text).map(|(id, unit)| Value::Unit(id, unit)).ok_or(FieldReason::InvalidId),
        Kind::Choice(names) if names.contains(&&*text) => Ok(Value::Text(text)),
        Kind::Text(rule) if (rule.accepts)(&text) => Ok(Value::Text(text)),
        _ => Err(FieldReason::InvalidString),
    }
}

fn parse_id(text: &str) -> Option<Uuid> {
    // Of the forms that the library knows only the usual one: an id has one spelling, but for the case.
    if text.len() == 36 { Uuid::try_parse(text).ok() } else { None }
}

fn parse_unit(text: &str) -> Option<(Uuid, u32)> {
    let (id, number) = text.split_once('.')?;
    let is_plain = number == "0" || (number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0'));
    Some((parse_id(id)?, number.parse().ok().filter(|_| is_plain)?))
}

fn check_list<'a>(
    list: &'static List,
    json: Json<'a>,
    path: &Path<'_>,
    fault: &dyn Fn(FieldReason) -> Refusal,
) -> Result<Value<'a>, Refusal> {
    if !json.is_array() {
        return Err(fault(FieldReason::WrongType));
    }
    let items = json.items().map_err(|_| Refusal::InvalidJson)?;
    if items.len() > list.items_max {
        return Err(fault(FieldReason::TooManyItems));
    }
    if items.len() < list.items_min {
        return Err(fault(FieldReason::OutOfRange));
    }
    let check = |(index, json)| check(list.item, json, &Path::Index(path, index));
    Ok(Value::List(items.into_iter().enumerate().map(check).collect::<Result<_, _>>()?))
}

fn check_tags<'a>(tags: &Tags, json: Json<'a>, fault: &dyn Fn(FieldReason) -> Refusal) -> Result<Value<'a>, Refusal> {
    if !json.is_object() {
        return Err(fault(FieldReason::WrongType));
    }
    let members = json.members().map_err(|_| Refusal::InvalidJson)?;
    if members.len() > tags.items_max {
        return Err(fault(FieldReason::TooManyItems));
    }
    let is_short = |text: &str, length_max| text.chars().count() <= length_max && !text.chars().any(char::is_control);
    let mut sorted = Vec::with_capacity(members.len());
    for (name, value) in members {
        if !value.is_string() {
            return Err(fault(FieldReason::WrongType));
        }
        let text = value.string().map_err(|_| fault(FieldReason::InvalidString))?;
        if name.is_empty() || !is_short(&name, tags.name_length_max) || !is_short(&text, tags.value_length_max) {
            return Err(fault(FieldReason::InvalidString));
        }
        sorted.push((name, text));
    }
    sorted.sort();
    match sorted.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        true => Err(fault(FieldReason::DuplicateField)),
        false => Ok(Value::Tags(sorted)),
    }
}

/// Each value is checked in the order sent; a fault names it by the name that it stands under.
fn check_by_name<'a>(
    by_name: &'static ByName,
    json: Json<'a>,
    path: &Path<'_>,
    fault: &dyn Fn(FieldReason) -> Refusal,
) -> Result<Value<'a>, Refusal> {
    if !json.is_object() {
        return Err(fault(FieldReason::WrongType));
    }
    let members = json.members().map_err(|_| Refusal::InvalidJson)?;
    if members.len() > by_name.items_max {
        return Err(fault(FieldReason::TooManyItems));
    }
    let mut sorted = Vec::with_capacity(members.len());
    for (name, value) in members {
        if !(by_name.name.accepts)(&name) {
            return Err(fault(FieldReason::InvalidString));
        }
        if !value.is_null() {
            let value = check(by_name.value, value, &Path::Name(path, &name))?;
            sorted.push((name, value));
        }
    }
    sorted.sort();
    match sorted.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        true => Err(fault(FieldReason::DuplicateField)),
        false => Ok(Value::ByName(sorted)),
    }
}

impl Kind {
    /// What the value has to be, for a person: "The field … must be …".
    pub fn expected(&self) -> String {
        match self {
            Kind::Boolean => "true or false".into(),
            Kind::Integer { min, max } => format!("an integer from {min} to {max}"),
            Kind::Text(text) => text.expected.into(),
            Kind::Choice(names) => format!("one of {}", names.join(", ")),
            Kind::Instant => instant::EXPECTED.into(),
            Kind::Id => "a UUID".into(),
            Kind::Unit => "a unit's id, <reservation_id>.<number>".into(),
            Kind::List(list) => format!("an array of {} to {} items", list.items_min, list.items_max),
            Kind::Object(_) => "an object".into(),
            Kind::Tags(tags) => format!(
                "an object of at most {} strings of at most {} characters, each under a name of its own of 1 to {} \
                 characters, without control characters",
                tags.items_max, tags.value_length_max, tags.name_length_max
            ),
            Kind::ByName(ByName { name, value, items_max }) => format!(
                "an object of at most {items_max} values, each under {}, and each {}",
                name.expected,
                value.expected()
            ),
            Kind::OneOrList(one, list) => {
                format!("{} or an array of {} to {} items", one.expected(), list.items_min, list.items_max)
            }
        }
    }
}
