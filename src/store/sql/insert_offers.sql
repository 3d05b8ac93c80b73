-- name: insert_offers
-- Put the offers of pools.
insert into pool_offer (
    lane, pool, position, key, display_name, unit_price_cents, return_buyback_price_cents, pause_buyback_price_cents,
    option_premium_cents
)
select
    new.lane, new.pool, new.position, new.key, new.display_name, new.unit_price_cents, new.return_buyback_price_cents,
    new.pause_buyback_price_cents, new.option_premium_cents
from unnest(
    $1::smallint[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[],
    $9::bigint[]
) as new (
    lane, pool, position, key, display_name, unit_price_cents, return_buyback_price_cents, pause_buyback_price_cents,
    option_premium_cents
)
