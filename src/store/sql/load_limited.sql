-- name: load_limited
-- Load the names of all tenants with a limit, or with names that have to be registered.
select name
from tenant
where units_max is not null or unit_hours_max is not null or locks_max is not null
    or registered_prefixes <> '{}'
order by name
