-- name: load_receipts
-- Load the receipts of a batch.
select id, tenant, verb, request, body, error_number, error_code
from receipt
where id = any($1::uuid[])
