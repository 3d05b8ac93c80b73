-- name: advance_cursors
-- Move the relay's cursors while the lease is this one, and the server the one that gave it.
-- The shared lock keeps another worker from taking the lease before the cursors have moved.
with mine as materialized (
    select from lease
    where role = 'relay' and holder = $1 and epoch = $2 and expires_at > clock_timestamp()
        and server_started_at = pg_postmaster_start_time()
    for share
),
moved as (
    update relay_cursor
    set seq = greatest(relay_cursor.seq, published.seq)
    from unnest($3::smallint[], $4::bigint[]) as published (lane, seq), mine
    where relay_cursor.lane = published.lane
)
select exists (select from mine) as is_mine
