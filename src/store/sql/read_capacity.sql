-- name: read_capacity
-- The time, and what is shown of a pool beside its allocation.
select clock_timestamp() as read_at, pool.created_at, pool.tags::text as tags
from (select) as nothing
left join pool on pool.lane = $1 and pool.name = $2
