-- name: sweep_journal
-- Move old events that have been published out of the journal: those of reservations into the history.
-- From each lane's old end; its last event stays, so that the journal shows how far the lane has come.
with swept as (
    delete from journal
    where ctid = any (array(
        select oldest.place
        from lane
        join relay_cursor on relay_cursor.lane = lane.lane
        cross join lateral (
            select journal.ctid as place, journal.seq, journal.at
            from journal
            where journal.lane = lane.lane
            order by journal.seq
            limit $2
        ) as oldest
        where oldest.at < now() - make_interval(secs => $1)
            and oldest.seq <= relay_cursor.seq
            and oldest.seq < lane.seq
    ))
    returning lane, hold_id, version, kind, at, payload
),
kept as (
    insert into history (lane, hold_id, version, at, payload)
    select lane, hold_id, version, at, payload from swept where kind = 'reservation'
    on conflict do nothing
)
select count(*) from swept
