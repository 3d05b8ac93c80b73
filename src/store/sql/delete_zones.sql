-- name: delete_zones
-- Take away the zones that a pool had before it was put.
delete from pool_zone
using unnest($1::smallint[], $2::text[]) as changed (lane, pool)
where pool_zone.lane = changed.lane and pool_zone.pool = changed.pool
