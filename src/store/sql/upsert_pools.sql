-- name: upsert_pools
-- Put the pools of a batch.
insert into pool (
    lane, name, version, capacity, capacity_at, capacity_quantity, instance_type, region, grain_seconds, quantity_step,
    quantity_min, quantity_max, duration_min_seconds, duration_max_seconds, lead_time_seconds, horizon_seconds,
    intervals_max, ending_soon_seconds, cancellable, extendable, pausable, reducible, enabled, instance_spec, tags
)
select
    new.lane, new.name, new.version, new.capacity, new.capacity_at::timestamptz[], new.capacity_quantity::bigint[],
    new.instance_type, new.region, new.grain_seconds, new.quantity_step, new.quantity_min, new.quantity_max,
    new.duration_min_seconds, new.duration_max_seconds, new.lead_time_seconds, new.horizon_seconds,
    new.intervals_max, new.ending_soon_seconds, new.cancellable, new.extendable, new.pausable, new.reducible,
    new.enabled, new.instance_spec::json, new.tags::json
from unnest(
    $1::smallint[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[],
    $16::bigint[], $17::bigint[], $18::bigint[], $19::boolean[], $20::boolean[], $21::boolean[], $22::boolean[],
    $23::boolean[], $24::text[], $25::text[]
) as new (
    lane, name, version, capacity, capacity_at, capacity_quantity, instance_type, region,
    grain_seconds, quantity_step, quantity_min, quantity_max, duration_min_seconds, duration_max_seconds,
    lead_time_seconds, horizon_seconds, intervals_max, ending_soon_seconds, cancellable, extendable, pausable,
    reducible, enabled, instance_spec, tags
)
on conflict (lane, name) do update
set
    version = excluded.version,
    capacity = excluded.capacity,
    capacity_at = excluded.capacity_at,
    capacity_quantity = excluded.capacity_quantity,
    instance_type = excluded.instance_type,
    region = excluded.region,
    grain_seconds = excluded.grain_seconds,
    quantity_step = excluded.quantity_step,
    quantity_min = excluded.quantity_min,
    quantity_max = excluded.quantity_max,
    duration_min_seconds = excluded.duration_min_seconds,
    duration_max_seconds = excluded.duration_max_seconds,
    lead_time_seconds = excluded.lead_time_seconds,
    horizon_seconds = excluded.horizon_seconds,
    intervals_max = excluded.intervals_max,
    ending_soon_seconds = excluded.ending_soon_seconds,
    cancellable = excluded.cancellable,
    extendable = excluded.extendable,
    pausable = excluded.pausable,
    reducible = excluded.reducible,
    enabled = excluded.enabled,
    instance_spec = excluded.instance_spec,
    tags = excluded.tags
