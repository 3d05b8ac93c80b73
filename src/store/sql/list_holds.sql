-- name: list_holds
-- A page of a tenant's reservations.
-- The order is one of four, and its condition continues behind the last row of the page before.
with clock as materialized (select clock_timestamp() as at)
select clock.at as read_at, {hold}
from clock
left join lateral (
    select hold.*, effective_status(hold, clock.at) as shown_status
    from hold
    where hold.tenant = $1
        and hold.kind = 'reservation'
        and ($2::text is null or hold.pool = $2)
        and ($3::text is null or hold.instance_type = $3)
        and ($4::text is null or hold.region = $4)
        and ($5::text is null or effective_status(hold, clock.at) = $5::hold_status)
        and {after}
    order by {order}
    limit $7
) as hold on true
order by {order}
