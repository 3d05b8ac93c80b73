//! The tables: the fields of every verb's request, in the order in which they are documented, checked and written.

mod lock;
mod look;

use super::shape::{ByName, Constant, Field, Kind, List, Presence, Tags, Text};
use super::verb::Verb;
use super::{capacity, cursor};
use crate::domain::id::{IdempotencyKey, Label, PoolName, ResourceType, Tenant, ZoneName};
use crate::domain::quota::{LIMIT_MAX as QUOTA_MAX, PREFIXES_MAX};
use crate::domain::resource::{CAPACITY_MAX, GRAIN_MAX_SECONDS, PRICE_MAX_CENTS, QUANTITY_MAX, STANDARD_OFFER};

/// Most objects in one message of `lock`, `unlock`, `renew` or `transact`, most requests of one `transact`, and most
/// resources of one `check`.
pub const ITEMS_MAX: usize = 1_000;
/// Most intervals of one reservation: a week of quarters of an hour.
pub const INTERVALS_MAX: usize = 672;
/// Page size where none is asked for.
pub const LIMIT_DEFAULT: i64 = 50;

const HISTORY_MINUTES_MAX: i64 = 1_440;
const LIMIT_MAX: i64 = 100;
const OFFERS_MAX: usize = 32;
const ZONES_MAX: usize = 64;
const CAPACITY_STEPS_MAX: usize = 1_000;
const LAUNCH_ITEMS_MAX: usize = 1_000;
const SCRIPT_LENGTH_MAX: usize = 65_536;
const HOLD_SECONDS_MAX: i64 = 7 * 86_400;
const POLICY_SECONDS_MAX: i64 = 10 * 365 * 86_400;
const HARDWARE_MAX: i64 = 1_000_000_000;

const LABEL: Kind = Kind::Text(Text {
    accepts: |text| Label::parse(text).is_some(),
    length_min: 1,
    length_max: 255,
    pattern: r"^[^\u0000-\u001f\u007f-\u009f]*$",
    expected: "a string of 1 to 255 characters without control characters",
});
const POOL: Kind = Kind::Text(Text {
    accepts: |text| PoolName::parse(text).is_some(),
    length_min: 1,
    length_max: 63,
    pattern: "^[a-z0-9][a-z0-9_-]*$",
    expected: "a pool's name, [a-z0-9][a-z0-9_-]{0,62}",
});
const CAPACITY_ID: Kind = Kind::Text(Text {
    accepts: |text| capacity::parse(text).is_some(),
    length_min: 1,
    length_max: capacity::ID_LENGTH_MAX,
    pattern: capacity::PATTERN,
    expected: "a pool's name, or berth:capacity:<tenant>:default:<pool>",
});
const TENANT_NAME: Kind = Kind::Text(Text {
    accepts: |text| Tenant::parse(text).is_some(),
    length_min: 1,
    length_max: 63,
    pattern: "^[a-z0-9][a-z0-9-]*$",
    expected: "a tenant's name, [a-z0-9][a-z0-9-]{0,62}",
});
const RESOURCE_TYPE: Kind = Kind::Text(Text {
    accepts: |text| ResourceType::parse(text).is_some(),
    length_min: 1,
    length_max: 64,
    pattern: "^[A-Za-z0-9_-]*$",
    expected: "a string of 1 to 64 of A-Z a-z 0-9 _ -",
});
const ZONE_NAME: Text = Text {
    accepts: |text| ZoneName::parse(text).is_some(),
    length_min: 1,
    length_max: 64,
    pattern: "^[A-Za-z0-9_-]*$",
    expected: "a zone's name, 1 to 64 of A-Z a-z 0-9 _ -",
};
const ZONE: Kind = Kind::Text(ZONE_NAME);
const WHOSE: Field = required(
    "tenant",
    Kind::Text(Text {
        accepts: |text| Tenant::parse(text).is_some(),
        length_min: 1,
        length_max: 63,
        pattern: "^[a-z0-9][a-z0-9-]*$",
        expected: "a tenant's name, [a-z0-9][a-z0-9-]{0,62}",
    }),
    "The tenant that it belongs to.",
);
const KEY: Kind = Kind::Text(Text {
    accepts: |text| IdempotencyKey::parse(text).is_some(),
    length_min: 1,
    length_max: 255,
    pattern: "^[A-Za-z0-9_:=+/-]*$",
    expected: "a string of 1 to 255 of A-Z a-z 0-9 _ - : = + /",
});
const SCRIPT: Kind = Kind::Text(Text {
    accepts: |text| {
        let is_plain = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
        text.chars().all(is_plain) && text.chars().count() <= SCRIPT_LENGTH_MAX
    },
    length_min: 0,
    length_max: SCRIPT_LENGTH_MAX,
    pattern: r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$",
    expected: "a string of at most 65536 characters without control characters other than \\t, \\n and \\r",
});
const LIST_CURSOR: Kind = Kind::Text(Text {
    accepts: |text| cursor::decode_list(text).is_some(),
    length_min: 1,
    length_max: cursor::LENGTH_MAX,
    pattern: "^[A-Za-z0-9_-]*$",
    expected: "the next_cursor of a page with the same sort_by",
});
const POOL_CURSOR: Kind = page_cursor(|text| cursor::decode_pool(text).is_some(), cursor::LENGTH_MAX);
const QUANTITY: Kind = integer(1, QUANTITY_MAX as i64);
const FENCING_TOKEN: Kind = integer(0, i64::MAX);
const TAGS: Kind = Kind::Tags(Tags { items_max: 64, name_length_max: 128, value_length_max: 256 });
const TENANT: Field = Field {
    name: "tenant",
    kind: LABEL,
    presence: Presence::Address,
    about: "May repeat the tenant of the subject; another one is refused.",
};

const fn page_cursor(accepts: fn(&str) -> bool, length_max: usize) -> Kind {
    Kind::Text(Text {
        accepts,
        length_min: 1,
        length_max,
        pattern: "^[A-Za-z0-9_-]*$",
        expected: "the next_cursor of another page",
    })
}

const fn integer(min: i64, max: i64) -> Kind {
    Kind::Integer { min, max }
}

const fn list(item: &'static Kind, items_min: usize, items_max: usize) -> Kind {
    Kind::List(List { item, items_min, items_max, is_set: false })
}

const fn set(item: &'static Kind, items_min: usize, items_max: usize) -> Kind {
    Kind::List(List { item, items_min, items_max, is_set: true })
}

const fn required(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, presence: Presence::Required, about }
}

const fn optional(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, kind, presence: Presence::Optional, about }
}

const fn integer_or(name: &'static str, kind: Kind, default: i64, about: &'static str) -> Field {
    Field { name, kind, presence: Presence::Default(Constant::Integer(default)), about }
}

const fn text_or(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Field {
    Field { name, kind, presence: Presence::Default(Constant::Text(default)), about }
}

const fn allowed(name: &'static str, about: &'static str) -> Field {
    Field { name, kind: Kind::Boolean, presence: Presence::Default(Constant::Boolean(true)), about }
}

const MAX_UNIT_PRICE: Field =
    optional("max_unit_price", integer(0, PRICE_MAX_CENTS), "The most that a unit-hour may cost, cents.");

static PRICE_OF_NEW: [Field; 2] =
    [text_or("offer_key", LABEL, STANDARD_OFFER, "The offer of the pool to take."), MAX_UNIT_PRICE];

static PRICE_OF_EXTENSION: [Field; 2] =
    [optional("offer_key", LABEL, "The offer to take; absent: the reservation's own."), MAX_UNIT_PRICE];

static INTERVAL: [Field; 3] = [
    required("start_time", Kind::Instant, "The first instant that belongs to it."),
    required("end_time", Kind::Instant, "The first instant that no longer belongs to it."),
    required("quantity", QUANTITY, "Units."),
];

static LAUNCH_SPECIFICATION: [Field; 6] = [
    required("volumes", list(&LABEL, 0, LAUNCH_ITEMS_MAX), "Ids of volumes."),
    required("ssh_keys", list(&LABEL, 0, LAUNCH_ITEMS_MAX), "Ids of SSH keys."),
    optional("startup_script", SCRIPT, "Run at start. Answered to its tenant, never in an event."),
    optional("kubernetes_cluster", LABEL, "The cluster to join."),
    optional("image_version", LABEL, "The image to start."),
    optional("memory_gb", integer(0, HARDWARE_MAX), "Memory, GB."),
];

/// Of every command upon reservations and locks, and of what the operator sets; not of the items of an array.
pub const DRY_RUN: Field = Field {
    name: "dry_run",
    kind: Kind::Boolean,
    presence: Presence::Default(Constant::Boolean(false)),
    about: "Answer what would come of it, and change nothing; any key is ignored.",
};

static RESERVE: [Field; 15] = [
    optional("pool", POOL, "The pool to reserve from; or instance_type and region."),
    optional("instance_type", LABEL, "With region: names the pool in its place."),
    optional("region", LABEL, "With instance_type: names the pool in its place."),
    optional("name", LABEL, "A name of free choice."),
    optional("start_time", Kind::Instant, "The window's first instant; with end_time and quantity, or intervals."),
    optional("end_time", Kind::Instant, "The first instant that no longer belongs to the window."),
    optional("quantity", QUANTITY, "Units over the window."),
    optional(
        "intervals",
        set(&Kind::Object(&INTERVAL), 1, INTERVALS_MAX),
        "Several windows, placed all or none. None may overlap another; touching is allowed; their order means nothing.",
    ),
    optional("tags", TAGS, "Labels of free choice."),
    optional("launch_specification", Kind::Object(&LAUNCH_SPECIFICATION), "Carried along, never read."),
    optional("price_specification", Kind::Object(&PRICE_OF_NEW), "The offer, and the most that it may cost."),
    optional("hold_seconds", integer(1, HOLD_SECONDS_MAX), "Hold only: confirm it within so many seconds."),
    optional("zone", ZONE, "Only units of this zone of the pool; absent: of any."),
    DRY_RUN,
    TENANT,
];

const RESERVATION_ID: Field = required("reservation_id", Kind::Id, "The reservation.");

static CONFIRM: [Field; 4] =
    [RESERVATION_ID, optional("quantity", QUANTITY, "Keep only so many units; absent: all."), DRY_RUN, TENANT];

static EXTEND: [Field; 5] = [
    RESERVATION_ID,
    required("end_time", Kind::Instant, "The new end."),
    optional("price_specification", Kind::Object(&PRICE_OF_EXTENSION), "The offer, and the most that it may cost."),
    DRY_RUN,
    TENANT,
];

static TERMINATE: [Field; 6] = [
    RESERVATION_ID,
    optional(
        "units",
        set(&Kind::Unit, 1, QUANTITY_MAX as usize),
        "Give back these units, each named once; with reduce_capacity. Their order means nothing.",
    ),
    optional("quantity", QUANTITY, "Give back so many units; with reduce_capacity. Absent as units: all of it ends."),
    optional("reduce_capacity", Kind::Boolean, "Must be true with units or quantity, and absent otherwise."),
    DRY_RUN,
    TENANT,
];

static UPDATE: [Field; 7] = [
    RESERVATION_ID,
    optional("paused", Kind::Boolean, "Pause it, or resume it."),
    optional("volumes", list(&LABEL, 0, LAUNCH_ITEMS_MAX), "Ids of volumes, in place of all those before."),
    optional("name", LABEL, "A name of free choice."),
    optional("tags", TAGS, "Labels of free choice, in place of all those before."),
    DRY_RUN,
    TENANT,
];
static CANCEL: [Field; 3] = [RESERVATION_ID, DRY_RUN, TENANT];

static BY_ID: [Field; 2] = [RESERVATION_ID, TENANT];

const AS_OF: Field =
    optional("as_of", Kind::Instant, "Answer as it stood at this instant; not later than now. Absent: now.");

static BY_ID_AS_OF: [Field; 3] = [RESERVATION_ID, AS_OF, TENANT];

static SCHEDULE: [Field; 6] = [
    optional("pool", POOL, "The pool; or id."),
    optional("id", CAPACITY_ID, "The pool's name, or the resource path of the tenant's capacity in it."),
    integer_or("schedule_history_minutes", integer(0, HISTORY_MINUTES_MAX), 0, "How far back the schedule begins."),
    optional(
        "expand",
        list(&Kind::Choice(&["procurements", "deployments"]), 0, 2),
        "Accepted and without effect: there are none.",
    ),
    AS_OF,
    TENANT,
];

static LIST: [Field; 10] = [
    optional("pool", POOL, "Only those of this pool."),
    optional("instance_type", LABEL, "Only those of this type."),
    optional("region", LABEL, "Only those of this region."),
    optional(
        "status",
        Kind::Choice(&["Held", "Pending", "Active", "Paused", "Canceled", "Ended", "Expired"]),
        "Only those with this status.",
    ),
    text_or("sort_by", Kind::Choice(&["created_at", "status"]), "created_at", "What the list is sorted by."),
    text_or("sort_dir", Kind::Choice(&["asc", "desc"]), "desc", "Descending: newest first."),
    integer_or("limit", integer(1, LIMIT_MAX), LIMIT_DEFAULT, "Page size."),
    optional("next_cursor", LIST_CURSOR, "As answered with the page before, for the same sort_by."),
    AS_OF,
    TENANT,
];

static RECEIPT: [Field; 2] = [required("idempotency_key", KEY, "The key that the command was sent with."), TENANT];

static CAPACITY_STEP: [Field; 2] = [
    required("effective_at", Kind::Instant, "From then on."),
    required("quantity", integer(0, CAPACITY_MAX as i64), "Units."),
];

static INSTANCE_SPEC: [Field; 13] = [
    optional("fid", LABEL, "Its id."),
    optional("name", LABEL, "Its name."),
    optional("num_cpus", integer(0, HARDWARE_MAX), "CPUs."),
    optional("cpu_type", LABEL, "Type of the CPUs."),
    optional("ram_gb", integer(0, HARDWARE_MAX), "Memory, GB."),
    optional("num_gpus", integer(0, HARDWARE_MAX), "GPUs."),
    optional("gpu_type", LABEL, "Type of the GPUs."),
    optional("gpu_memory_gb", integer(0, HARDWARE_MAX), "Memory of each GPU, GB."),
    optional("gpu_socket", LABEL, "Socket of the GPUs."),
    optional("local_storage_gb", integer(0, HARDWARE_MAX), "Local storage, GB."),
    optional("network_type", LABEL, "Type of the network."),
    optional("ib_count", integer(0, HARDWARE_MAX), "InfiniBand adapters."),
    optional("bridge_count", integer(0, HARDWARE_MAX), "Bridges."),
];

const PRICE: Kind = integer(0, PRICE_MAX_CENTS);

static OFFER: [Field; 6] = [
    required("key", LABEL, "Names the offer; each key stands once."),
    required("display_name", LABEL, "For a person."),
    required("unit_price_cents", PRICE, "Cents per unit-hour."),
    integer_or("return_buyback_price_cents", PRICE, 0, "Credited per unit-hour given back."),
    integer_or("pause_buyback_price_cents", PRICE, 0, "Credited per unit-hour paused."),
    integer_or("option_premium_cents", PRICE, 0, "Part of the price that pays for the options."),
];

const SECONDS: Kind = integer(0, POLICY_SECONDS_MAX);
const SECONDS_SOME: Kind = integer(1, POLICY_SECONDS_MAX);

static POOL_PUT: [Field; 27] = [
    required("pool", POOL, "The pool's name, a token of the subjects of events."),
    optional("capacity", integer(0, CAPACITY_MAX as i64), "Units, at all times; or capacity_schedule."),
    optional(
        "capacity_schedule",
        list(&Kind::Object(&CAPACITY_STEP), 1, CAPACITY_STEPS_MAX),
        "Units over time, strictly ascending; 0 before the first step.",
    ),
    optional("instance_type", LABEL, "With region: another name of the pool; the pair is unique."),
    optional("region", LABEL, "With instance_type."),
    optional("instance_spec", Kind::Object(&INSTANCE_SPEC), "What a unit is; shown, never read."),
    integer_or(
        "grain_seconds",
        integer(1, GRAIN_MAX_SECONDS as i64),
        900,
        "Starts and ends lie on this grid, counted from 1970-01-01T00:00:00Z.",
    ),
    integer_or("quantity_step", QUANTITY, 1, "Quantities are multiples of it."),
    optional("quantity_min", QUANTITY, "Fewest units of one interval."),
    optional("quantity_max", QUANTITY, "Most units of one interval."),
    optional("duration_min_seconds", SECONDS_SOME, "Shortest run of touching intervals."),
    optional("duration_max_seconds", SECONDS_SOME, "Longest run of touching intervals."),
    integer_or("lead_time_seconds", SECONDS, 0, "A start lies at least so far ahead."),
    integer_or("horizon_seconds", SECONDS_SOME, 366 * 86_400, "An end lies at most so far ahead."),
    integer_or("intervals_max", integer(1, INTERVALS_MAX as i64), INTERVALS_MAX as i64, "Most intervals."),
    integer_or("ending_soon_seconds", SECONDS, 0, "Announce an end so long before it; 0: not at all."),
    allowed("cancellable", "May reservations be canceled, and terminated as a whole?"),
    allowed("extendable", "May reservations be extended?"),
    allowed("pausable", "May reservations be paused?"),
    allowed("reducible", "May part of a reservation be given back?"),
    allowed("enabled", "Does the pool take new reservations?"),
    Field {
        name: "offers",
        kind: list(&Kind::Object(&OFFER), 0, OFFERS_MAX),
        presence: Presence::Default(Constant::EmptyList),
        about: "Prices to choose from; none: `standard` at 0.",
    },
    optional("tags", TAGS, "Labels of free choice."),
    Field {
        name: "zones",
        kind: set(&ZONE, 0, ZONES_MAX),
        presence: Presence::Default(Constant::EmptyList),
        about: "The parts of the pool that a reservation can be bound to. Their order means nothing.",
    },
    optional(
        "capacity_by_zone",
        Kind::ByName(ByName { name: &ZONE_NAME, value: &ZONE_CAPACITY, items_max: ZONES_MAX }),
        "For some of the zones the units that there are; the pool's capacity binds beside it.",
    ),
    optional(
        "force",
        Kind::Choice(&["newest_first", "oldest_first", "smallest_first", "largest_first"]),
        "End reservations that no longer fit, in this order, until the rest does; absent: refuse.",
    ),
    DRY_RUN,
];

/// Units at all times, or over time.
static ZONE_CAPACITY: Kind = Kind::OneOrList(
    &integer(0, CAPACITY_MAX as i64),
    List { item: &Kind::Object(&CAPACITY_STEP), items_min: 1, items_max: CAPACITY_STEPS_MAX, is_set: false },
);

static RESERVATION_TERMINATE: [Field; 3] = [RESERVATION_ID, DRY_RUN, WHOSE];

static LOCK_RELEASE: [Field; 3] = [lock::RESOURCE, DRY_RUN, WHOSE];

static POOL_GET: [Field; 1] = [required("pool", POOL, "The pool.")];

static POOL_LIST: [Field; 2] = [
    integer_or("limit", integer(1, LIMIT_MAX), LIMIT_DEFAULT, "Page size."),
    optional("next_cursor", POOL_CURSOR, "As answered with the page before."),
];

static QUOTAS: [Field; 3] = [
    optional("units", integer(0, QUOTA_MAX), "Most units at any instant, over all pools."),
    optional("unit_hours", integer(0, QUOTA_MAX), "Most quantity × hours from now on, over all pools."),
    optional("locks", integer(0, QUOTA_MAX), "Most claims on locks, held or waiting."),
];

static TENANT_PUT: [Field; 4] = [
    required("tenant", TENANT_NAME, "The tenant."),
    optional("quotas", Kind::Object(&QUOTAS), "The limits; each absent: unlimited."),
    Field {
        name: "registered_prefixes",
        kind: set(&lock::NAME, 0, PREFIXES_MAX),
        presence: Presence::Default(Constant::EmptyList),
        about: "Names of locks that begin so have to be registered. Each given once; their order means nothing.",
    },
    DRY_RUN,
];

static TENANT_GET: [Field; 1] = [required("tenant", TENANT_NAME, "The tenant.")];

static QUOTA: [Field; 1] = [TENANT];

/// The fields of a verb's request.
pub fn fields(verb: Verb) -> &'static [Field] {
    match verb {
        Verb::Reserve => &RESERVE,
        Verb::Confirm => &CONFIRM,
        Verb::Extend => &EXTEND,
        Verb::Terminate => &TERMINATE,
        Verb::Update => &UPDATE,
        Verb::Cancel => &CANCEL,
        Verb::Get | Verb::History | Verb::Usage => &BY_ID_AS_OF,
        Verb::Schedule => &SCHEDULE,
        Verb::List => &LIST,
        Verb::Availability => &look::AVAILABILITY,
        Verb::Find => &look::FIND,
        Verb::ExtensionAvailability => &BY_ID,
        Verb::Quote => &look::QUOTE,
        Verb::Pools => &look::POOLS,
        Verb::Lock => &lock::LOCK,
        Verb::Unlock => &lock::UNLOCK,
        Verb::Renew => &lock::RENEW,
        Verb::Check => &lock::CHECK,
        Verb::Verify => &lock::VERIFY,
        Verb::Transact => &lock::TRANSACT,
        Verb::Register => &lock::REGISTER,
        Verb::Resources => &lock::RESOURCES,
        Verb::Locks => &lock::LOCKS,
        Verb::Receipt => &RECEIPT,
        Verb::PoolPut => &POOL_PUT,
        Verb::PoolGet => &POOL_GET,
        Verb::PoolList => &POOL_LIST,
        Verb::TenantPut => &TENANT_PUT,
        Verb::TenantGet => &TENANT_GET,
        Verb::Quota => &QUOTA,
        Verb::ReservationTerminate => &RESERVATION_TERMINATE,
        Verb::LockRelease => &LOCK_RELEASE,
    }
}

/// May the request also be an array of such objects?
pub fn takes_array(verb: Verb) -> bool {
    matches!(verb, Verb::Lock | Verb::Unlock | Verb::Renew | Verb::Transact)
}
