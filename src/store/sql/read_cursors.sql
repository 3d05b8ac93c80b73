-- name: read_cursors
-- How far each lane is published.
select lane, seq from relay_cursor order by lane
