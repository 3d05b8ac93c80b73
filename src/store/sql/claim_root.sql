-- name: claim_root
-- Whose database it is: the first to ask decides, all are told. An update that changes nothing, because only that
-- waits for another first one and sees its row.
insert into deployment (subject_root) values ($1)
on conflict (is_only) do update set subject_root = deployment.subject_root
returning subject_root
