-- name: insert_receipts
-- Store the receipts of a batch.
-- Plainly, not "on conflict do nothing": a receipt that is there already means that the batch was decided wrongly.
insert into receipt (
    id, tenant, verb, request, body, error_number, error_code, event_lane, event_seq, event_hold_id, event_version,
    body_from, body_length
)
select
    new.id, new.tenant, new.verb, new.request, new.body, new.error_number, new.error_code, new.event_lane,
    new.event_seq, new.event_hold_id, new.event_version, new.body_from, new.body_length
from unnest($1::new_receipt[]) as new
