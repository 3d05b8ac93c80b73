-- name: insert_holds
-- Insert the new holds of a batch.
insert into hold (
    lane, id, kind, tenant, status, end_reason, version, created_at, created_by, deactivated_at, expires_at, due_at,
    occupied_until, last_seq, pool, name, instance_type, region, start_time, end_time, quantity, intervals, units,
    units_bound, launch_specification, tags, offer_key, unit_price_cents, return_buyback_price_cents,
    pause_buyback_price_cents, total_price_cents, paused_at, ending_soon_seconds, warned_end, zone, requester,
    resource, resource_type, release_token, fencing_token, is_shared, slot, ttl_seconds, is_blocker, blockers,
    tree_path, delay_seconds
)
select
    new.lane, new.id, new.kind::hold_kind, new.tenant, new.status::hold_status, new.end_reason::end_reason,
    new.version, new.created_at, new.created_by, new.deactivated_at, new.expires_at, new.due_at, new.occupied_until,
    new.last_seq, new.pool, new.name, new.instance_type, new.region, new.start_time, new.end_time, new.quantity,
    new.intervals, new.units, new.units_bound, new.launch_specification::json, new.tags::json, new.offer_key,
    new.unit_price_cents, new.return_buyback_price_cents, new.pause_buyback_price_cents, new.total_price_cents,
    new.paused_at, new.ending_soon_seconds, new.warned_end, new.zone, new.requester, new.resource,
    new.resource_type, new.release_token, new.fencing_token, new.is_shared, new.slot, new.ttl_seconds,
    new.is_blocker, new.blockers, new.tree_path, new.delay_seconds
from unnest($1::new_hold[]) as new
