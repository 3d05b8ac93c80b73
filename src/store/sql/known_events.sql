-- name: known_events
-- Of the stream's events those that the journal has, in the order of each lane.
-- By what they say too, since a database that has lost commits gives their numbers anew. Each row is looked up by
-- itself: a limit keeps the planner from turning the loop round.
select published.lane, published.seq
from unnest($1::smallint[], $2::bigint[], $3::bytea[]) as published (lane, seq, digest)
cross join lateral (
    select payload
    from journal
    where journal.lane = published.lane and journal.seq = published.seq
    limit 1
) as present
where sha256(present.payload) = published.digest
order by published.lane, published.seq
