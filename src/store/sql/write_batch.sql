-- name: write_batch
-- Write what is new of a batch, and move its lanes on: new holds, events, receipts.
-- In one statement, because each is a round trip for every batch. No part of it sees what another has written.
-- Receipts plainly, not "on conflict do nothing": one that is there already means that the batch was decided wrongly.
with placed as (
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
),
told as (
    insert into journal (
        lane, seq, hold_id, version, tenant, kind, label, event_type, at, usage, lapses_at, payload, previous_seq, zone
    )
    select
        new.lane, new.seq, new.hold_id, new.version, new.tenant, new.kind::hold_kind, new.label,
        new.event_type::event_type, new.at, new.usage, new.lapses_at, new.payload, new.previous_seq, new.zone
    from unnest($2::new_event[]) as new
),
moved as (
    update lane
    set
        seq = new.seq,
        fence = new.fence,
        decided_at = new.decided_at,
        last_batch = $8,
        pools_version = lane.pools_version + new.pools_changed::integer,
        registry_version = lane.registry_version + new.registry_changed::integer
    from unnest($4::smallint[], $5::bigint[], $6::bigint[], $7::timestamptz[], $9::boolean[], $10::boolean[])
        as new (lane, seq, fence, decided_at, pools_changed, registry_changed)
    where lane.lane = new.lane
)
insert into receipt (
    id, tenant, verb, request, body, error_number, error_code, event_lane, event_seq, event_hold_id, event_version,
    body_from, body_length
)
select
    new.id, new.tenant, new.verb, new.request, new.body, new.error_number, new.error_code, new.event_lane,
    new.event_seq, new.event_hold_id, new.event_version, new.body_from, new.body_length
from unnest($3::new_receipt[]) as new
