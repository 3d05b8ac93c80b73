-- name: read_hold
-- A tenant's hold.
select clock.at as read_at, {hold}
from (select clock_timestamp() as at) as clock
left join hold on hold.lane = $1 and hold.id = $2 and hold.tenant = $3
