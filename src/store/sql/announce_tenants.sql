-- name: announce_tenants
-- Tell every lane that what is known of tenants is out of date. All of them are locked.
update lane set tenants_batch = $1
