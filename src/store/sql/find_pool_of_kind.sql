-- name: find_pool_of_kind
-- The pool of a kind.
select name from pool where instance_type = $1 and region = $2
