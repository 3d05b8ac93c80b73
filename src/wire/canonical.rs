//! The canonical form of a command: names in the table's order, defaults left out, instants in UTC, tags sorted, sets
//! sorted. The same meaning gives the same bytes.

use std::borrow::Cow;

use serde_json::Value as Tree;

use super::instant::Utc;
use super::request::Canonical;
use super::shape::{Field, Kind, Path, Presence, Value};
use super::shapes;
use super::verb::Verb;
use super::view::{self, Shown};

/// Writes an object.
pub fn write_object(out: &mut Vec<u8>, fields: &[Field], values: &[Option<Value<'_>>]) {
    let mut separator = b'{';
    for (field, value) in fields.iter().zip(values) {
        let Some(value) = value.as_ref().filter(|_| !matches!(field.presence, Presence::Address)) else { continue };
        out.push(separator);
        separator = b',';
        view::write(out, field.name);
        out.push(b':');
        write(out, &field.kind, value);
    }
    if separator == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
}

/// Writes one value.
pub fn write(out: &mut Vec<u8>, kind: &Kind, value: &Value<'_>) {
    match (kind, value) {
        (Kind::Object(fields), Value::Object(values)) => write_object(out, fields, values),
        (Kind::List(list), Value::List(items)) if list.is_set => {
            let mut sorted: Vec<&Value<'_>> = items.iter().collect();
            sorted.sort();
            write_list(out, list.item, sorted.into_iter());
        }
        (Kind::List(list), Value::List(items)) => write_list(out, list.item, items.iter()),
        (Kind::OneOrList(_, list), Value::List(items)) => write_list(out, list.item, items.iter()),
        (Kind::OneOrList(one, _), value) => write(out, one, value),
        (_, Value::Boolean(value)) => view::write(out, value),
        (_, Value::Integer(value)) => view::write(out, value),
        (_, Value::Text(text)) => view::write(out, text),
        (_, Value::Instant(at)) => view::write(out, &Utc(*at)),
        (_, Value::Id(id)) => view::write(out, id),
        (_, Value::Unit(id, number)) => view::write(out, &Shown(format_args!("{id}.{number}"))),
        (_, Value::Tags(tags)) => write_tags(out, tags),
        (Kind::ByName(by_name), Value::ByName(values)) => write_by_name(out, by_name.value, values),
        (_, Value::List(_) | Value::Object(_) | Value::ByName(_)) => out.extend_from_slice(b"null"),
    }
}

fn write_list<'v, 'a: 'v>(out: &mut Vec<u8>, kind: &Kind, items: impl Iterator<Item = &'v Value<'a>>) {
    out.push(b'[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, kind, item);
    }
    out.push(b']');
}

fn write_tags<T: AsRef<str>>(out: &mut Vec<u8>, tags: &[(T, T)]) {
    out.push(b'{');
    for (index, (name, value)) in tags.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        view::write(out, name.as_ref());
        out.push(b':');
        view::write(out, value.as_ref());
    }
    out.push(b'}');
}

fn write_by_name(out: &mut Vec<u8>, kind: &Kind, values: &[(Cow<'_, str>, Value<'_>)]) {
    out.push(b'{');
    for (index, (name, value)) in values.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        view::write(out, name);
        out.push(b':');
        write(out, kind, value);
    }
    out.push(b'}');
}

/// The first field in which two canonical forms differ, in the order of the table that both fit.
pub fn first_difference(ours: &Canonical, other: &Canonical) -> Option<String> {
    if ours == other {
        return None;
    }
    let trees = [ours, other].map(|canonical| serde_json::from_slice::<Tree>(canonical.as_bytes()));
    let [Ok(ours), Ok(other)] = trees else { return Some("?".into()) };
    let fields = Verb::ALL.into_iter().map(shapes::fields).find(|fields| fits(fields, &ours) && fits(fields, &other));
    let Some(fields) = fields else { return Some("?".into()) };
    let path = match (&ours, &other) {
        (Tree::Array(ours), Tree::Array(other)) => {
            items_differ(ours, other, &Path::Root, &|ours, other, path| objects_differ(fields, ours, other, path))
        }
        (Tree::Object(_), Tree::Object(_)) => objects_differ(fields, &ours, &other, &Path::Root),
        _ => None,
    };
    Some(path.unwrap_or_else(|| "[]".into()))
}

/// Are all its names in the table?
fn fits(fields: &[Field], tree: &Tree) -> bool {
    match tree {
        Tree::Object(members) => members.keys().all(|name| fields.iter().any(|field| field.name == name)),
        Tree::Array(items) => items.iter().all(|item| item.is_object() && fits(fields, item)),
        _ => false,
    }
}

fn objects_differ(fields: &[Field], ours: &Tree, other: &Tree, path: &Path<'_>) -> Option<String> {
    fields.iter().find_map(|field| {
        let path = Path::Name(path, field.name);
        match (ours.get(field.name), other.get(field.name)) {
            (Some(ours), Some(other)) => values_differ(&field.kind, ours, other, &path),
            (None, None) => None,
            _ => Some(path.to_string()),
        }
    })
}

fn values_differ(kind: &Kind, ours: &Tree, other: &Tree, path: &Path<'_>) -> Option<String> {
    if ours == other {
        return None;
    }
    let nested = match (kind, ours, other) {
        (Kind::Object(fields), ours, other) => objects_differ(fields, ours, other, path),
        (Kind::List(list), Tree::Array(ours), Tree::Array(other)) => {
            items_differ(ours, other, path, &|ours, other, path| values_differ(list.item, ours, other, path))
        }
        _ => None,
    };
    nested.or_else(|| Some(path.to_string()))
}

fn items_differ(
    ours: &[Tree],
    other: &[Tree],
    path: &Path<'_>,
    differ: &dyn Fn(&Tree, &Tree, &Path<'_>) -> Option<String>,
) -> Option<String> {
    let pairs = ours.iter().zip(other).enumerate();
    let within = pairs.filter_map(|(index, (ours, other))| differ(ours, other, &Path::Index(path, index))).next();
    let length = ours.len().min(other.len());
    within.or_else(|| (ours.len() != other.len()).then(|| Path::Index(path, length).to_string()))
}
