-- name: read up what has happened in some lanes since a number
select
    journal.lane, journal.seq, journal.kind = 'reservation' as is_reservation, journal.hold_id, journal.label,
    journal.usage, journal.lapses_at
from unnest($1::smallint[], $2::bigint[]) as known (lane, seq)
join journal on journal.lane = known.lane and journal.seq > known.seq
order by journal.lane, journal.seq
