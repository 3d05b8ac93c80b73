-- name: lock_lanes
-- Lock the lanes of a batch, in ascending order, then read the clock.
-- Reads nothing but what it locks: the snapshot is older than the locks, and only a locked row is read as it is now.
-- The clock stands beside the count, so it is read after the last lock.
with locked as materialized (
    select lane, seq, fence, decided_at, last_batch, pools_version, tenants_batch, registry_version
    from lane
    where lane = any($1::smallint[])
    order by lane
    for no key update
),
clock as materialized (
    select count(*) as lanes, clock_timestamp() as at from locked
)
select
    locked.lane, locked.seq, locked.fence, locked.last_batch, locked.pools_version,
    locked.tenants_batch, locked.registry_version, clock.at as read_at,
    greatest(clock.at, locked.decided_at) as now
from locked cross join clock
