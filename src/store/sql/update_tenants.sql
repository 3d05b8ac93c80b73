-- name: update_tenants
-- Move the tenants on whose use or limits a batch has changed.
update tenant
set last_batch = $3, decided_at = new.decided_at
from unnest($1::text[], $2::timestamptz[]) as new (name, decided_at)
where tenant.name = new.name
