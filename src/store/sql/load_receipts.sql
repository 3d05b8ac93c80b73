-- name: load_receipts
-- Load receipts. A body that stands in an event is put together again: the part of it, and the last brace. It is empty
-- where the event is gone, which berth itself never brings about.
select
    receipt.id, receipt.tenant, receipt.verb, receipt.request, receipt.error_number, receipt.error_code,
    coalesce(
        receipt.body,
        substring(event.payload from receipt.body_from + 1 for receipt.body_length) || '\x7d'::bytea,
        ''
    ) as body
from receipt
left join lateral (
    select coalesce(
        (
            select payload from journal
            where journal.lane = receipt.event_lane and journal.seq = receipt.event_seq
        ),
        (
            select payload from history
            where history.lane = receipt.event_lane and history.hold_id = receipt.event_hold_id
                and history.version = receipt.event_version
        )
    ) as payload
) as event on receipt.body is null
where receipt.id = any($1::uuid[])
