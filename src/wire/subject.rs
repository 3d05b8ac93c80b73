//! Subjects and stream names, all below one root (`berth`; another one gives a second berth on the same servers).

use super::verb::Verb;
use crate::domain::event::EventType;
use crate::domain::hold::Kind;
use crate::domain::id::Tenant;

/// The subject space of one berth.
#[derive(Clone, Debug)]
pub struct Subjects {
    root: String,
}

/// A request's subject, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `None` for the operator's verbs.
    pub tenant: Option<Tenant>,
    pub verb: Verb,
}

/// Why a subject is no address: the tenant's token is not one, or nobody serves the verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAddress {
    Tenant,
    Verb,
}

/// What a worker says of itself to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Here,
    Gone,
}

impl Presence {
    fn name(self) -> &'static str {
        match self {
            Presence::Here => "here",
            Presence::Gone => "gone",
        }
    }
}

impl Subjects {
    /// `root`: `[a-z0-9][a-z0-9_-]{0,31}`; anything else gives `None`.
    pub fn new(root: &str) -> Option<Subjects> {
        let is_root_char = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        let is_root = (1..=32).contains(&root.len()) && root.chars().all(is_root_char) && !root.starts_with(['_', '-']);
        is_root.then(|| Subjects { root: root.to_owned() })
    }

    pub fn root(&self) -> &str {
        &self.root
    }

    /// What a worker subscribes to for a verb: `berth.v1.*.reserve`, or `berth.admin.v1.pool_put`.
    pub fn service(&self, verb: Verb) -> String {
        match verb.is_admin() {
            true => format!("{}.admin.v1.{}", self.root, verb.name()),
            false => format!("{}.v1.*.{}", self.root, verb.name()),
        }
    }

    /// `berth.v1.<tenant>.<verb>`, or `berth.admin.v1.<verb>`.
    pub fn request(&self, tenant: &Tenant, verb: Verb) -> String {
        match verb.is_admin() {
            true => format!("{}.admin.v1.{}", self.root, verb.name()),
            false => format!("{}.v1.{tenant}.{}", self.root, verb.name()),
        }
    }

    /// `berth.submit.v1.<tenant>.<verb>`
    pub fn submit(&self, tenant: &Tenant, verb: Verb) -> String {
        format!("{}.submit.v1.{tenant}.{}", self.root, verb.name())
    }

    pub fn is_submitted(&self, subject: &str) -> bool {
        subject.strip_prefix(&self.root).is_some_and(|rest| rest.starts_with(".submit."))
    }

    /// `berth.result.v1.<tenant>.<verb>`; tenant and verb are tokens as they came, because a submitted message with
    /// an unknown verb has a result too.
    pub fn result(&self, tenant: &str, verb: &str) -> String {
        format!("{}.result.v1.{tenant}.{verb}", self.root)
    }

    /// `berth.event.v1.<tenant>.<kind>.<label>.<type>`
    pub fn event(&self, tenant: &Tenant, kind: Kind, label: &str, event_type: EventType) -> String {
        let (tenant, kind, event_type) = (tenant.as_str(), kind.name(), event_type.name());
        // Every event has one; put together so it takes one allocation.
        [&self.root, ".event.v1.", tenant, ".", kind, ".", label, ".", event_type].concat()
    }

    /// Takes `berth.v1.…`, `berth.admin.v1.…` or `berth.submit.v1.…` apart. A subject of none of these forms has no
    /// verb. The operator's verbs stand under `admin` only, a tenant's never.
    pub fn address(&self, subject: &str) -> Result<Address, NoAddress> {
        let rest = subject.strip_prefix(&self.root).and_then(|rest| rest.strip_prefix('.')).ok_or(NoAddress::Verb)?;
        if let Some(verb) = rest.strip_prefix("admin.v1.") {
            let verb = Verb::parse(verb).filter(|verb| verb.is_admin()).ok_or(NoAddress::Verb)?;
            return Ok(Address { tenant: None, verb });
        }
        let rest = rest.strip_prefix("submit.").unwrap_or(rest);
        let (tenant, verb) = rest.strip_prefix("v1.").and_then(|rest| rest.split_once('.')).ok_or(NoAddress::Verb)?;
        let tenant = Tenant::parse(tenant).ok_or(NoAddress::Tenant)?;
        let verb = Verb::parse(verb).filter(|verb| !verb.is_admin()).ok_or(NoAddress::Verb)?;
        Ok(Address { tenant: Some(tenant), verb })
    }

    /// `berth.submit.v1.>`, `berth.result.v1.>`, `berth.event.v1.>`: what the streams cover.
    pub fn submit_all(&self) -> String {
        format!("{}.submit.v1.>", self.root)
    }

    pub fn result_all(&self) -> String {
        format!("{}.result.v1.>", self.root)
    }

    pub fn event_all(&self) -> String {
        format!("{}.event.v1.>", self.root)
    }

    /// `BERTH_SUBMIT` and its like: the root in capitals.
    pub fn stream(&self, name: &str) -> String {
        format!("{}_{name}", self.root.to_ascii_uppercase())
    }

    /// `berth.home.v1.<worker>`: below it stands the subject of each request that another worker passes on to this one.
    pub fn home(&self, worker: &str) -> String {
        format!("{}.home.v1.{worker}", self.root)
    }

    /// `berth.home.v1.here.<worker>`, `berth.home.v1.gone.<worker>`: where a worker says that it may be passed requests,
    /// or may not any more.
    pub fn presence(&self, presence: Presence, worker: &str) -> String {
        format!("{}.home.v1.{}.{worker}", self.root, presence.name())
    }

    /// All that workers say of their presence, and nothing that they pass on.
    pub fn presence_all(&self) -> String {
        format!("{}.home.v1.*.*", self.root)
    }

    /// What a worker has said on such a subject, and which one.
    pub fn heard<'a>(&self, subject: &'a str) -> Option<(Presence, &'a str)> {
        let (presence, worker) = subject.strip_prefix(&self.root)?.strip_prefix(".home.v1.")?.split_once('.')?;
        let presence = [Presence::Here, Presence::Gone].into_iter().find(|known| known.name() == presence)?;
        Some((presence, worker))
    }

    /// Where workers tell each other that the journal has grown.
    pub fn wake(&self) -> String {
        format!("{}.wake.v1", self.root)
    }
}
