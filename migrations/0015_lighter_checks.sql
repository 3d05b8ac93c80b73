-- That a hold is whole is checked for every row, so by as little as tells it: the arrays of numbers are checked by those
-- who read them.
alter table hold
    drop constraint hold_is_whole,
    add constraint hold_is_whole check (
        case kind
            when 'reservation' then num_nulls(pool, start_time, end_time, quantity, intervals, units, offer_key) = 0
            when 'lock' then num_nulls(requester, resource, resource_type, release_token, fencing_token) = 0
        end
    ) not valid;
