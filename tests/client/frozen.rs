//! A holder that is stopped for longer than its lock lives, wakes up, and writes.

use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::harness::Berth;
use crate::holder::Holder;
use crate::servers::SHARED;

/// A database that is not berth's, for what is written under the lock.
pub async fn consumers_database(berth: &Berth) -> String {
    let name = format!("{}_consumer", berth.root);
    tokio::task::spawn_blocking(move || SHARED.database(&name)).await.unwrap()
}

/// Who has written which line, in the order of the tokens.
async fn written(database_url: &str) -> Vec<(String, i64)> {
    let mut connection = PgConnection::connect(database_url).await.unwrap();
    sqlx::query_as("select line, fence from lock_report order by fence").fetch_all(&mut connection).await.unwrap()
}

fn fence(line: &str) -> i64 {
    let text = line.strip_prefix("held: fencing token ").unwrap().split(',').next().unwrap();
    text.parse().unwrap()
}

/// A holder that was stopped until its lock had run out and another one had written, and what it prints when it wakes.
async fn woken(berth: &Berth, database_url: &str, arguments: &[&str]) -> (i64, i64, Vec<String>) {
    let mut events = berth.events().await;
    let arguments = [arguments, &["--requester", "stopped", "--ttl", "2s", "--lines", "1", "--pause"]].concat();
    let mut holder = Holder::start(berth, database_url, &arguments).await;
    let first = fence(&holder.line().await.unwrap());
    assert_eq!(holder.line().await.unwrap(), "paused: press Enter to write line 1");
    holder.stop().await;
    while events.next().await.kind() != "expired" {}

    let mut other = Holder::start(berth, database_url, &["--requester", "other", "--ttl", "60s", "--lines", "1"]).await;
    let second = fence(&other.line().await.unwrap());
    assert_eq!(other.line().await.unwrap(), format!("written: line 1 with fencing token {second}"));

    holder.wake();
    holder.press_enter().await;
    let printed = holder.rest().await;
    let checked = berth.ask("check", json!({"resource": "report"})).await.ok();
    assert_eq!(checked["holder"], "other", "it releases nothing that is not its own");
    (first, second, printed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_wakes_up_after_its_time_knows_by_itself_that_its_lock_is_lost() {
    let berth = Berth::start().await;
    let database_url = consumers_database(&berth).await;
    let (first, second, printed) = woken(&berth, &database_url, &[]).await;
    assert!(first < second);
    assert_eq!(printed, ["lost: the fencing token is stale", "released: NotOwned"]);
    assert_eq!(written(&database_url).await, [("line 1".to_owned(), second)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_writes_all_the_same_the_guarded_row_refuses_its_old_token() {
    let berth = Berth::start().await;
    let database_url = consumers_database(&berth).await;
    let (first, second, printed) = woken(&berth, &database_url, &["--careless"]).await;
    assert!(first < second);
    let expected =
        ["lost: the fencing token is stale", "refused: line 1, a later holder has written", "released: NotOwned"];
    assert_eq!(printed, expected);
    assert_eq!(written(&database_url).await, [("line 1".to_owned(), second)]);
}
