-- Every version of every hold, in the order in which they were decided: outbox, history, and what a worker whose memory
-- of a lane is out of date reads up from. Append-only; seq has no gaps within a lane, because it is drawn under the
-- lane's lock, so "seq above the cursor" is exact and needs neither a mark nor another index.
create table journal (
    lane smallint not null,
    -- 1, 2, 3 … within the lane.
    seq bigint not null,
    hold_id uuid not null,
    -- The hold's version that this event made.
    version integer not null,
    tenant text not null,
    kind hold_kind not null,
    -- A reservation's pool, a lock's type: the event's subject names it.
    label text not null,
    event_type event_type not null,
    -- When it was decided. Never falls within a lane.
    at timestamptz not null,
    -- What changed in the pool's use; null where nothing did. Start and end in microseconds since 1970, and units
    -- (negative where they became free), for one change after the other.
    usage bigint[],
    -- When what the hold claims lapses by itself: only of an unconfirmed hold.
    lapses_at timestamptz,
    -- The event as it is published.
    payload bytea not null,

    primary key (lane, seq),
    constraint journal_usage_is_whole check (cardinality(usage) % 3 = 0)
) with (
    -- The old end is deleted all the time and its room is wanted again.
    autovacuum_vacuum_scale_factor = 0.05,
    -- As for holds: no plan depends on statistics.
    autovacuum_analyze_scale_factor = 1,
    -- Rows that are only inserted need no vacuum: none of berth's statements reads an index alone. What is updated or
    -- deleted brings one, and freezes on the way.
    autovacuum_vacuum_insert_threshold = -1
);
