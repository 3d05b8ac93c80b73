-- name: load_pools
-- Load the pools of some lanes.
select {pool}
from pool
{offers}
where pool.lane = any($1::smallint[])
