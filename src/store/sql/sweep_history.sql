-- name: sweep_history
-- Delete events that have been kept long enough.
delete from history
where ctid = any (array(
    select ctid from history where at < now() - make_interval(secs => $1) limit $2
))
