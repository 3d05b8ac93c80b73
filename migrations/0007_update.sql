-- Pausing, changing what a reservation carries along, and announcing its end.

alter type event_type add value 'paused';
alter type event_type add value 'resumed';
alter type event_type add value 'updated';
alter type event_type add value 'ending_soon';

alter table hold
    -- Since when it is paused without a credit for it; null while it is not paused.
    add column paused_at timestamptz,
    -- How long before its end that is announced; null or 0: not at all. As its pool had it when its terms were set.
    add column ending_soon_seconds integer,
    -- The end that was announced last. due_at is the announcement's instant where that comes next.
    add column warned_end timestamptz;

-- As before, but what is due may be an announcement, which leaves the status as it is.
create or replace function effective_status(claim hold, at timestamptz) returns hold_status
language sql immutable parallel safe
return case
    when (claim).due_at is null or (claim).due_at > at then (claim).status
    when (claim).kind = 'lock' or (claim).status in ('Waitlisted', 'Held') then 'Expired'::hold_status
    when (claim).end_time <= at then 'Ended'::hold_status
    when (claim).status = 'Pending' and (claim).start_time <= at then 'Active'::hold_status
    else (claim).status
end;
