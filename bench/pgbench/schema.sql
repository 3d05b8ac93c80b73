-- What somebody would set up who makes reservations with Postgres alone: pools, reservations, idempotency keys and an
-- outbox. Loaded anew before a comparison:  pgbench -n -M simple -t 1 -f schema.sql
drop schema if exists berth_compare cascade;
create schema berth_compare;

create table berth_compare.pool (
    id integer primary key,
    name text not null unique,
    capacity integer not null
);

create table berth_compare.reservation (
    id uuid primary key default gen_random_uuid(),
    tenant text not null,
    pool_id integer not null,
    status text not null,
    start_time timestamptz not null,
    end_time timestamptz not null,
    quantity integer not null,
    version integer not null default 1,
    created_at timestamptz not null default now()
);

-- No window is longer than an hour, so the overlapping ones start within the hour before: a short range of this index.
create index reservation_by_window on berth_compare.reservation (pool_id, start_time) where status <> 'Canceled';
create index reservation_by_tenant on berth_compare.reservation (tenant, created_at);

create table berth_compare.receipt (
    tenant text not null,
    key text not null,
    request jsonb not null,
    reply jsonb not null,
    created_at timestamptz not null default now(),
    primary key (tenant, key)
);

create table berth_compare.outbox (
    id bigint generated always as identity primary key,
    event_id uuid not null default gen_random_uuid(),
    subject text not null,
    payload jsonb not null,
    created_at timestamptz not null default now()
);

insert into berth_compare.pool (id, name, capacity)
select n, 'pool-' || n, 1000000 from generate_series(1, 1000) as n;

analyze berth_compare.pool;
