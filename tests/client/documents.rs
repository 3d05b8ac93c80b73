//! docs/locks.md is true: its commands print what it shows, its statements are those of the example, and they refuse.

use sqlx::{Connection, Executor, PgConnection};

use crate::book::{Block, blocks, commands, page};
use crate::frozen::consumers_database;
use crate::harness::Berth;
use crate::holder::Holder;
use crate::shown::compare;

fn statement(word: &str) -> String {
    let blocks = blocks(&page("docs/locks.md"));
    blocks.iter().find(|block| block.is("sql", word)).unwrap().text.trim().to_owned()
}

/// The example's arguments in a block that is one command.
fn arguments(block: &Block) -> Vec<String> {
    let [command] = commands(&block.text)[..] else { panic!("line {}: one command", block.line) };
    let arguments = command.strip_prefix("cargo run --example lock -- ");
    arguments.unwrap_or_else(|| panic!("line {}", block.line)).split_whitespace().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_print_what_the_page_shows() {
    let berth = Berth::start().await;
    let database_url = consumers_database(&berth).await;
    let mut events = berth.events().await;
    let mut commands = Vec::new();
    let mut printed = Vec::new();
    for block in blocks(&page("docs/locks.md")).iter().filter(|it| it.language == "bash" || it.is("text", "output")) {
        if block.language == "text" {
            let found = printed.join("\n");
            compare(&block.text, &found).unwrap_or_else(|fault| panic!("line {}\n{fault}", block.line));
            continue;
        }
        commands.push(arguments(block));
        let words: Vec<&str> = commands.last().unwrap().iter().map(String::as_str).collect();
        let mut holder = Holder::start(&berth, &database_url, &words).await;
        printed.clear();
        if block.is("bash", "stopped") {
            printed.extend([holder.line().await.unwrap(), holder.line().await.unwrap()]);
            holder.stop().await;
            while events.next().await.kind() != "expired" {}
            let words: Vec<&str> = commands[0].iter().map(String::as_str).collect();
            Holder::start(&berth, &database_url, &words).await.rest().await;
            holder.wake();
            holder.press_enter().await;
        }
        printed.extend(holder.rest().await);
    }
    assert_eq!(commands.len(), 2);
}

#[test]
fn the_statements_of_the_page_are_those_that_the_example_runs() {
    let example = page("examples/lock.rs");
    for word in ["table", "guard"] {
        assert!(example.contains(&statement(word)), "{word}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_takes_rising_tokens_and_refuses_a_lower_one_until_the_end_of_time() {
    let berth = Berth::without_workers().await;
    let mut database = PgConnection::connect(&consumers_database(&berth).await).await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(statement("table"))).execute(&mut database).await.unwrap();
    for (fence, rows) in [(7_i64, 1), (7, 1), (9, 1), (8, 0), (7, 0), (9, 1)] {
        let guard = statement("guard");
        let passed = sqlx::query(sqlx::AssertSqlSafe(guard)).bind("r").bind(fence).execute(&mut database).await;
        assert_eq!(passed.unwrap().rows_affected(), rows, "{fence}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_write_of_a_later_holder_waits_for_an_earlier_one_under_way() {
    let berth = Berth::without_workers().await;
    let url = consumers_database(&berth).await;
    let mut earlier = PgConnection::connect(&url).await.unwrap();
    let mut later = PgConnection::connect(&url).await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(statement("table"))).execute(&mut earlier).await.unwrap();
    let mut under_way = earlier.begin().await.unwrap();
    let guard = statement("guard");
    let query = || sqlx::query(sqlx::AssertSqlSafe(guard.clone())).bind("r");
    query().bind(1_i64).execute(&mut *under_way).await.unwrap();
    later.execute("set lock_timeout = '200ms'").await.unwrap();
    let waited = query().bind(2_i64).execute(&mut later).await.unwrap_err();
    assert_eq!(waited.as_database_error().unwrap().code().as_deref(), Some("55P03"), "{waited}");
    under_way.commit().await.unwrap();
    assert_eq!(query().bind(2_i64).execute(&mut later).await.unwrap().rows_affected(), 1);
}
