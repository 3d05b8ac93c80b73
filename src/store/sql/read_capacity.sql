-- name: read_capacity
-- The time, and what is shown of a pool beside its allocation.
select
    clock_timestamp() as read_at,
    pool.created_at,
    pool.tags::text as tags,
    array(
        select distinct pool_zone.zone
        from pool_zone
        where pool_zone.lane = $1 and pool_zone.pool = $2
    ) as zone_names
from (select) as nothing
left join pool on pool.lane = $1 and pool.name = $2
