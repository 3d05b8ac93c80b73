-- name: void_batch
-- Forbid a batch that was not committed.
-- Waits for the batch's own transaction while that is under way.
insert into batch (id, at, is_void) values ($1, clock_timestamp(), true)
on conflict (id) do nothing
