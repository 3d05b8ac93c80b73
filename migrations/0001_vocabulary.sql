-- The words that rows use. Each label is the one that stands on the wire.

create type hold_kind as enum ('reservation', 'lock');

-- In the order of a hold's life: everything before 'Canceled' is live. Lists that are sorted by status are sorted by
-- this order, and the live ones are told from the terminal ones by comparing with it.
create type hold_status as enum ('Waitlisted', 'Held', 'Pending', 'Active', 'Paused', 'Canceled', 'Ended', 'Expired');

create type end_reason as enum ('end_time', 'terminated', 'canceled', 'hold_expired', 'ttl_expired', 'released');

create type event_type as enum ('placed', 'held', 'active', 'ended', 'expired', 'canceled', 'extended', 'reduced');

-- Intervals are kept as microseconds since 1970, because an array of bigint is read and written without parsing.
-- Exact up to the year 2255: an interval is multiplied by a double, and 2^53 microseconds end there.
create function instant_of_micros(micros bigint) returns timestamptz
language sql immutable strict parallel safe
return timestamptz '1970-01-01 00:00:00+00' + micros * interval '1 microsecond';
