-- name: lock_tenants
-- Lock the rows of a batch's tenants, in ascending order.
-- Reads nothing but what it locks: only a locked row is read as it is now.
select name, version, units_max, unit_hours_max, locks_max, registered_prefixes, last_batch, decided_at
from tenant
where name = any($1::text[])
order by name
for no key update
