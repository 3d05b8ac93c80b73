//! The tables of the verbs that are asked before something is reserved.

use super::super::shape::{Field, Kind};
use super::{
    LABEL, LIMIT_DEFAULT, LIMIT_MAX, POLICY_SECONDS_MAX, POOL, POOL_CURSOR, QUANTITY, TENANT, integer, integer_or,
    list, optional, required, text_or,
};

/// Most pools of one `find`: each is in a lane that has to be locked.
pub const POOLS_MAX: usize = 16;
/// The modes of `availability`, the first without being asked for.
pub const MODES: [&str; 3] = ["latest_end_time", "slots", "check"];

const FOUND_DEFAULT: i64 = 10;

const INSTANCE_TYPE: Field = optional("instance_type", LABEL, "With region: names the pool in its place.");
const REGION: Field = optional("region", LABEL, "With instance_type: names the pool in its place.");

pub static AVAILABILITY: [Field; 10] = [
    optional("pool", POOL, "The pool; or instance_type and region."),
    INSTANCE_TYPE,
    REGION,
    text_or("mode", Kind::Choice(&MODES), MODES[0], "What is asked: each mode has fields of its own."),
    optional("start_time", Kind::Instant, "latest_end_time and check: the window's first instant."),
    optional("end_time", Kind::Instant, "check: the first instant that no longer belongs to the window."),
    optional("quantity", QUANTITY, "latest_end_time and check: units."),
    optional("earliest_start_time", Kind::Instant, "slots: where the range begins."),
    optional("latest_end_time", Kind::Instant, "slots: where the range ends."),
    TENANT,
];

pub static FIND: [Field; 10] = [
    optional("pool", POOL, "The pool; or pools; or instance_type and region."),
    optional("pools", list(&POOL, 1, POOLS_MAX), "Several pools, each named once: the answer tells which has what."),
    INSTANCE_TYPE,
    REGION,
    required("quantity", QUANTITY, "Units over the whole window."),
    required("duration_seconds", integer(1, POLICY_SECONDS_MAX), "How long the window is."),
    required("earliest_start_time", Kind::Instant, "No window starts earlier."),
    required("latest_end_time", Kind::Instant, "No window ends later."),
    integer_or("limit", integer(1, LIMIT_MAX), FOUND_DEFAULT, "Most windows that are answered."),
    TENANT,
];

pub static QUOTE: [Field; 7] = [
    optional("pool", POOL, "The pool; or instance_type and region."),
    INSTANCE_TYPE,
    REGION,
    required("start_time", Kind::Instant, "The window's first instant."),
    required("end_time", Kind::Instant, "The first instant that no longer belongs to the window."),
    required("quantity", QUANTITY, "Units over the window."),
    TENANT,
];

pub static POOLS: [Field; 3] = [
    integer_or("limit", integer(1, LIMIT_MAX), LIMIT_DEFAULT, "Page size."),
    optional("next_cursor", POOL_CURSOR, "As answered with the page before."),
    TENANT,
];
