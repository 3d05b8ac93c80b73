-- The stored reply to an idempotency key: the same request gets the same bytes, another one is refused.
create table receipt (
    -- 128 bits of the hash of tenant and key. A short key makes a short index: with whole keys the log of the database
    -- was a third larger. Distributed evenly, so batches insert in the order of ids to touch each page once.
    id uuid primary key,
    -- Null for the operator.
    tenant text,
    verb text not null,
    -- The canonical form of the request, to name the field in which another one differs.
    request bytea not null,
    body bytea not null,
    -- Both null where the answer was a success.
    error_number smallint,
    error_code text,
    at timestamptz not null default now(),

    constraint receipt_error_is_whole check ((error_number is null) = (error_code is null))
) with (
    -- A day's share of the rows goes every day, and its room is wanted again.
    autovacuum_vacuum_scale_factor = 0.05,
    -- As for holds: no plan depends on statistics.
    autovacuum_analyze_scale_factor = 1,
    -- Rows that are only inserted need no vacuum: none of berth's statements reads an index alone. What is updated or
    -- deleted brings one, and freezes on the way.
    autovacuum_vacuum_insert_threshold = -1
);

-- Receipts go by age. See batch_at.
create index receipt_at on receipt using brin (at) with (autosummarize = on);
