-- name: hold_columns
hold.lane, hold.id, hold.kind::text as kind, hold.tenant, hold.status::text as status,
    hold.end_reason::text as end_reason, hold.version, hold.created_at, hold.created_by, hold.deactivated_at,
    hold.expires_at, hold.pool, hold.name, hold.instance_type, hold.region, hold.start_time, hold.end_time,
    hold.quantity, hold.intervals, hold.units, hold.units_bound,
    hold.launch_specification::text as launch_specification, hold.tags::text as tags, hold.offer_key,
    hold.unit_price_cents, hold.return_buyback_price_cents, hold.pause_buyback_price_cents, hold.total_price_cents,
    hold.requester, hold.resource, hold.resource_type, hold.release_token, hold.fencing_token,
    hold.paused_at, hold.ending_soon_seconds, hold.warned_end, hold.last_seq, hold.zone,
    hold.is_shared, hold.slot, hold.ttl_seconds, hold.is_blocker, hold.blockers, hold.tree_path, hold.delay_seconds
