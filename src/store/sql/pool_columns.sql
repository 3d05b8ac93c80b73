-- name: pool_columns
pool.lane, pool.name, pool.version, pool.capacity, pool.capacity_at, pool.capacity_quantity, pool.instance_type,
    pool.region, pool.grain_seconds, pool.quantity_step, pool.quantity_min, pool.quantity_max,
    pool.duration_min_seconds, pool.duration_max_seconds, pool.lead_time_seconds, pool.horizon_seconds,
    pool.intervals_max, pool.ending_soon_seconds, pool.cancellable, pool.extendable, pool.pausable, pool.reducible,
    pool.enabled, pool.instance_spec::text as instance_spec, pool.tags::text as tags, offers.*,
    zones.*
