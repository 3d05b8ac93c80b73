-- name: list_past_holds
-- A page of a tenant's reservations that were made by an instant, between two ids, each with its last event up to it.
-- Its event is null where that has been forgotten. Ids begin with the time, so that what was made later is not looked
-- at; what a reservation is of never changes. The order is one of two.
select {hold}, past.payload
from (
    select hold.*
    from hold
    where hold.tenant = $1
        and hold.kind = 'reservation'
        and hold.id > $2
        and hold.id < $3
        and hold.created_at <= $4
        and ($5::text is null or hold.pool = $5)
        and ($6::text is null or hold.instance_type = $6)
        and ($7::text is null or hold.region = $7)
    order by {order}
    limit $8
) as hold
left join lateral {past} on true
order by {order}
