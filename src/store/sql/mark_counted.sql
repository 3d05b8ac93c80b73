-- name: mark_counted
-- Mark the changed holds of tenants with limits: live ones count.
-- Each row is looked up by itself, as in update_holds.
update hold
set counted_for = case when hold.status < 'Canceled' then hold.tenant end
where ctid = any (array(
    select present.place
    from unnest($1::smallint[], $2::uuid[]) as changed (lane, id)
    cross join lateral (
        select hold.ctid as place from hold where hold.lane = changed.lane and hold.id = changed.id limit 1
    ) as present
))
