-- name: check_database
-- What a worker asks of a database.
-- The settings as they are in this session: the server, the database and the role may each have set them.
select
    pg_is_in_recovery() as is_replica,
    current_setting('fsync') as fsync,
    current_setting('full_page_writes') as full_page_writes,
    current_setting('synchronous_commit') as synchronous_commit,
    to_regclass('_sqlx_migrations') is not null as is_migrated
