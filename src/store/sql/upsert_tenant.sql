-- name: upsert_tenant
-- Put what the operator says of a tenant.
insert into tenant (name, version, units_max, unit_hours_max, locks_max, registered_prefixes)
values ($1, $2, $3, $4, $5, $6)
on conflict (name) do update
set
    version = excluded.version,
    units_max = excluded.units_max,
    unit_hours_max = excluded.unit_hours_max,
    locks_max = excluded.locks_max,
    registered_prefixes = excluded.registered_prefixes
