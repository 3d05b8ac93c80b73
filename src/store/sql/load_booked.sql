-- name: load_booked
-- Load the first of the live reservations of a pool that lie where too much would be booked, and count all of them.
-- The stretches come as one multirange for the pool (zone null) and one for each zone: an overlap is searched for in it.
-- The chosen ones are sorted by themselves, without what they carry, and their rows fetched afterwards.
select first.booked, {hold}
from (
    select live.id, count(*) over () as booked
    from hold as live
    where live.lane = $1
        and live.due_at is not null
        and live.pool = $2
        and live.end_time > $3
        and not (live.status = 'Held' and live.due_at <= $3)
        and exists (
            select
            from generate_series(1, cardinality(live.intervals), 3) as place
            cross join unnest($4::text[], $5::text[]) as short (zone, stretches)
            where (short.zone is null or short.zone = live.zone)
                and int8range(live.intervals[place], live.intervals[place + 1]) && short.stretches::int8multirange
        )
    order by $6::integer * live.quantity, $7::integer * extract(epoch from live.created_at), live.id
    limit $8
) as first
cross join lateral (
    select * from hold where hold.lane = $1 and hold.id = first.id limit 1
) as hold
