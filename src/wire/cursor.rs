//! Where the next page begins: opaque to clients, URL-safe base64 without padding of a letter that says what it is and
//! what it points behind.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::domain::command::ListCursor;
use crate::domain::hold::Status;
use crate::domain::id::{HoldId, PoolName, ResourceName};

const BY_CREATION: u8 = b'c';
const BY_STATUS: u8 = b's';
const BY_POOL: u8 = b'p';
const BY_RESOURCE: u8 = b'r';
const BY_LOCK: u8 = b'l';

/// Longest cursor, characters: that of the longest pool name.
pub const LENGTH_MAX: usize = 86;
/// The same of a resource's name: 255 characters of up to 4 bytes.
pub const RESOURCE_LENGTH_MAX: usize = 1_362;

pub fn encode_list(cursor: &ListCursor) -> String {
    let mut bytes = Vec::with_capacity(18);
    bytes.push(if cursor.status.is_some() { BY_STATUS } else { BY_CREATION });
    bytes.extend(cursor.status.map(|status| status as u8));
    bytes.extend(cursor.id.uuid().as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// `None` where it is no cursor that [`encode_list`] made.
pub fn decode_list(text: &str) -> Option<ListCursor> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (status, id) = match bytes.split_first()? {
        (&BY_CREATION, id) => (None, id),
        (&BY_STATUS, rest) => {
            let (status, id) = rest.split_first()?;
            (Some(*Status::ALL.get(usize::from(*status))?), id)
        }
        _ => return None,
    };
    Some(ListCursor { status, id: HoldId::from_uuid(Uuid::from_slice(id).ok()?) })
}

pub fn encode_pool(last: &PoolName) -> String {
    URL_SAFE_NO_PAD.encode([&[BY_POOL], last.as_str().as_bytes()].concat())
}

/// `None` where it is no cursor that [`encode_pool`] made.
pub fn decode_pool(text: &str) -> Option<PoolName> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let name = bytes.strip_prefix(&[BY_POOL])?;
    PoolName::parse(std::str::from_utf8(name).ok()?)
}

pub fn encode_resource(last: &ResourceName) -> String {
    URL_SAFE_NO_PAD.encode([&[BY_RESOURCE], last.as_str().as_bytes()].concat())
}

/// `None` where it is no cursor that [`encode_resource`] made.
pub fn decode_resource(text: &str) -> Option<ResourceName> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    ResourceName::parse(std::str::from_utf8(bytes.strip_prefix(&[BY_RESOURCE])?).ok()?)
}

pub fn encode_lock(last: HoldId) -> String {
    URL_SAFE_NO_PAD.encode([&[BY_LOCK], &last.uuid().as_bytes()[..]].concat())
}

/// `None` where it is no cursor that [`encode_lock`] made.
pub fn decode_lock(text: &str) -> Option<HoldId> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    Some(HoldId::from_uuid(Uuid::from_slice(bytes.strip_prefix(&[BY_LOCK])?).ok()?))
}
