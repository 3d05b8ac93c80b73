-- name: take_lease
-- Take the relay's lease where it is free, or one's own once more.
-- A holder that lost it comes back under a new epoch; one whose lease ran out and was taken by nobody keeps its own.
insert into lease as held (role, holder, epoch, expires_at, server_started_at)
values ('relay', $1, 1, clock_timestamp() + make_interval(secs => $2), pg_postmaster_start_time())
on conflict (role) do update
set
    holder = $1,
    epoch = held.epoch + (held.holder is distinct from $1)::integer,
    expires_at = clock_timestamp() + make_interval(secs => $2),
    server_started_at = pg_postmaster_start_time()
where held.holder = $1 or held.holder is null or held.expires_at <= clock_timestamp()
returning epoch
