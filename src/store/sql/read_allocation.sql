-- name: read_allocation
-- A tenant's reservations of a pool that reach beyond an instant, as they are.
-- What was cut after that instant was changed after it, so no such row is missed.
select {hold}, null::bytea as payload
from hold
where hold.tenant = $1
    and hold.kind = 'reservation'
    and hold.pool = $2
    and greatest(hold.end_time, hold.deactivated_at) > $3
