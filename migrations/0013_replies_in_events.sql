-- A reply that stands in the event of its change is not stored a second time: the receipt says where it is.
--
-- A worker of an older version can't read such a receipt: a key that comes again to it while versions are mixed is
-- answered as unavailable, and by a newer worker as before.
alter table receipt
    alter column body drop not null,
    -- The event: where it is in the journal, and in the history afterwards.
    add column event_lane smallint,
    add column event_seq bigint,
    add column event_hold_id uuid,
    add column event_version integer,
    -- The part of its payload that is the body but for the last brace, bytes.
    add column body_from integer,
    add column body_length integer,
    -- Rows that are there already have a body, and are not looked through for it.
    add constraint receipt_body_is_somewhere check (
        num_nonnulls(event_lane, event_seq, event_hold_id, event_version, body_from, body_length)
            = case when body is null then 6 else 0 end
    ) not valid;
