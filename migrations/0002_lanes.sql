-- A lane is a hash of what is held, 0 to 63: the unit of locking, of order, of batching and of the relay's cursor.
-- A batch locks its lanes' rows in ascending order and holds them until it commits.
--
-- The rows are updated by every batch, so they are spread over pages that have room for many versions: each update
-- stays on its page (no index on anything that moves), and the dead ones are pruned there without a vacuum.
create table lane (
    lane smallint primary key check (lane between 0 and 63),
    -- The number of the lane's last event in the journal.
    seq bigint not null default 0,
    -- The last fencing token drawn. Tokens rise for ever although the rows of old locks go.
    fence bigint not null default 0,
    -- The time of the last batch. No later batch decides at an earlier one, whatever the machine's clock does.
    decided_at timestamptz not null default 'epoch',
    -- The last committed batch: what a worker keeps of the lane in memory is valid while it knows this one.
    last_batch uuid,
    -- One more with each batch that changes the configuration of a pool of the lane.
    pools_version bigint not null default 0
) with (fillfactor = 10);

insert into lane (lane) select generate_series(0, 63);

-- Each batch's transaction inserts its id first. Where the answer to a commit is lost, inserting the same id again
-- waits for the first transaction and tells whether it was committed.
create table batch (
    id uuid primary key,
    at timestamptz not null,
    -- Inserted to find out, and by that forbidden: the batch was not committed and never will be.
    is_void boolean not null default false
);

-- Rows go by age. They are inserted in the order of time, so a few bytes a megabyte find the old ones; a B-tree would
-- cost every batch.
create index batch_at on batch using brin (at) with (autosummarize = on);

-- How far the relay has published each lane. A table of its own, because the relay must not wait for a batch.
create table relay_cursor (
    lane smallint primary key check (lane between 0 and 63),
    -- The last published number; everything above it waits.
    seq bigint not null default 0
) with (fillfactor = 10);

insert into relay_cursor (lane) select generate_series(0, 63);

-- The right to do what only one worker may do at a time.
create table lease (
    role text primary key,
    -- Null where it was given up.
    holder uuid,
    -- One more with each new holder: what is written under an older one is refused.
    epoch bigint not null,
    -- By this database's clock.
    expires_at timestamptz not null
) with (fillfactor = 10);
