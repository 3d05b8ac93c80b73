-- Under which start of the server the lease was given. A server that was started since may be another one: a replica that
-- was promoted without the last commits, or a backup. What the holder knows of cursors may be ahead of it.
alter table lease add column server_started_at timestamptz;
