-- name: update_holds
-- Update the changed holds of a batch.
-- Everything but what identifies a hold and who made it. Each id may stand once: of two rows only one would be taken.
-- Each row is looked up by itself: a limit keeps the planner from turning the loop round. It stays in its place while
-- the lane is locked.
update hold
set
    status = new.status::hold_status,
    end_reason = new.end_reason::end_reason,
    version = new.version,
    deactivated_at = new.deactivated_at,
    expires_at = new.expires_at,
    due_at = new.due_at,
    occupied_until = new.occupied_until,
    pool = new.pool,
    name = new.name,
    instance_type = new.instance_type,
    region = new.region,
    start_time = new.start_time,
    end_time = new.end_time,
    quantity = new.quantity,
    intervals = new.intervals,
    units = new.units,
    units_bound = new.units_bound,
    launch_specification = new.launch_specification::json,
    tags = new.tags::json,
    offer_key = new.offer_key,
    unit_price_cents = new.unit_price_cents,
    return_buyback_price_cents = new.return_buyback_price_cents,
    pause_buyback_price_cents = new.pause_buyback_price_cents,
    total_price_cents = new.total_price_cents,
    requester = new.requester,
    resource = new.resource,
    resource_type = new.resource_type,
    release_token = new.release_token,
    fencing_token = new.fencing_token,
    paused_at = new.paused_at,
    ending_soon_seconds = new.ending_soon_seconds,
    warned_end = new.warned_end,
    last_seq = new.last_seq,
    zone = new.zone,
    is_shared = new.is_shared,
    slot = new.slot,
    ttl_seconds = new.ttl_seconds,
    is_blocker = new.is_blocker,
    blockers = new.blockers,
    tree_path = new.tree_path,
    delay_seconds = new.delay_seconds
from unnest($1::new_hold[]) as new
cross join lateral (
    select present.ctid as place
    from hold as present
    where present.lane = new.lane and present.id = new.id
    limit 1
) as present
where hold.ctid = present.place
