-- name: list_locks
-- A page of a tenant's claims on locks that are live, the oldest first.
with clock as materialized (select clock_timestamp() as at)
select clock.at as read_at, {hold}
from clock
left join lateral (
    select *
    from hold
    where hold.lane = $1
        and hold.tenant = $2
        and hold.kind = 'lock'
        and hold.status < 'Canceled'
        and (hold.expires_at is null or hold.expires_at > clock.at)
        and ($3::text is null or hold.resource = $3)
        and ($4::text is null or hold.requester = $4)
        and hold.id > $5
    order by hold.id
    limit $6
) as hold on true
order by hold.id
