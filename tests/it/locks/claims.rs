//! Who held what beside whom, told by the rows and the journal alone.

use sqlx::PgPool;

/// Each claim that was ever granted, from its grant to its end. The numbers of a lane tell what came first.
const SPANS: &str = "
    with span as (
        select
            hold.id, hold.tenant, hold.resource, hold.requester, hold.blockers,
            coalesce(hold.is_blocker, false) as is_blocker,
            coalesce(hold.is_shared, false) as is_shared, coalesce(hold.slot, 0) as slot,
            coalesce(hold.tree_path, hold.resource) as path,
            granted.seq as from_seq, granted.at as from_at,
            coalesce(over.seq, 9223372036854775807) as until_seq, coalesce(over.at, 'infinity') as until_at
        from hold
        join journal as granted on granted.hold_id = hold.id and granted.event_type = 'active'
        left join journal as over on over.hold_id = hold.id and over.event_type in ('ended', 'expired')
        where hold.kind = 'lock'
    )";

/// Two at once on one place, but where both share it, or where one requester has it for itself and for another lock.
const ON_ONE_PLACE: &str = "
    select one.resource || ': ' || one.requester || ' and ' || other.requester
    from span as one
    join span as other
        on other.tenant = one.tenant and other.resource = one.resource and other.id > one.id
        and other.from_seq < one.until_seq and one.from_seq < other.until_seq
    where one.slot = other.slot
        and not (one.is_shared and other.is_shared)
        and not (one.requester = other.requester and one.is_blocker <> other.is_blocker)";

/// Two requesters at once, one above the other in a tree.
const IN_ONE_TREE: &str = "
    select below.path || ': ' || below.requester || ', above it ' || above.requester
    from span as above
    join span as below
        on below.tenant = above.tenant and starts_with(below.path, above.path || '>')
        and below.from_seq < above.until_seq and above.from_seq < below.until_seq
    where above.requester <> below.requester and not (above.is_shared and below.is_shared)";

/// A claim whose requester did not have one of its blockers for all of its time.
const WITHOUT_BLOCKER: &str = "
    select span.resource || ' of ' || span.requester || ' without ' || blocker
    from span
    cross join unnest(string_to_array(span.blockers, '>')) as blocker
    where not exists (
        select from span as other
        where other.tenant = span.tenant and other.requester = span.requester and other.resource = blocker
            and other.from_at <= span.from_at and other.until_at >= span.until_at
    )";

/// At no time have two claims stood that exclude each other, and none without what has to be held with it.
pub async fn claims_never_collide(sql: &PgPool) {
    for collision in [ON_ONE_PLACE, IN_ONE_TREE, WITHOUT_BLOCKER] {
        let query = sqlx::AssertSqlSafe(format!("{SPANS} {collision} limit 10"));
        let found: Vec<String> = sqlx::query_scalar(query).fetch_all(sql).await.unwrap();
        assert!(found.is_empty(), "{collision}: {found:#?}");
    }
}
