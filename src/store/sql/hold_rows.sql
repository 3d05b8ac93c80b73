-- name: hold_rows
unnest(
    $1::smallint[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::timestamptz[],
    $9::text[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[], $14::text[],
    $15::text[], $16::text[], $17::text[], $18::timestamptz[], $19::timestamptz[], $20::integer[], $21::text[],
    $22::text[], $23::integer[], $24::text[], $25::text[], $26::text[], $27::bigint[], $28::bigint[], $29::bigint[],
    $30::bigint[], $31::text[], $32::text[], $33::text[], $34::uuid[], $35::bigint[],
    $36::bigint[], $37::timestamptz[], $38::integer[], $39::timestamptz[], $40::text[], $41::boolean[], $42::integer[],
    $43::integer[], $44::boolean[], $45::text[], $46::text[], $47::integer[]
) as new (
    lane, id, kind, tenant, status, end_reason, version, created_at,
    created_by, deactivated_at, expires_at, due_at, occupied_until, pool,
    name, instance_type, region, start_time, end_time, quantity, intervals,
    units, units_bound, launch_specification, tags, offer_key, unit_price_cents, return_buyback_price_cents,
    pause_buyback_price_cents, total_price_cents, requester, resource, resource_type, release_token, fencing_token,
    last_seq, paused_at, ending_soon_seconds, warned_end, zone,
    is_shared, slot, ttl_seconds, is_blocker, blockers, tree_path, delay_seconds
)
