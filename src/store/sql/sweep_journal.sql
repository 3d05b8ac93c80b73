-- name: sweep_journal
-- Delete old events that have been published.
-- From each lane's old end; its last event stays, so that the journal shows how far the lane has come.
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
