//! Reads without locks: what is due is seen as it will be.

use berth::clock;
use berth::domain::command::{InstanceKind, List, ListCursor, Page, SortBy};
use berth::domain::event::EventType;
use berth::domain::hold::{Hold, Status};
use berth::domain::id::{Lane, Tenant};
use berth::domain::tick::as_of;
use berth::store::Session;
use berth::store::query::Reader;

use crate::support::*;

fn everything() -> List {
    List {
        pool: None,
        instance_type: None,
        region: None,
        status: None,
        sort_by: SortBy::CreatedAt,
        is_descending: true,
        limit: 100,
        after: None,
    }
}

/// Holds whose events are late, with what each is by now, in the order of their ids.
fn late_holds() -> Vec<(Hold, Status)> {
    let pool = pool_name("p");
    let lane = Lane::of_pool(&pool);
    let (past, before, ahead) = (at("2026-01-01T00:00:00Z"), at("2026-01-02T00:00:00Z"), at("2199-01-01T00:00:00Z"));
    let held = |number, expires_at| {
        let hold = reservation(id_of(lane, number), &pool, Status::Held, ahead, ahead + hours(1), 1);
        Hold { expires_at: Some(expires_at), ..hold }
    };
    let hold = |number, status, from, to| reservation(id_of(lane, number), &pool, status, from, to, 1);
    let tomorrow = clock::now() + hours(24);
    // What is due of these is the announcement of an end that is still to come.
    let announced = |number, status, from, to| {
        let mut hold = hold(number, status, from, to);
        hold.reservation_mut().unwrap().ending_soon_seconds = 172_800;
        hold
    };
    vec![
        (held(1, ahead), Status::Held),
        (held(2, past), Status::Expired),
        (hold(3, Status::Pending, ahead, ahead + hours(1)), Status::Pending),
        (hold(4, Status::Pending, past, ahead), Status::Active),
        (hold(5, Status::Pending, past, before), Status::Ended),
        (hold(6, Status::Active, past, ahead), Status::Active),
        (hold(7, Status::Active, past, before), Status::Ended),
        (hold(8, Status::Paused, past, before), Status::Ended),
        (hold(9, Status::Canceled, past, before), Status::Canceled),
        (announced(10, Status::Pending, tomorrow, tomorrow + hours(1)), Status::Pending),
        (announced(11, Status::Active, past, tomorrow), Status::Active),
        (announced(12, Status::Paused, past, tomorrow), Status::Paused),
        (announced(13, Status::Pending, past, tomorrow), Status::Active),
    ]
}

async fn reader_of_late_holds() -> Reader {
    let database = database().await;
    let mut session = Session::connect(&database).await.unwrap();
    transact(&mut session, &all_lanes(), |state| {
        late_holds().into_iter().for_each(|(hold, _)| drop(record(state, hold, EventType::Placed)));
        record(state, lock("not a reservation", Some(at("2026-01-01T00:00:00Z"))), EventType::Active);
    })
    .await;
    Reader::new(database)
}

async fn listed(reader: &Reader, list: &List) -> (Vec<usize>, bool) {
    let (holds, has_more, now) = reader.list(&tenant(), list).await.unwrap();
    let ids: Vec<_> = late_holds().into_iter().map(|(hold, _)| hold.id).collect();
    let number = |hold: &Hold| {
        let position = ids.iter().position(|id| *id == hold.id).unwrap();
        assert_eq!(as_of(hold.clone(), now).status, late_holds()[position].1, "the database and the domain agree");
        position + 1
    };
    (holds.iter().map(number).collect(), has_more)
}

#[tokio::test]
async fn a_list_is_filtered_by_the_status_that_each_has_now() {
    let reader = reader_of_late_holds().await;
    for status in Status::ALL {
        let expected: Vec<usize> =
            late_holds().iter().enumerate().filter(|(_, (_, now))| *now == status).map(|(at, _)| at + 1).collect();
        let list = List { status: Some(status), is_descending: false, ..everything() };
        assert_eq!(listed(&reader, &list).await, (expected, false), "{status:?}");
    }
}

#[tokio::test]
async fn a_list_is_sorted_by_creation_or_by_the_status_that_each_has_now() {
    let reader = reader_of_late_holds().await;
    let order =
        async |sort_by, is_descending| listed(&reader, &List { sort_by, is_descending, ..everything() }).await.0;
    assert_eq!(order(SortBy::CreatedAt, true).await, [13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(order(SortBy::CreatedAt, false).await, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    assert_eq!(order(SortBy::Status, false).await, [1, 3, 10, 4, 6, 11, 13, 12, 9, 5, 7, 8, 2]);
    assert_eq!(order(SortBy::Status, true).await, [2, 8, 7, 5, 9, 12, 13, 11, 6, 4, 10, 3, 1]);
}

#[tokio::test]
async fn pages_of_a_list_join_to_the_whole() {
    let reader = reader_of_late_holds().await;
    for (sort_by, is_descending) in
        [(SortBy::CreatedAt, true), (SortBy::CreatedAt, false), (SortBy::Status, true), (SortBy::Status, false)]
    {
        let whole = listed(&reader, &List { sort_by, is_descending, ..everything() }).await.0;
        let (mut joined, mut after) = (Vec::new(), None);
        loop {
            let list = List { sort_by, is_descending, limit: 2, after, ..everything() };
            let (page, has_more) = listed(&reader, &list).await;
            let (hold, status) = late_holds().swap_remove(page.last().unwrap() - 1);
            joined.extend(page);
            after = Some(ListCursor { status: (sort_by == SortBy::Status).then_some(status), id: hold.id });
            if !has_more {
                break;
            }
        }
        assert_eq!(joined, whole);
    }
}

#[tokio::test]
async fn a_list_is_one_tenants_and_of_one_pool_and_kind_where_asked() {
    let database = database().await;
    let reader = Reader::new(database.clone());
    let mut session = Session::connect(&database).await.unwrap();
    let (from, to) = (at("2199-01-01T00:00:00Z"), at("2199-01-02T00:00:00Z"));
    let hold = |pool: &str, region: &str, tenant: &str| {
        let name = pool_name(pool);
        let mut hold = reservation(new_id(Lane::of_pool(&name)), &name, Status::Pending, from, to, 1);
        hold.tenant = Tenant::parse(tenant).unwrap();
        let reservation = hold.reservation_mut().unwrap();
        reservation.instance_type = Some(label("h100"));
        reservation.region = Some(label(region));
        hold
    };
    let holds = [hold("p", "eu", "acme"), hold("p", "us", "acme"), hold("q", "eu", "acme"), hold("p", "eu", "other")];
    transact(&mut session, &all_lanes(), |state| {
        holds.iter().for_each(|hold| drop(record(state, hold.clone(), EventType::Placed)));
    })
    .await;
    let ids = async |list: List| {
        let (mut found, ..) = reader.list(&tenant(), &list).await.unwrap();
        found.sort_by_key(|hold| hold.id);
        found.into_iter().map(|hold| hold.id).collect::<Vec<_>>()
    };
    let expected = |positions: &[usize]| {
        let mut ids: Vec<_> = positions.iter().map(|position| holds[*position].id).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(everything()).await, expected(&[0, 1, 2]));
    assert_eq!(ids(List { pool: Some(pool_name("p")), ..everything() }).await, expected(&[0, 1]));
    assert_eq!(ids(List { region: Some(label("eu")), ..everything() }).await, expected(&[0, 2]));
    assert_eq!(ids(List { instance_type: Some(label("a100")), ..everything() }).await, expected(&[]));
    assert_eq!(reader.hold(&tenant(), holds[3].id).await.unwrap().0, None, "another tenant's is not there");
}

#[tokio::test]
async fn live_locks_are_found_by_name_and_what_is_over_is_not() {
    let database = database().await;
    let reader = Reader::new(database.clone());
    let mut session = Session::connect(&database).await.unwrap();
    let (door, mut gate) = (lock("door", None), lock("gate", None));
    gate.status = Status::Ended;
    transact(&mut session, &all_lanes(), |state| {
        [&door, &gate].into_iter().for_each(|hold| drop(record(state, hold.clone(), EventType::Active)));
    })
    .await;
    let (found, now) = reader.locks(&[lock_name("gate"), lock_name("door"), lock_name("none")]).await.unwrap();
    assert_eq!(found.iter().map(|hold| hold.id).collect::<Vec<_>>(), [door.id]);
    let (none, later) = reader.locks(&[lock_name("none")]).await.unwrap();
    assert!(none.is_empty() && later > now);
}

#[tokio::test]
async fn pools_are_listed_by_name_and_found_by_kind() {
    let database = database().await;
    let reader = Reader::new(database.clone());
    let mut session = Session::connect(&database).await.unwrap();
    let mut pools = ["c", "a", "b"].map(|name| pool(name, 1));
    pools[0].instance_type = Some(label("h100"));
    pools[0].region = Some(label("eu"));
    transact(&mut session, &all_lanes(), |state| pools.iter().for_each(|pool| state.put_pool(pool.clone()))).await;
    let page = async |limit, after: Option<&str>| {
        let (pools, has_more) = reader.pools(&Page { limit, after: after.map(pool_name) }).await.unwrap();
        (pools.into_iter().map(|pool| pool.name.to_string()).collect::<Vec<_>>().join(""), has_more)
    };
    assert_eq!(page(2, None).await, ("ab".to_owned(), true));
    assert_eq!(page(2, Some("b")).await, ("c".to_owned(), false));
    assert_eq!(page(3, None).await, ("abc".to_owned(), false));
    let kind = |region| InstanceKind { instance_type: label("h100"), region: label(region) };
    assert_eq!(reader.pool_of_kind(&kind("eu")).await.unwrap(), (Some(pool_name("c")), Vec::new()));
    assert_eq!(reader.pool_of_kind(&kind("us")).await.unwrap(), (None, vec![pool_name("c")]));
}

#[tokio::test]
async fn the_view_for_people_shows_each_interval_that_counts() {
    let database = database().await;
    let mut session = Session::connect(&database).await.unwrap();
    transact(&mut session, &all_lanes(), |state| {
        late_holds().into_iter().for_each(|(hold, _)| drop(record(state, hold, EventType::Placed)));
    })
    .await;
    let shown = "select count(*) from reservation_interval
                 where units = 1 and start_time = '2199-01-01T00:00:00Z' and end_time = '2199-01-01T01:00:00Z'";
    assert_eq!(count(&database, shown).await, 2);
    // Neither the one that lapsed nor the one that was canceled.
    assert_eq!(count(&database, "select count(*) from reservation_interval").await, 11);
}
