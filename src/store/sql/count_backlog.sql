-- name: count_backlog
-- How many events wait to be published.
select coalesce(sum(greatest(lane.seq - relay_cursor.seq, 0)), 0)::bigint as waiting
from lane
join relay_cursor on relay_cursor.lane = lane.lane
