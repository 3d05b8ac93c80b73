//! A request's headers and body, decoded strictly, with its canonical form.
//!
//! What is wrong is told in this order: the payload's size, its grammar, the body's fields (see `shape`), the rules
//! over several fields (see `build`), the headers, then a body that names another tenant, then the idempotency key.
//! Of an array each of these is told for the first item that has it.

use super::build::{self, Built};
use super::json::{Json, Malformed};
use super::record::Record;
use super::shape::{self, Path, Value};
use super::shapes::{self, ITEMS_MAX};
use super::verb::Verb;
use super::{canonical, capacity};
use crate::domain::command::{Command, Query, Trace};
use crate::domain::id::{Actor, IdempotencyKey, Tenant};
use crate::domain::outcome::{FieldReason, Refusal};
use crate::domain::window::Instant;

pub use super::headers::Headers;

/// Largest payload, bytes.
pub const PAYLOAD_MAX: usize = 512 * 1024;

#[derive(Clone, Debug)]
pub struct Decoded {
    pub key: Option<IdempotencyKey>,
    pub actor: Option<Actor>,
    pub not_after: Option<Instant>,
    /// `None` also where the header is not a valid `traceparent`: by the W3C's rules it is then as if absent.
    pub trace: Option<Trace>,
    /// Only what would come of it is asked. It has no key then, whatever the header says.
    pub is_dry_run: bool,
    pub call: Call,
}

#[derive(Clone, Debug)]
pub enum Call {
    /// With its canonical form: the same meaning gives the same bytes. Empty where the verb changes nothing.
    Command(Command, Canonical),
    Query(Query),
}

/// A command's JSON with every default left out, names in the order of the schema, instants in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canonical(Vec<u8>);

impl Canonical {
    pub fn from_bytes(bytes: Vec<u8>) -> Canonical {
        Canonical(bytes)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The first field, in the schema's order, in which the two differ (`intervals[1].quantity`); `None` where they
    /// are equal. `[]` where one is an array and the other is not, `?` where they are not of one verb. Both must be of
    /// one verb to be compared by field, because a verb's name is no part of this form.
    pub fn first_difference(&self, other: &Canonical) -> Option<String> {
        canonical::first_difference(self, other)
    }
}

/// Decodes one request. `tenant`: of the subject, for a body that names one.
///
/// An empty payload counts as `{}`. The array that `lock`, `unlock`, `renew` and `transact` take has the field `[]`:
/// empty it is `out_of_range`, with more than [`ITEMS_MAX`] items `too_many_items`, and an item that is no object is
/// `wrong_type`. A dry run is asked for by an object only, because it is the whole message that has no receipt.
pub fn decode(verb: Verb, tenant: Option<&Tenant>, headers: &Headers<'_>, payload: &[u8]) -> Result<Decoded, Refusal> {
    if payload.len() > PAYLOAD_MAX {
        return Err(Refusal::PayloadTooLarge { bytes_max: PAYLOAD_MAX });
    }
    let body = if payload.is_empty() { b"{}" } else { payload };
    let json = Json::parse(body).map_err(|Malformed| Refusal::InvalidJson)?;
    let Body { built, canonical, names_another_tenant, is_dry_run } = match json.is_array() && shapes::takes_array(verb)
    {
        true => decode_array(verb, tenant, json)?,
        false => decode_object(verb, tenant, json)?,
    };
    headers.check()?;
    let (actor, not_after) = (headers.actor()?, headers.not_after()?);
    if names_another_tenant {
        return Err(Refusal::TenantMismatch);
    }
    let key = if verb.is_mutation() && !is_dry_run { headers.key()? } else { None };
    let call = match built {
        Built::Command(command) => Call::Command(command, Canonical(canonical)),
        Built::Query(query) => Call::Query(query),
    };
    Ok(Decoded { key, actor, not_after, trace: headers.trace(), is_dry_run, call })
}

struct Body {
    built: Built,
    /// Empty for a query.
    canonical: Vec<u8>,
    names_another_tenant: bool,
    is_dry_run: bool,
}

fn decode_object(verb: Verb, tenant: Option<&Tenant>, json: Json<'_>) -> Result<Body, Refusal> {
    if !json.is_object() {
        return Err(Refusal::InvalidJson);
    }
    let fields = shapes::fields(verb);
    let values = shape::check_object(fields, json, &Path::Root)?;
    let built = build::build(verb, &Record { fields, values: &values, path: Path::Root })?;
    let mut canonical = Vec::new();
    if verb.is_mutation() {
        canonical.reserve(json.as_str().len());
        canonical::write_object(&mut canonical, fields, &values);
    }
    let (names_another_tenant, is_dry_run) = (names_another(verb, tenant, &values), is_dry_run(verb, &values));
    Ok(Body { built, canonical, names_another_tenant, is_dry_run })
}

fn decode_array(verb: Verb, tenant: Option<&Tenant>, json: Json<'_>) -> Result<Body, Refusal> {
    let items = json.items().map_err(|Malformed| Refusal::InvalidJson)?;
    let fault = |reason| Refusal::field("[]", reason, format!("an array of 1 to {ITEMS_MAX} objects"));
    if items.is_empty() {
        return Err(fault(FieldReason::OutOfRange));
    }
    if items.len() > ITEMS_MAX {
        return Err(fault(FieldReason::TooManyItems));
    }
    let fields = shapes::fields(verb);
    let (mut commands, mut canonical) = (Vec::with_capacity(items.len()), Vec::with_capacity(json.as_str().len()));
    let mut names_another_tenant = false;
    for (index, item) in items.into_iter().enumerate() {
        let path = Path::Index(&Path::Root, index);
        if !item.is_object() {
            return Err(path.fault(FieldReason::WrongType, "an object"));
        }
        let values = shape::check_object(fields, item, &path)?;
        if is_dry_run(verb, &values) {
            let path = Path::Name(&path, shapes::DRY_RUN.name);
            return Err(path.fault(FieldReason::OutOfRange, "left out in an array"));
        }
        if let Built::Command(command) = build::build(verb, &Record { fields, values: &values, path })? {
            commands.push(command);
        }
        canonical.push(if index == 0 { b'[' } else { b',' });
        canonical::write_object(&mut canonical, fields, &values);
        names_another_tenant |= names_another(verb, tenant, &values);
    }
    canonical.push(b']');
    let built = Built::Command(Command::Several(commands));
    Ok(Body { built, canonical, names_another_tenant, is_dry_run: false })
}

/// The value of a field that not every verb has.
fn value_of<'v, 'a>(verb: Verb, values: &'v [Option<Value<'a>>], name: &str) -> Option<&'v Value<'a>> {
    let position = shapes::fields(verb).iter().position(|field| field.name == name);
    position.and_then(|at| values.get(at)).and_then(Option::as_ref)
}

fn is_dry_run(verb: Verb, values: &[Option<Value<'_>>]) -> bool {
    value_of(verb, values, shapes::DRY_RUN.name) == Some(&Value::Boolean(true))
}

fn names_another(verb: Verb, tenant: Option<&Tenant>, values: &[Option<Value<'_>>]) -> bool {
    let is_address = |field: &shape::Field| matches!(field.presence, shape::Presence::Address);
    let position = shapes::fields(verb).iter().position(is_address);
    let named = position.and_then(|at| values.get(at)).and_then(Option::as_ref);
    match (named, tenant) {
        (Some(Value::Text(named)), Some(tenant)) => named != tenant.as_str(),
        (_, Some(tenant)) if verb == Verb::Schedule => capacity_of_another(tenant, values),
        _ => false,
    }
}

/// Does a resource path name another tenant's capacity?
fn capacity_of_another(tenant: &Tenant, values: &[Option<Value<'_>>]) -> bool {
    let fields = shapes::fields(Verb::Schedule).iter().zip(values);
    fields.filter(|(field, _)| field.name == "id").any(|(_, value)| match value {
        Some(Value::Text(id)) => capacity::parse(id).and_then(|id| id.tenant).is_some_and(|named| named != *tenant),
        _ => false,
    })
}
