-- name: upsert_resources
-- Put the registered resources of a batch.
insert into resource (
    lane, tenant, name, version, capacity, parent, blocks, former_blocks, resource_type, lock_delay_seconds
)
select
    new.lane, new.tenant, new.name, new.version, new.capacity, new.parent, string_to_array(new.blocks, '>'),
    string_to_array(new.former_blocks, '>'), new.resource_type, new.lock_delay_seconds
from unnest(
    $1::smallint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[],
    $9::text[], $10::bigint[]
) as new (
    lane, tenant, name, version, capacity, parent, blocks, former_blocks, resource_type, lock_delay_seconds
)
on conflict (lane, tenant, name) do update
set
    version = excluded.version,
    capacity = excluded.capacity,
    parent = excluded.parent,
    blocks = excluded.blocks,
    former_blocks = excluded.former_blocks,
    resource_type = excluded.resource_type,
    lock_delay_seconds = excluded.lock_delay_seconds
