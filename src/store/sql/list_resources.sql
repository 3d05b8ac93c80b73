-- name: list_resources
-- A page of a tenant's registered resources, by name, each with the names above it from the root on.
with recursive page as (
    select *
    from resource
    where lane = $1 and tenant = $2 and name > $3 and starts_with(name, $4)
    order by name
    limit $5
),
above as (
    select page.name as of, page.parent as name, 1 as distance from page where page.parent is not null
    union all
    select above.of, next.parent, above.distance + 1
    from above
    join resource as next on next.lane = $1 and next.tenant = $2 and next.name = above.name
    where next.parent is not null
)
select
    {resource},
    (select array_agg(above.name order by above.distance desc) from above where above.of = resource.name) as ancestors,
    exists (
        select from resource as part
        where part.lane = resource.lane and part.tenant = resource.tenant and part.parent = resource.name
    ) as has_parts
from page as resource
order by resource.name
