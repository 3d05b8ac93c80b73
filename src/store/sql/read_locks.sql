-- name: the live claims on some locks
with clock as materialized (select clock_timestamp() as at)
select clock.at as read_at, {hold}
from clock
left join (
    unnest($1::smallint[], $2::text[], $3::text[]) as wanted (lane, tenant, resource)
    join hold
        on hold.lane = wanted.lane and hold.tenant = wanted.tenant and hold.resource = wanted.resource
        and hold.kind = 'lock' and hold.status < 'Canceled'
) on true
