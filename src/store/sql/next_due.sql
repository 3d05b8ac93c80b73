-- name: next_due
-- When the next thing is due in each lane.
select clock.at as read_at, lane.lane, first.due_at
from (select clock_timestamp() as at) as clock
cross join lane
left join lateral (
    select hold.due_at
    from hold
    where hold.lane = lane.lane and hold.due_at is not null
    order by hold.due_at
    limit 1
) as first on true
