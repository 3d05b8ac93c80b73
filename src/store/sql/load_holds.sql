-- name: load_holds
-- Load the holds of a batch: by id, the claims on locks by name, and what is due in order.
-- Each row that is asked for is looked up by itself: a limit keeps the planner from turning the loop round.
select false as is_due, {hold}
from unnest($1::smallint[], $2::uuid[]) as wanted (lane, id)
cross join lateral (
    select * from hold where hold.lane = wanted.lane and hold.id = wanted.id limit 1
) as hold
union all
select false, {hold}
from unnest($3::smallint[], $4::text[], $5::text[], $12::uuid[]) as wanted (lane, tenant, resource, known)
cross join lateral (
    select * from hold
    where hold.lane = wanted.lane and hold.tenant = wanted.tenant and hold.resource = wanted.resource
        and hold.kind = 'lock' and (hold.status < 'Canceled' or hold.due_at is not null)
        and hold.id <> wanted.known
    limit 20000
) as hold
union all
select true, {hold}
from unnest($6::smallint[], $7::timestamptz[], $8::timestamptz[], $9::boolean[], $10::uuid[], $11::integer[])
    as wanted (lane, now, after_due_at, after_is_start, after_id, page_size)
cross join lateral (
    select * from hold
    where hold.lane = wanted.lane
        and hold.due_at is not null
        and hold.due_at <= wanted.now
        and (hold.due_at, hold.status = 'Pending', hold.id)
            > (coalesce(wanted.after_due_at, '-infinity'), wanted.after_is_start, wanted.after_id)
    order by hold.due_at, (hold.status = 'Pending'), hold.id
    limit wanted.page_size
) as hold
