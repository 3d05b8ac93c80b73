//! A request's headers and body, decoded strictly, with its canonical form.

use super::verb::Verb;
use crate::domain::command::{Command, Query, Trace};
use crate::domain::id::{Actor, IdempotencyKey, Tenant};
use crate::domain::outcome::Refusal;
use crate::domain::window::Instant;

/// Largest payload, bytes.
pub const PAYLOAD_MAX: usize = 512 * 1024;

/// The headers that mean something here, as they came.
#[derive(Clone, Debug, Default)]
pub struct Headers<'a> {
    pub idempotency_key: Option<&'a str>,
    pub actor: Option<&'a str>,
    pub not_after: Option<&'a str>,
    pub traceparent: Option<&'a str>,
    pub tracestate: Option<&'a str>,
}

#[derive(Clone, Debug)]
pub struct Decoded {
    pub key: Option<IdempotencyKey>,
    pub actor: Option<Actor>,
    pub not_after: Option<Instant>,
    /// `None` also where the header is not a valid `traceparent`: by the W3C's rules it is then as if absent.
    pub trace: Option<Trace>,
    pub call: Call,
}

#[derive(Clone, Debug)]
pub enum Call {
    /// With its canonical form: the same meaning gives the same bytes.
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

    /// The first field, in the schema's order, in which the two differ; `None` where they are equal.
    pub fn first_difference(&self, other: &Canonical) -> Option<String> {
        let _ = other;
        todo!()
    }
}

/// Decodes one request. `tenant`: of the subject, for a body that names one.
pub fn decode(verb: Verb, tenant: Option<&Tenant>, headers: &Headers<'_>, payload: &[u8]) -> Result<Decoded, Refusal> {
    let _ = (verb, tenant, headers, payload);
    todo!()
}
