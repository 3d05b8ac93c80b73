-- name: update_lanes
-- Move the lanes of a batch on.
update lane
set
    seq = new.seq,
    fence = new.fence,
    decided_at = new.decided_at,
    last_batch = $5,
    pools_version = lane.pools_version + new.pools_changed::integer,
    registry_version = lane.registry_version + new.registry_changed::integer
from unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::timestamptz[], $6::boolean[], $7::boolean[])
    as new (lane, seq, fence, decided_at, pools_changed, registry_changed)
where lane.lane = new.lane
