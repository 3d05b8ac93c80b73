-- name: pool_offers
cross join lateral (
    select
        coalesce(array_agg(offer.key order by offer.position), '{}') as offer_keys,
        coalesce(array_agg(offer.display_name order by offer.position), '{}') as offer_display_names,
        coalesce(array_agg(offer.unit_price_cents order by offer.position), '{}') as offer_unit_prices,
        coalesce(array_agg(offer.return_buyback_price_cents order by offer.position), '{}') as offer_return_prices,
        coalesce(array_agg(offer.pause_buyback_price_cents order by offer.position), '{}') as offer_pause_prices,
        coalesce(array_agg(offer.option_premium_cents order by offer.position), '{}') as offer_premiums
    from pool_offer as offer
    where offer.lane = pool.lane and offer.pool = pool.name
) as offers
cross join lateral (
    select
        coalesce(array_agg(part.zone order by part.zone, part.position), '{}') as zone_names,
        coalesce(array_agg(part.effective_at order by part.zone, part.position), '{}') as zone_effective_at,
        coalesce(array_agg(part.quantity order by part.zone, part.position), '{}') as zone_quantities
    from pool_zone as part
    where part.lane = pool.lane and part.pool = pool.name
) as zones
