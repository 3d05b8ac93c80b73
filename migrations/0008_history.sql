-- A reservation's events, found from the reservation: each event names the one before it, and the row names the last.
-- An index by hold would cost every batch; two numbers that the batch knows anyhow cost nothing.
--
-- While workers of an older version still write, their events name none and their rows stay at an older one: those
-- events are missing from the history. Nothing else reads these columns.
alter table hold add column last_seq bigint not null default 0;
alter table journal add column previous_seq bigint;

-- The events that are there already.
update journal
set previous_seq = chained.previous_seq
from (
    select lane, seq, lag(seq) over (partition by lane, hold_id order by version) as previous_seq from journal
) as chained
where journal.lane = chained.lane and journal.seq = chained.seq and chained.previous_seq is not null;

update hold
set last_seq = chained.last_seq
from (select lane, hold_id, max(seq) as last_seq from journal group by lane, hold_id) as chained
where hold.lane = chained.lane and hold.id = chained.hold_id;

-- When the pool was configured first; of those that are there already, when this was added.
alter table pool add column created_at timestamptz not null default now();

-- The events of reservations that have left the journal. Filled in bulk by the sweeper, never by a batch.
create table history (
    lane smallint not null,
    hold_id uuid not null,
    version integer not null,
    -- When it was decided.
    at timestamptz not null,
    -- The event as it was published.
    payload bytea not null,

    primary key (lane, hold_id, version)
) with (
    -- As for the journal.
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 1,
    autovacuum_vacuum_insert_threshold = -1
);

-- Rows go by age, and come roughly in its order. See batch_at.
create index history_at on history using brin (at) with (autosummarize = on);
