-- One row for each claim: a reservation is a hold on a pool, a lock is a hold on a named resource. A row has the last
-- state; the versions before it are in the journal.
--
-- No foreign keys: each would cost a lookup and a shared lock for every row of a batch, and the lane's lock already
-- orders everything that they would guard. No index but those below: each costs every batch.
create table hold (
    lane smallint not null,
    -- A UUID v7 whose last six bits are the lane.
    id uuid not null,
    kind hold_kind not null,
    tenant text not null,
    status hold_status not null,
    end_reason end_reason,
    -- 1, 2, 3 … without gaps: one for each event.
    version integer not null,
    created_at timestamptz not null,
    created_by text,
    -- When it became terminal.
    deactivated_at timestamptz,
    -- When it lapses by itself: an unconfirmed hold, or a lock with a time to live.
    expires_at timestamptz,
    -- When the clock changes it next; null where it never does. Follows from the columns around it.
    due_at timestamptz,
    -- Until when a terminal reservation still counts against its pool: one that was terminated counts to the end of
    -- its grain.
    occupied_until timestamptz,

    -- Of a reservation.
    pool text,
    name text,
    instance_type text,
    region text,
    start_time timestamptz,
    end_time timestamptz,
    -- The largest of its intervals' quantities, units.
    quantity integer,
    -- Start and end in microseconds since 1970, and units, for one interval after the other.
    intervals bigint[],
    -- The numbers of the units held: from and to (not included), for one range after the other.
    units integer[],
    -- How many units were bound when it became active.
    units_bound integer,
    -- Carried and never read, so kept as it was written.
    launch_specification json,
    tags json,
    offer_key text,
    -- Cents per unit-hour, and cents.
    unit_price_cents bigint,
    return_buyback_price_cents bigint,
    pause_buyback_price_cents bigint,
    total_price_cents bigint,

    -- Of a lock.
    requester text,
    resource text,
    resource_type text,
    release_token uuid,
    fencing_token bigint,

    primary key (lane, id),
    constraint hold_is_whole check (
        case kind
            when 'reservation' then
                pool is not null and start_time is not null and end_time is not null and quantity is not null
                and cardinality(intervals) % 3 = 0 and cardinality(units) % 2 = 0 and offer_key is not null
            when 'lock' then
                requester is not null and resource is not null and resource_type is not null
                and release_token is not null and fencing_token is not null
        end
    )
) with (
    -- A hold that moves on leaves a dead entry in hold_due, which every look for what is due steps over until a vacuum
    -- has been there. So vacuum at two in a hundred, not at twenty.
    autovacuum_vacuum_scale_factor = 0.02,
    -- Statistics are for people: the plans of berth's statements do not depend on them, and a table that doubles in
    -- minutes would be sampled all the time.
    autovacuum_analyze_scale_factor = 1,
    -- Rows that are only inserted need no vacuum: none of berth's statements reads an index alone. What is updated or
    -- deleted brings one, and freezes on the way.
    autovacuum_vacuum_insert_threshold = -1
);

-- What is due, lane by lane, in the order in which it happens: by instant, ends before starts, then id. Holds what is
-- live and nothing else, so it stays as small as what is booked. Pages continue behind the last row seen.
create index hold_due on hold (lane, due_at, (status = 'Pending'), id) where due_at is not null;

-- What is over and still counts: read when a worker takes up a lane that it knows nothing of.
create index hold_occupied on hold (lane, occupied_until) where occupied_until is not null;

-- The live claim on a lock. Unique as a safety net: the lane's lock is what keeps two from being granted.
create unique index hold_live_lock on hold (lane, tenant, resource) where kind = 'lock' and status < 'Canceled';

-- A tenant's reservations, newest last: ids begin with their time.
create index hold_of_tenant on hold (tenant, id) where kind = 'reservation';

-- The status that a hold has at an instant, whether or not the event that says so has been written yet.
create function effective_status(claim hold, at timestamptz) returns hold_status
language sql immutable parallel safe
return case
    when (claim).due_at is null or (claim).due_at > at then (claim).status
    when (claim).kind = 'lock' or (claim).status in ('Waitlisted', 'Held') then 'Expired'::hold_status
    when (claim).end_time <= at then 'Ended'::hold_status
    else 'Active'::hold_status
end;

-- For people and for checks: what counts against the pools, one row for each interval. For every pool and instant the
-- sum of units must not exceed the capacity.
create view reservation_interval as
select
    hold.lane,
    hold.id as reservation_id,
    hold.tenant,
    hold.pool,
    hold.status,
    part.number as interval_number,
    instant_of_micros(hold.intervals[3 * part.number + 1]) as start_time,
    instant_of_micros(hold.intervals[3 * part.number + 2]) as end_time,
    hold.intervals[3 * part.number + 3] as units
from hold
cross join lateral generate_series(0, cardinality(hold.intervals) / 3 - 1) as part (number)
where hold.kind = 'reservation'
    and hold.status not in ('Waitlisted', 'Canceled', 'Expired')
    and not (hold.status = 'Held' and hold.expires_at <= now());
