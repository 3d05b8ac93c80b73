//! The tables of the verbs about locks.

use super::{
    DRY_RUN, FENCING_TOKEN, LABEL, LIMIT_DEFAULT, LIMIT_MAX, RESOURCE_TYPE, TENANT, integer, integer_or, list,
    optional, page_cursor, required, set, text_or,
};
use crate::domain::id::ResourceName;
use crate::domain::lock::{BLOCKS_MAX, DEPTH_MAX, PLACES_MAX, WAIT_MAX_SECONDS};
use crate::wire::shape::{Constant, Field, Kind, Presence, Text};
use crate::wire::{cursor, shapes};

const TTL_SECONDS_MAX: i64 = 365 * 86_400;

pub const NAME: Kind = Kind::Text(Text {
    accepts: |text| ResourceName::parse(text).is_some(),
    length_min: 1,
    length_max: 255,
    pattern: r"^[^\u0000-\u001f\u007f-\u009f>]*$",
    expected: "a name of 1 to 255 characters without control characters and without >",
});
const PATH: Kind = Kind::Text(Text {
    accepts: |text| {
        text.split('>').count() <= DEPTH_MAX && text.split('>').all(|name| ResourceName::parse(name).is_some())
    },
    length_min: 1,
    length_max: DEPTH_MAX * 256,
    pattern: r"^[^\u0000-\u001f\u007f-\u009f]*$",
    expected: "at most 16 names with > between them, such as Equipment>IT",
});
const LOCK_CURSOR: Kind = page_cursor(|text| cursor::decode_lock(text).is_some(), cursor::LENGTH_MAX);
const RESOURCE_CURSOR: Kind = page_cursor(|text| cursor::decode_resource(text).is_some(), cursor::RESOURCE_LENGTH_MAX);

const REQUESTER: Field = required("requester", LABEL, "Who takes and gives back the lock.");
pub const RESOURCE: Field = required("resource", NAME, "The lock's name.");
const RELEASE_TOKEN: Field = required("release_token", Kind::Id, "As answered when the lock was taken, or queued.");

pub static LOCK: [Field; 8] = [
    REQUESTER,
    RESOURCE,
    optional("ttl_seconds", integer(1, TTL_SECONDS_MAX), "Time to live from the grant on; absent: until released."),
    text_or("resource_type", RESOURCE_TYPE, "UserDefined", "A label that stands in the subjects of events."),
    text_or("mode", Kind::Choice(&["exclusive", "shared"]), "exclusive", "shared: beside others that share it."),
    optional(
        "wait_seconds",
        integer(1, WAIT_MAX_SECONDS as i64),
        "Where it can't be had now: wait so long for it. The grant comes as the event active.",
    ),
    DRY_RUN,
    TENANT,
];

pub static UNLOCK: [Field; 5] = [REQUESTER, RESOURCE, RELEASE_TOKEN, DRY_RUN, TENANT];

pub static RENEW: [Field; 5] = [
    RESOURCE,
    RELEASE_TOKEN,
    required("ttl_seconds", integer(1, TTL_SECONDS_MAX), "Expires so long from now, also where that is earlier."),
    DRY_RUN,
    TENANT,
];

pub static CHECK: [Field; 3] = [
    optional("resource", NAME, "One lock's name: answered with an object."),
    optional("resources", list(&NAME, 1, shapes::ITEMS_MAX), "Several names: answered with an array in their order."),
    TENANT,
];

pub static VERIFY: [Field; 3] = [RESOURCE, required("fencing_token", FENCING_TOKEN, "The token to verify."), TENANT];

/// Each item of a transaction is one of these, under the name of its verb.
pub static TRANSACT_ITEM: [Field; 5] = [
    optional("lock", Kind::Object(&LOCK), "As `lock`, but for wait_seconds, dry_run and tenant."),
    optional("reserve", Kind::Object(&super::RESERVE), "As `reserve`, but for dry_run and tenant."),
    optional("unlock", Kind::Object(&UNLOCK), "As `unlock`, but for dry_run and tenant."),
    optional("cancel", Kind::Object(&super::CANCEL), "As `cancel`, but for dry_run and tenant."),
    optional("terminate", Kind::Object(&super::TERMINATE), "As `terminate`, but for dry_run and tenant."),
];

pub static TRANSACT: [Field; 4] = [
    required(
        "method",
        Kind::Choice(&["ALL_OR_NONE", "AS_MANY_AS_POSSIBLE", "FIRST"]),
        "What stands where one can't be done: nothing, all that can, or only the first that can.",
    ),
    required("request_type", Kind::Choice(&["RESERVE", "UNRESERVE"]), "RESERVE: lock, reserve; UNRESERVE: the others."),
    required("requests", list(&Kind::Object(&TRANSACT_ITEM), 1, shapes::ITEMS_MAX), "In their order."),
    TENANT,
];

pub static REGISTER: [Field; 8] = [
    required("name", NAME, "The resource; registering it again overwrites all that was said of it."),
    integer_or("capacity", integer(1, PLACES_MAX as i64), 1, "How many may hold it at once: above 1 each has a slot."),
    Field {
        name: "blocks",
        kind: set(&NAME, 0, BLOCKS_MAX),
        presence: Presence::Default(Constant::EmptyList),
        about: "What is locked and unlocked with it, with what that blocks in turn. Their order means nothing.",
    },
    optional("tree_path", PATH, "Where it stands: the names above it, from the root on, and its own at will."),
    optional("resource_type", RESOURCE_TYPE, "The label of locks on it that bring none."),
    integer_or(
        "lock_delay_seconds",
        integer(0, WAIT_MAX_SECONDS as i64),
        0,
        "For how long nobody is granted it once a lock on it ran out; not after an unlock.",
    ),
    DRY_RUN,
    TENANT,
];

pub static RESOURCES: [Field; 4] = [
    optional("prefix", LABEL, "Only those whose names begin so."),
    integer_or("limit", integer(1, LIMIT_MAX), LIMIT_DEFAULT, "Page size."),
    optional("next_cursor", RESOURCE_CURSOR, "As answered with the page before."),
    TENANT,
];

pub static LOCKS: [Field; 5] = [
    optional("requester", LABEL, "Only those of this requester."),
    optional("resource", NAME, "Only those on this resource."),
    integer_or("limit", integer(1, LIMIT_MAX), LIMIT_DEFAULT, "Page size."),
    optional("next_cursor", LOCK_CURSOR, "As answered with the page before."),
    TENANT,
];
