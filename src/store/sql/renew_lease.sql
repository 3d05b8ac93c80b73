-- name: renew_lease
-- Keep the relay's lease, if it never was another's, never ran out, and the server is the one that gave it.
update lease
set expires_at = clock_timestamp() + make_interval(secs => $3)
where role = 'relay' and holder = $1 and epoch = $2 and expires_at > clock_timestamp()
    and server_started_at = pg_postmaster_start_time()
