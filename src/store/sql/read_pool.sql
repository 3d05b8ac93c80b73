-- name: read_pool
-- A pool by its name.
select {pool}
from pool
{offers}
where pool.lane = $1 and pool.name = $2
