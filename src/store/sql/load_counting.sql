-- name: load every reservation of some lanes that counts against its pool
select {hold}
from unnest($1::smallint[], $2::timestamptz[]) as wanted (lane, now)
cross join lateral (
    select * from hold
    where hold.lane = wanted.lane and hold.due_at is not null and hold.kind = 'reservation'
    union all
    select * from hold
    where hold.lane = wanted.lane and hold.occupied_until is not null and hold.occupied_until > wanted.now
) as hold
