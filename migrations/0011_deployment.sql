-- What the database belongs to: one row, written by the first worker. Every event of the journal leaves under one root
-- of subjects, so workers of two roots on one database would publish each other's events.
create table deployment (
    is_only boolean primary key default true check (is_only),
    -- The first token of every subject.
    subject_root text not null
);
