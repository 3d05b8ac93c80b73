-- name: sweep_batches
-- Delete old batches.
delete from batch
where ctid = any (array(
    select ctid from batch where at < now() - make_interval(secs => $1) limit $2
))
