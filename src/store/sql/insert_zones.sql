-- name: insert_zones
-- Put the zones of pools.
insert into pool_zone (lane, pool, zone, position, effective_at, quantity)
select new.lane, new.pool, new.zone, new.position, new.effective_at, new.quantity
from unnest($1::smallint[], $2::text[], $3::text[], $4::integer[], $5::timestamptz[], $6::bigint[])
    as new (lane, pool, zone, position, effective_at, quantity)
