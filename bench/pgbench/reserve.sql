-- One reservation, as a service would make it: one transaction for each request. Windows lie on a grain of 15 minutes
-- within 300 days from tomorrow and last up to an hour, as those of berth bench.
\set pool random(1, 1000)
\set first random(0, 28799)
\set grains random(1, 4)
\set key_high random(0, 9007199254740991)
\set key_low random(0, 9007199254740991)

begin;

-- Was this key answered before?
select reply from berth_compare.receipt
where tenant = 'bench' and key = :key_high::bigint || '-' || :key_low::bigint;

-- One decision at a time on a pool.
select capacity from berth_compare.pool where id = :pool::integer for update;

-- Reserve where the units in use leave room; tell the world and keep the answer in the same statement.
with asked as (
    select
        date_trunc('day', now()) + interval '1 day' + :first::integer * interval '15 minutes' as start_time,
        date_trunc('day', now()) + interval '1 day' + (:first::integer + :grains::integer) * interval '15 minutes'
            as end_time
),
used as (
    select coalesce(sum(reservation.quantity), 0) as quantity
    from asked
    join berth_compare.reservation
        on reservation.pool_id = :pool::integer
        and reservation.status <> 'Canceled'
        and reservation.start_time > asked.start_time - interval '1 hour'
        and reservation.start_time < asked.end_time
        and reservation.end_time > asked.start_time
),
placed as (
    insert into berth_compare.reservation (tenant, pool_id, status, start_time, end_time, quantity)
    select 'bench', pool.id, 'Pending', asked.start_time, asked.end_time, 1
    from asked, used, berth_compare.pool
    where pool.id = :pool::integer and used.quantity + 1 <= pool.capacity
    returning *
),
told as (
    insert into berth_compare.outbox (subject, payload)
    select 'event.bench.reservation.' || pool_id || '.placed', to_jsonb(placed) from placed
)
insert into berth_compare.receipt (tenant, key, request, reply)
select
    'bench',
    :key_high::bigint || '-' || :key_low::bigint,
    jsonb_build_object('pool', :pool::integer, 'first', :first::integer, 'grains', :grains::integer, 'quantity', 1),
    to_jsonb(placed)
from placed;

commit;
