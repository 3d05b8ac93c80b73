-- name: release_lease
-- Give the relay's lease up.
update lease
set holder = null, expires_at = clock_timestamp()
where role = 'relay' and holder = $1 and epoch = $2
