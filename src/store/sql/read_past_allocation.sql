-- name: read_past_allocation
-- A tenant's reservations of a pool that reach beyond an instant, with the last event of each up to another one.
-- The walk back ends at the first event that is old enough. See read_events and read_allocation.
-- A row tells its end as it is now. What brings that forward leaves it behind the instant of the change, but for a hold
-- of which a part is confirmed: it can lose all that was to come, within the 7 days for which one is held. So whatever
-- is that young is looked at.
select {hold}, past.payload
from hold
cross join lateral {past}
where hold.tenant = $1
    and hold.kind = 'reservation'
    and hold.pool = $2
    and (greatest(hold.end_time, hold.deactivated_at) > $3 or hold.created_at > $4 - interval '7 days')
    and hold.created_at <= $4
