-- Resources that a tenant has described, and locks with places, blockers, trees and queues.
--
-- All locks of a tenant are in one lane now: any of them may hang together. A lock that is live in the lane of its name
-- would not be found there, so all have to be released before.
do $$
begin
    if exists (select from hold where kind = 'lock' and status < 'Canceled') then
        raise exception 'locks are still held: release them, or let them run out, before this migration';
    end if;
end
$$;

-- Fencing tokens rise for ever, also where a lock has moved to another lane.
update lane set fence = (select max(fence) from lane);

alter type end_reason add value 'wait_expired';
alter type event_type add value 'queued';

create table resource (
    lane smallint not null,
    tenant text not null,
    name text not null,
    -- 1, 2, 3 …: one more with each change.
    version bigint not null,
    -- How many may hold it at once.
    capacity bigint not null check (capacity > 0),
    -- What it is a part of; null: of nothing.
    parent text,
    -- What is taken and given back with it.
    blocks text[] not null,
    -- What was taken off the column before while it was held.
    former_blocks text[] not null,
    -- The label of claims that bring none.
    resource_type text,
    -- For how long nobody is granted it once a time to live ran out.
    lock_delay_seconds bigint not null,

    primary key (lane, tenant, name)
);

create index resource_by_name on resource (tenant, name text_pattern_ops);

-- Moves with every change of a registered resource in the lane: what a worker keeps of them is valid while it knows
-- this one.
alter table lane add column registry_version bigint not null default 0;

-- Of locks only. Null: exclusive.
alter table hold add column is_shared boolean;
-- Which place of its resource it has; null where that has one only, and while it waits.
alter table hold add column slot integer;
alter table hold add column ttl_seconds integer;
-- It was taken with another lock of its requester.
alter table hold add column is_blocker boolean;
-- What is held with it, and where it stands in a tree: names with '>' between them, which no registered name has.
alter table hold add column blockers text;
alter table hold add column tree_path text;
-- For how long its place stays closed once its time to live ran out; due_at tells when it is opened.
alter table hold add column delay_seconds integer;

-- The claims on a lock that hold it, wait for it, or keep it closed: several of a name now.
drop index hold_live_lock;
create index hold_claims on hold (lane, tenant, resource)
    where kind = 'lock' and (status < 'Canceled' or due_at is not null);
