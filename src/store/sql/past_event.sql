-- name: past_event
-- The last event of a row of hold up to $4, where there is one. The walk back ends at the first that is old enough.
(
    with recursive chain as (
        select last.* from (
            select previous_seq, version, at, payload
            from journal
            where lane = hold.lane and seq = hold.last_seq and hold_id = hold.id
            limit 1
        ) as last
        union all
        select previous.*
        from chain
        cross join lateral (
            select previous_seq, version, at, payload
            from journal
            where lane = hold.lane and seq = chain.previous_seq and hold_id = hold.id
            limit 1
        ) as previous
        where chain.at > $4
    )
    select payload
    from (
        select version, at, payload from chain
        union all
        select version, at, payload from history where history.lane = hold.lane and history.hold_id = hold.id
    ) as event
    where at <= $4
    order by version desc
    limit 1
) as past
