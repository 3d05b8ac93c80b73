//! Names and ids. Names are checked when they are made, so that a value of one of these types is always valid.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::window::Instant;

/// How many lanes there are. Fixed by the schema: a hold's id carries its lane.
pub const LANES: u8 = 64;

/// The unit of locking, of order and of batching: a hash of the resource, `0..64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(u8);

impl Lane {
    pub const FIRST: Lane = Lane(0);

    /// `None` at 64 and above.
    pub fn new(number: u8) -> Option<Lane> {
        (number < LANES).then_some(Lane(number))
    }

    pub fn number(self) -> u8 {
        self.0
    }

    pub fn all() -> impl Iterator<Item = Lane> {
        (0..LANES).map(Lane)
    }

    pub fn of_pool(pool: &PoolName) -> Lane {
        Lane::hash(&[b"pool", pool.as_str().as_bytes()])
    }

    /// All locks of a tenant: any of them may come to hang together, as trees, as what is taken with what, or in one
    /// transaction.
    pub fn of_locks(tenant: &Tenant) -> Lane {
        Lane::hash(&[b"locks", tenant.as_str().as_bytes()])
    }

    fn hash(parts: &[&[u8]]) -> Lane {
        Lane((hash(parts) >> 58) as u8)
    }
}

/// FNV-1a with a final mix. It need not withstand an adversary, who could find names of one lane anyway; it is asked
/// many times a request, and must never change.
pub fn hash(parts: &[&[u8]]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.iter().chain(&[0]));
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd)
}

/// A set of lanes, as the 64 bits that they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneSet(u64);

impl LaneSet {
    pub fn insert(&mut self, lane: Lane) {
        self.0 |= 1 << lane.0;
    }

    pub fn remove(&mut self, lane: Lane) {
        self.0 &= !(1 << lane.0);
    }

    pub fn contains(self, lane: Lane) -> bool {
        self.0 & (1 << lane.0) != 0
    }

    pub fn union(self, other: LaneSet) -> LaneSet {
        LaneSet(self.0 | other.0)
    }

    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn meets(self, other: LaneSet) -> bool {
        self.0 & other.0 != 0
    }

    /// In ascending order, the order in which they are locked.
    pub fn iter(self) -> impl Iterator<Item = Lane> {
        Lane::all().filter(move |lane| self.contains(*lane))
    }
}

impl FromIterator<Lane> for LaneSet {
    fn from_iter<I: IntoIterator<Item = Lane>>(lanes: I) -> LaneSet {
        let mut set = LaneSet::default();
        lanes.into_iter().for_each(|lane| set.insert(lane));
        set
    }
}

/// The id of a reservation or of a lock's claim: a UUID v7 whose last six bits are its lane, so that a command that
/// names an id names its lane too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HoldId(Uuid);

impl HoldId {
    pub fn mint(at: Instant, lane: Lane, entropy: &Entropy) -> HoldId {
        let mut random = entropy.bytes(b"hold");
        random[9] = (random[9] & 0b1100_0000) | lane.0;
        let millis = u64::try_from(at.timestamp_millis()).unwrap_or(0);
        let mut tail = [0u8; 10];
        tail.copy_from_slice(&random[..10]);
        HoldId(uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid())
    }

    /// Any UUID is accepted: one that berth never made is simply not found.
    pub fn from_uuid(uuid: Uuid) -> HoldId {
        HoldId(uuid)
    }

    pub fn uuid(self) -> Uuid {
        self.0
    }

    pub fn lane(self) -> Lane {
        Lane(self.0.as_bytes()[15] % LANES)
    }

    /// The id of the event that made this version: the same however often it is derived.
    pub fn event_id(self, version: u32) -> Uuid {
        let hash = digest(&[b"event", self.0.as_bytes(), &version.to_be_bytes()]);
        uuid_of(&hash)
    }

    /// The id of what that version did to one unit.
    pub fn unit_change_id(self, version: u32, unit: u32) -> Uuid {
        uuid_of(&digest(&[b"unit", self.0.as_bytes(), &version.to_be_bytes(), &unit.to_be_bytes()]))
    }
}

impl fmt::Display for HoldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What identifies a key of a tenant: 128 bits of SHA-256, because a short key makes a short index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReceiptId(Uuid);

impl ReceiptId {
    /// `tenant`: `None` for the operator, whose keys are a space of their own (no tenant's name is empty).
    pub fn of(tenant: Option<&Tenant>, key: &IdempotencyKey) -> ReceiptId {
        let scope = tenant.map_or("", Tenant::as_str);
        ReceiptId(uuid_of(&digest(&[b"receipt", scope.as_bytes(), key.as_str().as_bytes()])))
    }

    pub fn uuid(self) -> Uuid {
        self.0
    }

    pub fn from_uuid(uuid: Uuid) -> ReceiptId {
        ReceiptId(uuid)
    }
}

/// Randomness for one request, drawn when it arrived: as much as a random UUID has. Everything random that deciding
/// makes is derived from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entropy([u8; 16]);

impl Entropy {
    pub fn new(bytes: [u8; 16]) -> Entropy {
        Entropy(bytes)
    }

    /// The entropy of one item of a request that carries several.
    pub fn item(&self, index: usize) -> Entropy {
        Entropy(uuid_of(&digest(&[b"item", &self.0, &(index as u64).to_be_bytes()])).into_bytes())
    }

    pub fn token(&self) -> Uuid {
        uuid_of(&self.bytes(b"token"))
    }

    fn bytes(&self, purpose: &[u8]) -> [u8; 32] {
        digest(&[purpose, &self.0])
    }
}

/// SHA-256 over the parts, each preceded by its length, so that no two lists of parts collide by concatenation.
fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

fn uuid_of(hash: &[u8; 32]) -> Uuid {
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $accepts:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// `None` where the text is not of the form that the type's description gives.
            pub fn parse(text: &str) -> Option<$name> {
                let accepts: fn(&str) -> bool = $accepts;
                accepts(text).then(|| $name(text.into()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

name!(
    /// `[a-z0-9][a-z0-9-]{0,62}`: it is a token of the subject, and comes from the subject alone.
    Tenant,
    |text| token(text, 63, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') && !text.starts_with('-')
);
name!(
    /// `[a-z0-9][a-z0-9_-]{0,62}`: it is a token of an event's subject.
    PoolName,
    |text| {
        token(text, 63, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_')
            && !text.starts_with(['-', '_'])
    }
);
name!(
    /// `[A-Za-z0-9_-]{1,64}`: a part of a pool.
    ZoneName,
    |text| token(text, 64, |c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
);
name!(
    /// `[A-Za-z0-9_-]{1,64}`: a label, and a token of an event's subject.
    ResourceType,
    |text| token(text, 64, |c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
);
name!(
    /// The name of a lock: 1 to 255 characters, none of them a control character or `>`, which stands between the
    /// names of a path.
    ResourceName,
    |text| printable(text, 255) && !text.contains('>')
);
name!(
    /// Who asks for a lock: 1 to 255 characters, none of them a control character.
    Requester,
    |text| printable(text, 255)
);
name!(
    /// Who acts, as told by the `Berth-Actor` header: 1 to 255 characters, none a control character. Informative.
    Actor,
    |text| printable(text, 255)
);
name!(
    /// A name of free choice: 1 to 255 characters, none of them a control character.
    Label,
    |text| printable(text, 255)
);
name!(
    /// 1 to 255 of `A-Z a-z 0-9 _ - : = + /`. The prefix `berth:` is for keys that berth makes itself, and is
    /// refused in `wire`, not here.
    IdempotencyKey,
    |text| token(text, 255, |c| c.is_ascii_alphanumeric() || "_-:=+/".contains(c))
);

impl ResourceType {
    /// The label of a lock for which none was given.
    pub fn user_defined() -> ResourceType {
        ResourceType("UserDefined".into())
    }
}

fn token(text: &str, length_max: usize, accepts: fn(char) -> bool) -> bool {
    !text.is_empty() && text.len() <= length_max && text.chars().all(accepts)
}

fn printable(text: &str, length_max: usize) -> bool {
    !text.is_empty() && text.chars().count() <= length_max && !text.chars().any(char::is_control)
}
