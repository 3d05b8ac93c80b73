-- name: list_open_pools
-- A page of the pools that take reservations, by name.
select {pool}
from pool
{offers}
where pool.name > $1 and pool.enabled
order by pool.name
limit $2
