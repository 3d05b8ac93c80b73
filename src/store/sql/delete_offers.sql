-- name: delete_offers
-- Take away the offers that a pool had before it was put.
delete from pool_offer
using unnest($1::smallint[], $2::text[]) as changed (lane, pool)
where pool_offer.lane = changed.lane and pool_offer.pool = changed.pool
