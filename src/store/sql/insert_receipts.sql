-- name: insert_receipts
-- Store the receipts of a batch.
-- Plainly, not "on conflict do nothing": a receipt that is there already means that the batch was decided wrongly.
insert into receipt (id, tenant, verb, request, body, error_number, error_code)
select new.id, new.tenant, new.verb, new.request, new.body, new.error_number, new.error_code
from unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::smallint[], $7::text[])
    as new (id, tenant, verb, request, body, error_number, error_code)
