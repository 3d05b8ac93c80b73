-- name: write_batch
-- Write a batch, if its lanes are as it was decided upon: then there is one row. Otherwise nothing, and no row.
-- In one statement, because each is a round trip for every batch. No part of it sees what another has written, and
-- none begins before the batch's row is there, which is after the locks: so two batches that have a key in common never
-- wait for each other in a circle.
-- Receipts plainly, not "on conflict do nothing": one that is there already means that the batch was decided wrongly.
with locked as materialized (
    -- Whoever waits here for another batch looks at the row as that has left it.
    select lane
    from lane
    where lane = any($4::smallint[])
        and last_batch is not distinct from ($10::uuid[])[array_position($4::smallint[], lane)]
        and tenants_batch is not distinct from $3::uuid
    order by lane
    for no key update
),
entered as (
    insert into batch (id, at)
    select $1, clock_timestamp()
    from (select count(*) as lanes from locked) as all_locked
    where all_locked.lanes = cardinality($4::smallint[])
        and ($2::timestamptz is null or clock_timestamp() - $2 < interval '1 second')
    returning id
),
updated as (
    -- Everything but what identifies a hold and who made it. Each id may stand once: of two rows only one would be
    -- taken. Each row is looked up by itself: a limit keeps the planner from turning the loop round. It stays in its
    -- place while the lane is locked.
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
    from unnest($11::new_hold[]) as new
    cross join lateral (
        select present.ctid as place
        from hold as present
        where present.lane = new.lane and present.id = new.id
        limit 1
    ) as present
    where hold.ctid = present.place and exists (select from entered)
    returning true
),
placed as (
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
    from unnest($12::new_hold[]) as new
    where exists (select from entered)
),
told as (
    insert into journal (
        lane, seq, hold_id, version, tenant, kind, label, event_type, at, usage, lapses_at, payload, previous_seq, zone
    )
    select
        new.lane, new.seq, new.hold_id, new.version, new.tenant, new.kind::hold_kind, new.label,
        new.event_type::event_type, new.at, new.usage, new.lapses_at, new.payload, new.previous_seq, new.zone
    from unnest($13::new_event[]) as new
    where exists (select from entered)
),
moved as (
    update lane
    set
        seq = new.seq,
        fence = new.fence,
        decided_at = new.decided_at,
        last_batch = $1,
        pools_version = lane.pools_version + new.pools_changed::integer,
        registry_version = lane.registry_version + new.registry_changed::integer
    from unnest($4::smallint[], $5::bigint[], $6::bigint[], $7::timestamptz[], $8::boolean[], $9::boolean[])
        as new (lane, seq, fence, decided_at, pools_changed, registry_changed)
    where lane.lane = new.lane and exists (select from entered)
),
answered as (
    insert into receipt (
        id, tenant, verb, request, body, error_number, error_code, event_lane, event_seq, event_hold_id, event_version,
        body_from, body_length
    )
    select
        new.id, new.tenant, new.verb, new.request, new.body, new.error_number, new.error_code, new.event_lane,
        new.event_seq, new.event_hold_id, new.event_version, new.body_from, new.body_length
    from unnest($14::new_receipt[]) as new
    where exists (select from entered)
)
-- A hold that is gone is an error, which undoes everything.
select 1 / ((select count(*) from updated) = cardinality($11::new_hold[]))::integer as is_whole from entered
