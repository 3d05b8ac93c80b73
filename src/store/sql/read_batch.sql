-- name: read_batch
-- Was a batch committed.
select not is_void as is_committed from batch where id = $1
