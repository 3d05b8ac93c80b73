-- name: read_locks
-- The live claims on some locks.
select clock.at as read_at, {hold}
from (select clock_timestamp() as at) as clock
left join (
    unnest($1::smallint[], $2::text[], $3::text[]) as wanted (lane, tenant, resource)
    cross join lateral (
        select * from hold
        where hold.lane = wanted.lane and hold.tenant = wanted.tenant and hold.resource = wanted.resource
            and hold.kind = 'lock' and hold.status < 'Canceled'
        limit 20000
    ) as hold
) on true
