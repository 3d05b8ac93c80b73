-- name: load_journal
-- Read up what has happened in some lanes since a batch: a lane without events gives one row, a batch that is not
-- there none. It is too old, or this database has lost it: what follows here does not follow upon what is known then.
-- Each batch is looked up by itself: a limit keeps the planner from turning the loop round.
select known.lane, event.*
from unnest($1::smallint[], $2::bigint[], $3::uuid[]) as known (lane, seq, last_batch)
cross join lateral (
    select from batch where batch.id = known.last_batch limit 1
) as based
left join lateral (
    select
        journal.seq, journal.kind = 'reservation' as is_reservation, journal.hold_id, journal.label, journal.zone,
        journal.usage, journal.lapses_at
    from journal
    where journal.lane = known.lane and journal.seq > known.seq
    order by journal.seq
    limit $4
) as event on true
order by known.lane, event.seq
