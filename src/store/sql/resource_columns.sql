-- name: resource_columns
resource.lane, resource.tenant, resource.name, resource.version, resource.capacity, resource.parent,
    resource.blocks, resource.former_blocks, resource.resource_type, resource.lock_delay_seconds
