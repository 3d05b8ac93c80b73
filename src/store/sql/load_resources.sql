-- name: load_resources
-- Load what is registered in some lanes.
select {resource}
from resource
where resource.lane = any($1::smallint[])
