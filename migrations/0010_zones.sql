-- Parts of pools, and what the operator does to what is booked.

alter type end_reason add value 'capacity_withdrawn';
alter type end_reason add value 'operator';

-- The part of its pool that a reservation's units are of; null: any.
alter table hold add column zone text;

-- The same of the reservation that the event is of: what a worker reads up counts in the zone too.
alter table journal add column zone text;

-- The zones of a pool, and the capacity of each: one row without instant and quantity where only the pool's binds, one
-- without instant where it never changes, or a row for each step.
create table pool_zone (
    lane smallint not null,
    pool text not null,
    zone text not null,
    position integer not null,
    -- From when on there are how many units; 0 before the first step.
    effective_at timestamptz,
    quantity bigint,

    primary key (lane, pool, zone, position),
    foreign key (lane, pool) references pool (lane, name),
    constraint pool_zone_step_has_a_quantity check (effective_at is null or quantity is not null)
);

create or replace view reservation_interval as
select
    hold.lane,
    hold.id as reservation_id,
    hold.tenant,
    hold.pool,
    hold.status,
    part.number as interval_number,
    instant_of_micros(hold.intervals[3 * part.number + 1]) as start_time,
    instant_of_micros(hold.intervals[3 * part.number + 2]) as end_time,
    hold.intervals[3 * part.number + 3] as units,
    hold.zone
from hold
cross join lateral generate_series(0, cardinality(hold.intervals) / 3 - 1) as part (number)
where hold.kind = 'reservation'
    and hold.status not in ('Waitlisted', 'Canceled', 'Expired')
    and not (hold.status = 'Held' and hold.expires_at <= now());
