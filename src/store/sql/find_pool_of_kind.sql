-- name: the pool of a kind
select name from pool where instance_type = $1 and region = $2
