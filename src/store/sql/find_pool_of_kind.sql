-- name: find_pool_of_kind
-- The pool of a kind, and some that are enabled of the same type in other regions, by region.
(select name, true as is_own from pool where instance_type = $1 and region = $2)
union all
(select name, false from pool where instance_type = $1 and region <> $2 and enabled order by region limit $3)
