-- What the operator configures: pools of like units, shared among all tenants. A few rows that seldom change, so here
-- are constraints that the hot tables go without.
create table pool (
    -- The hash of the name.
    lane smallint not null,
    name text not null,
    -- 1, 2, 3 …: one more with each change.
    version bigint not null,
    -- Units; null where the capacity changes over time.
    capacity bigint,
    -- From when on there are how many units: two arrays of one length, ascending in time; 0 units before the first.
    capacity_at timestamptz[],
    capacity_quantity bigint[],
    instance_type text,
    region text,
    grain_seconds bigint not null,
    quantity_step bigint not null,
    quantity_min bigint,
    quantity_max bigint,
    duration_min_seconds bigint,
    duration_max_seconds bigint,
    lead_time_seconds bigint not null,
    horizon_seconds bigint not null,
    intervals_max bigint not null,
    ending_soon_seconds bigint not null,
    cancellable boolean not null,
    extendable boolean not null,
    pausable boolean not null,
    reducible boolean not null,
    enabled boolean not null,
    -- Carried and never read, so kept as they were written.
    instance_spec json,
    tags json,

    primary key (lane, name),
    -- A request may name the kind instead of the pool. Nulls differ from one another, so other pools are free of it.
    constraint pool_kind_is_unique unique (instance_type, region),
    constraint pool_capacity_is_one_of_two check (
        (capacity is null) = (capacity_at is not null)
        and (capacity_at is null) = (capacity_quantity is null)
        and cardinality(capacity_at) = cardinality(capacity_quantity)
    )
);

-- The prices of a pool, in the order in which they were given.
create table pool_offer (
    lane smallint not null,
    pool text not null,
    position integer not null,
    key text not null,
    display_name text not null,
    -- Cents per unit-hour.
    unit_price_cents bigint not null,
    return_buyback_price_cents bigint not null,
    pause_buyback_price_cents bigint not null,
    option_premium_cents bigint not null,

    primary key (lane, pool, position),
    foreign key (lane, pool) references pool (lane, name)
);
