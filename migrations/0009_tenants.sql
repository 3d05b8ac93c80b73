-- What the operator says of a tenant. Only tenants of whom anything was said have a row.
--
-- Whoever changes a reservation or a lock of a tenant with a limit locks its row first, after the lanes of the batch
-- and in ascending order of name. Other tenants' commands never come here.
create table tenant (
    name text primary key,
    -- 1, 2, 3 …: one more with each change.
    version bigint not null,
    -- The limits; null: unlimited.
    units_max bigint,
    unit_hours_max bigint,
    locks_max bigint,
    registered_prefixes text[] not null,
    -- The last committed batch that changed its use or its limits: what a worker keeps of its use in memory is valid
    -- while it knows this one, and while the tenant has a limit.
    last_batch uuid,
    -- The time of that batch. No later batch decides about the tenant at an earlier one.
    decided_at timestamptz not null default 'epoch'
) with (fillfactor = 10);

-- The last committed batch that changed a row of the table above; the same in every lane, because such a batch locks
-- all of them. So a worker that has locked any lane knows whether it knows which tenants have limits.
alter table lane add column tenants_batch uuid;

-- The tenant of a live hold, where the tenant has a limit; null otherwise. So what counts against limits is read
-- without the tenant's history, and holds of other tenants are in no index more.
alter table hold add column counted_for text;
create index hold_counted on hold (counted_for) where counted_for is not null;
