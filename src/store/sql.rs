//! The statements, each from its own file. Columns that several of them name stand in files of their own and are put
//! in where a statement says `{hold}`, `{pool}`, `{offers}`, or `{resource}`; so is what two of them look up, `{past}`.

use std::sync::{Arc, LazyLock};

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

/// A statement, made up once: its text is what a connection finds the prepared one by.
pub type Statement = LazyLock<SqlStr>;

macro_rules! statements {
    ($($name:ident = $file:literal),* $(,)?) => {
        $(pub static $name: Statement = LazyLock::new(|| complete(include_str!(concat!("sql/", $file, ".sql"))));)*

        /// Every statement, by the name of its file.
        pub fn all() -> Vec<(&'static str, SqlStr)> {
            vec![$(($file, $name.clone())),*]
        }
    };
}

statements! {
    LOCK_LANES = "lock_lanes",
    LOAD_RECEIPTS = "load_receipts",
    LOAD_HOLDS = "load_holds",
    LOAD_COUNTING = "load_counting",
    LOAD_POOLS = "load_pools",
    LOAD_RESOURCES = "load_resources",
    UPSERT_RESOURCES = "upsert_resources",
    LIST_RESOURCES = "list_resources",
    LIST_LOCKS = "list_locks",
    LOAD_JOURNAL = "load_journal",
    WRITE_BATCH = "write_batch",
    UPSERT_POOLS = "upsert_pools",
    DELETE_OFFERS = "delete_offers",
    INSERT_OFFERS = "insert_offers",
    DELETE_ZONES = "delete_zones",
    INSERT_ZONES = "insert_zones",
    LOAD_BOOKED = "load_booked",
    VOID_BATCH = "void_batch",
    READ_BATCH = "read_batch",
    CHECK_DATABASE = "check_database",
    READ_SCHEMA_VERSION = "read_schema_version",
    CLAIM_ROOT = "claim_root",
    TAKE_LEASE = "take_lease",
    RENEW_LEASE = "renew_lease",
    RELEASE_LEASE = "release_lease",
    READ_CURSORS = "read_cursors",
    ADVANCE_CURSORS = "advance_cursors",
    KNOWN_EVENTS = "known_events",
    JOURNAL_ABOVE = "journal_above",
    COUNT_BACKLOG = "count_backlog",
    READ_HOLD = "read_hold",
    READ_LOCKS = "read_locks",
    READ_POOL = "read_pool",
    LIST_POOLS = "list_pools",
    LIST_OPEN_POOLS = "list_open_pools",
    FIND_POOL_OF_KIND = "find_pool_of_kind",
    NEXT_DUE = "next_due",
    LOCK_TENANTS = "lock_tenants",
    LOAD_LIMITED = "load_limited",
    LOAD_TENANT_HOLDS = "load_tenant_holds",
    LOAD_COUNTED = "load_counted",
    MARK_COUNTED = "mark_counted",
    MARK_ALL_COUNTED = "mark_all_counted",
    MARK_NONE_COUNTED = "mark_none_counted",
    UPSERT_TENANT = "upsert_tenant",
    UPDATE_TENANTS = "update_tenants",
    ANNOUNCE_TENANTS = "announce_tenants",
    READ_TENANT = "read_tenant",
    SWEEP_RECEIPTS = "sweep_receipts",
    SWEEP_BATCHES = "sweep_batches",
    SWEEP_JOURNAL = "sweep_journal",
    SWEEP_HISTORY = "sweep_history",
    READ_EVENTS = "read_events",
    READ_ALLOCATION = "read_allocation",
    READ_PAST_ALLOCATION = "read_past_allocation",
    READ_CAPACITY = "read_capacity",
}

/// The list in one of its four orders: `after` and `order` are texts of this crate, never of a request.
pub fn list_holds(after: &'static str, order: &'static str) -> SqlStr {
    let text = include_str!("sql/list_holds.sql").replace("{after}", after).replace("{order}", order);
    complete(&text)
}

/// The list as of an instant, in one of its two orders.
pub fn list_past_holds(is_descending: bool) -> SqlStr {
    let order = if is_descending { "hold.id desc" } else { "hold.id" };
    complete(&include_str!("sql/list_past_holds.sql").replace("{order}", order))
}

fn complete(text: &str) -> SqlStr {
    let text = text
        .replace("{hold}", include_str!("sql/hold_columns.sql").trim_end())
        .replace("{resource}", include_str!("sql/resource_columns.sql").trim_end())
        .replace("{past}", include_str!("sql/past_event.sql").trim_end())
        .replace("{pool}", include_str!("sql/pool_columns.sql").trim_end())
        .replace("{offers}", include_str!("sql/pool_offers.sql").trim_end());

    AssertSqlSafe(Arc::<str>::from(text)).into_sql_str()
}
