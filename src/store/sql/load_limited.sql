-- name: load_limited
-- Load the names of all tenants with a limit.
select name
from tenant
where units_max is not null or unit_hours_max is not null or locks_max is not null
order by name
