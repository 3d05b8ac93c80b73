-- name: sweep_receipts
-- Delete old receipts.
delete from receipt
where ctid = any (array(
    select ctid from receipt where at < now() - make_interval(secs => $1) limit $2
))
