-- name: load_tenant_holds
-- Load what some tenants have: their live reservations, and their live locks in every lane. Reads over the history of
-- their reservations.
-- The order leads each half to its index.
select hold.tenant, hold.id, hold.kind::text as kind, hold.status::text as status, hold.expires_at, hold.intervals
from unnest($1::text[]) as wanted (tenant)
cross join lateral (
    select * from hold
    where hold.tenant = wanted.tenant and hold.kind = 'reservation' and hold.status < 'Canceled'
    order by hold.id
) as hold
union all
select hold.tenant, hold.id, hold.kind::text as kind, hold.status::text as status, hold.expires_at, null
from unnest($1::text[]) as wanted (tenant)
cross join unnest($2::smallint[]) as every (lane)
cross join lateral (
    select * from hold
    where hold.lane = every.lane and hold.tenant = wanted.tenant and hold.kind = 'lock' and hold.status < 'Canceled'
    order by hold.resource
) as hold
