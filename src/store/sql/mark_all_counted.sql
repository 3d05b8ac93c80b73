-- name: mark_all_counted
-- Mark all that a tenant has: its live reservations, and its live locks in every lane.
update hold
set counted_for = hold.tenant
where ctid = any (array(
    select hold.ctid
    from hold
    where hold.tenant = $1 and hold.kind = 'reservation' and hold.status < 'Canceled' and hold.counted_for is null
    union all
    select present.place
    from unnest($2::smallint[]) as every (lane)
    cross join lateral (
        select hold.ctid as place
        from hold
        where hold.lane = every.lane and hold.tenant = $1 and hold.kind = 'lock' and hold.status < 'Canceled'
            and hold.counted_for is null
        order by hold.resource
    ) as present
))
