-- name: read_tenant
-- A tenant by its name, and the time.
select
    clock.at as read_at, tenant.name, tenant.version, tenant.units_max, tenant.unit_hours_max, tenant.locks_max,
    tenant.registered_prefixes
from (select clock_timestamp() as at) as clock
left join tenant on tenant.name = $1
