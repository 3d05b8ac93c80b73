-- name: mark_none_counted
-- Take the marks from all that a tenant has: it has no limit any more.
update hold set counted_for = null where counted_for = $1
