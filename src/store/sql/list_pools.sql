-- name: list_pools
-- A page of all pools by name.
select {pool}
from pool
{offers}
where pool.name > $1
order by pool.name
limit $2
