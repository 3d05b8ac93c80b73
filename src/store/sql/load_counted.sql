-- name: load_counted
-- Load what counts against the limits of some tenants that have limits.
-- The order leads each to its index.
select hold.tenant, hold.id, hold.kind::text as kind, hold.status::text as status, hold.expires_at, hold.intervals
from unnest($1::text[]) as wanted (tenant)
cross join lateral (
    select * from hold
    where hold.counted_for = wanted.tenant and hold.status < 'Canceled'
    order by hold.counted_for
) as hold
