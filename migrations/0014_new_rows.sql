-- The rows that a batch inserts, as it hands them over: one array of records for each table. An array for each column
-- had to be turned into rows by as many functions side by side, each with a store of its own, which cost more than the
-- insert itself.
--
-- Types of their own rather than those of the tables: a column that is added to a table is no concern of a worker that
-- does not know it. What is an enumeration there is text here, because its type would have another number in each
-- database.
create type new_hold as (
    lane smallint,
    id uuid,
    kind text,
    tenant text,
    status text,
    end_reason text,
    version integer,
    created_at timestamptz,
    created_by text,
    deactivated_at timestamptz,
    expires_at timestamptz,
    due_at timestamptz,
    occupied_until timestamptz,
    last_seq bigint,
    pool text,
    name text,
    instance_type text,
    region text,
    start_time timestamptz,
    end_time timestamptz,
    quantity integer,
    intervals bigint[],
    units integer[],
    units_bound integer,
    launch_specification text,
    tags text,
    offer_key text,
    unit_price_cents bigint,
    return_buyback_price_cents bigint,
    pause_buyback_price_cents bigint,
    total_price_cents bigint,
    paused_at timestamptz,
    ending_soon_seconds integer,
    warned_end timestamptz,
    zone text,
    requester text,
    resource text,
    resource_type text,
    release_token uuid,
    fencing_token bigint,
    is_shared boolean,
    slot integer,
    ttl_seconds integer,
    is_blocker boolean,
    blockers text,
    tree_path text,
    delay_seconds integer
);

create type new_event as (
    lane smallint,
    seq bigint,
    hold_id uuid,
    version integer,
    tenant text,
    kind text,
    label text,
    event_type text,
    at timestamptz,
    usage bigint[],
    lapses_at timestamptz,
    payload bytea,
    previous_seq bigint,
    zone text
);

create type new_receipt as (
    id uuid,
    tenant text,
    verb text,
    request bytea,
    body bytea,
    error_number smallint,
    error_code text,
    event_lane smallint,
    event_seq bigint,
    event_hold_id uuid,
    event_version integer,
    body_from integer,
    body_length integer
);
