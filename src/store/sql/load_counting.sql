-- name: load_counting
-- Load every reservation of some lanes that counts against its pool.
-- The order leads each half to its index. Of locks and reservations, those with a pool.
select {hold}
from unnest($1::smallint[], $2::timestamptz[]) as wanted (lane, now)
cross join lateral (
    select * from hold
    where hold.lane = wanted.lane and hold.due_at is not null and hold.pool is not null
    order by hold.due_at, (hold.status = 'Pending'), hold.id
) as hold
union all
select {hold}
from unnest($1::smallint[], $2::timestamptz[]) as wanted (lane, now)
cross join lateral (
    select * from hold
    where hold.lane = wanted.lane and hold.occupied_until is not null and hold.occupied_until > wanted.now
        and hold.pool is not null
    order by hold.occupied_until
) as hold
