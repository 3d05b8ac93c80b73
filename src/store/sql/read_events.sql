-- name: read_events
-- The events of a hold up to an instant, the latest so many, earliest first.
-- Walks back from the last one, each by its key; what has left the journal is in the history. Each row is looked up
-- by itself: a limit keeps the planner from turning the loop round.
with recursive chain as (
    select last.* from (
        select seq, previous_seq, version, at, payload
        from journal
        where lane = $1 and seq = $2 and hold_id = $3
        limit 1
    ) as last
    union all
    select previous.*
    from chain
    cross join lateral (
        select seq, previous_seq, version, at, payload
        from journal
        where lane = $1 and seq = chain.previous_seq and hold_id = $3
        limit 1
    ) as previous
)
select version, payload
from (
    select version, payload
    from (
        select version, at, payload from chain
        union all
        select version, at, payload from history where lane = $1 and hold_id = $3
    ) as event
    where $4::timestamptz is null or at <= $4
    order by version desc
    limit $5
) as latest
order by version
