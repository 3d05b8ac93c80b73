-- name: insert_journal
-- Append the events of a batch to the journal.
insert into journal (
    lane, seq, hold_id, version, tenant, kind, label, event_type, at, usage, lapses_at, payload, previous_seq, zone
)
select
    new.lane, new.seq, new.hold_id, new.version, new.tenant, new.kind::hold_kind, new.label,
    new.event_type::event_type, new.at, new.usage, new.lapses_at, new.payload, new.previous_seq, new.zone
from unnest($1::new_event[]) as new
