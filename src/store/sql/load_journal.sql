-- name: load_journal
-- Read up what has happened in some lanes since a number.
select event.*
from unnest($1::smallint[], $2::bigint[]) as known (lane, seq)
cross join lateral (
    select
        journal.lane, journal.seq, journal.kind = 'reservation' as is_reservation, journal.hold_id, journal.label,
        journal.zone, journal.usage, journal.lapses_at
    from journal
    where journal.lane = known.lane and journal.seq > known.seq
    order by journal.seq
    limit $3
) as event
order by event.lane, event.seq
