//! What a worker refuses to start on.

use berth::store::start::{Database, UnfitDatabase};

use crate::support::*;

#[tokio::test]
async fn a_migrated_durable_primary_is_fit_and_migrating_again_changes_nothing() {
    let database = database().await;
    let (one, other) = tokio::join!(database.migrate(), database.migrate());
    one.unwrap();
    other.unwrap();
    database.check().await.unwrap();
}

#[tokio::test]
async fn an_empty_database_is_at_version_0_and_has_to_be_migrated() {
    let database = Database::connect(&empty_database().await, 1).await.unwrap();
    let error = database.check().await.unwrap_err();
    assert!(matches!(error, UnfitDatabase::Schema { found: 0, advice: "run berth migrate", .. }), "{error}");
}

#[tokio::test]
async fn a_schema_that_is_too_new_asks_for_a_newer_binary_and_is_left_alone_by_migrate() {
    let database = database().await;
    execute(
        &database,
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'from the future', true, '', 0)",
    )
    .await;
    database.migrate().await.unwrap();
    let error = database.check().await.unwrap_err();
    assert!(matches!(error, UnfitDatabase::Schema { found: 9999, advice: "run a newer berth", .. }), "{error}");
}

#[tokio::test]
async fn a_schema_that_is_half_migrated_is_too_old() {
    let database = database().await;
    execute(&database, "delete from _sqlx_migrations where version > 3").await;
    let error = database.check().await.unwrap_err();
    assert!(matches!(error, UnfitDatabase::Schema { found: 3, advice: "run berth migrate", .. }), "{error}");
}

#[tokio::test]
async fn commits_that_do_not_wait_for_the_disk_are_refused_wherever_they_were_set() {
    let url = empty_database().await;
    let migrated = Database::connect(&url, 1).await.unwrap();
    migrated.migrate().await.unwrap();
    let in_session = Database::connect(&format!("{url}?options=-c%20synchronous_commit%3Doff"), 1).await.unwrap();
    let error = in_session.check().await.unwrap_err();
    assert!(matches!(error, UnfitDatabase::NotDurable { setting: "synchronous_commit" }), "{error}");
    execute(
        &migrated,
        "do $$ begin
             execute format('alter role %I in database %I set synchronous_commit = off', current_user, current_database());
         end $$",
    )
    .await;
    let by_role = Database::connect(&url, 1).await.unwrap();
    let error = by_role.check().await.unwrap_err();
    assert!(matches!(error, UnfitDatabase::NotDurable { setting: "synchronous_commit" }), "{error}");
    let local = Database::connect(&format!("{url}?options=-c%20synchronous_commit%3Dlocal"), 1).await.unwrap();
    local.check().await.unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_an_error_at_once() {
    let error = Database::connect("postgres://127.0.0.1:1/nothing", 1).await.unwrap_err();
    assert_eq!(error.to_string(), "could not connect to Postgres");
}

#[tokio::test]
async fn a_database_belongs_to_one_subject_root() {
    let database = database().await;
    let (one, other) = tokio::join!(database.claim("one"), database.claim("two"));
    assert!(one.is_ok() != other.is_ok(), "the first decides: {one:?}, {other:?}");
    let (owner, stranger) = if one.is_ok() { ("one", "two") } else { ("two", "one") };
    database.claim(owner).await.unwrap();
    let error = database.claim(stranger).await.unwrap_err();
    assert!(matches!(error, UnfitDatabase::Root { .. }), "{error}");
}
