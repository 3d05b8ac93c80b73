-- name: read_schema_version
-- The version of the schema.
select coalesce(max(version), 0) as version from _sqlx_migrations where success
