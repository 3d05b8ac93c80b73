-- name: journal_above
-- What waits to be published, a share for each lane.
-- Lanes with little waiting are taken whole, the others up to one common level, so that the page is full and none
-- starves; the level is the greatest that any lane would get after those with less. Then, one event of each lane at a
-- time, until the page is full in rows or bytes: each lane's part has no gap. One event is always given.
with waiting as materialized (
    select cursor.lane, cursor.seq, lane.seq - cursor.seq as events
    from unnest($1::smallint[], $2::bigint[]) as cursor (lane, seq)
    join lane on lane.lane = cursor.lane and lane.seq > cursor.seq
),
leveled as (
    select
        lane, seq,
        ($3 - (sum(events) over smallest_first - events)) / (count(*) over () - row_number() over smallest_first + 1)
            as level
    from waiting
    window smallest_first as (order by events, lane rows unbounded preceding)
),
shared as (
    select lane, seq, greatest(ceil(max(level) over ()), 1)::bigint as share from leveled
),
taken as (
    select
        entry.*,
        row_number() over in_turn as rank,
        sum(octet_length(entry.payload)) over in_turn as bytes
    from shared
    cross join lateral (
        select *
        from journal
        where journal.lane = shared.lane and journal.seq > shared.seq
        order by journal.seq
        limit shared.share
    ) as entry
    window in_turn as (order by entry.seq - shared.seq, entry.lane rows unbounded preceding)
)
select
    lane, seq, hold_id, version, tenant, kind::text as kind, label, event_type::text as event_type, at, payload
from taken
where rank = 1 or (rank <= $3 and bytes <= $4)
order by lane, seq
