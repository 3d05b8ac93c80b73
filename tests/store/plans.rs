//! The statements are planned once, for any table, large or empty: these are the plans that they get.

use berth::store::sql;
use berth::store::start::Database;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row, SqlSafeStr, SqlStr};

use crate::support::*;

/// The tables that grow. None of them is ever read as a whole, nor an index of theirs without a condition on it.
const GROWING: [&str; 4] = ["hold", "journal", "receipt", "batch"];

fn statements() -> Vec<(&'static str, SqlStr)> {
    let after_id = sql::list_holds("hold.id < $6", "id desc");
    let after_status = "(effective_status(hold, clock.at), hold.id) > ($7::hold_status, $6)";
    let by_status = sql::list_holds(after_status, "shown_status, id");
    let mut statements = sql::all();
    statements.retain(|(name, _)| !matches!(*name, "check_database" | "read_schema_version"));
    statements.extend([("list_holds by id", after_id), ("list_holds by status", by_status)]);
    statements
}

async fn plan(connection: &mut PgConnection, text: &str) -> Value {
    let parameters = (1..=40).take_while(|number| text.contains(&format!("${number}"))).count();
    let nulls = vec!["null"; parameters].join(", ");
    let arguments = if parameters == 0 { String::new() } else { format!("({nulls})") };
    let run = |text: String| AssertSqlSafe(text).into_sql_str();
    connection.execute(sqlx::raw_sql(run(format!("prepare planned as {text}")))).await.unwrap();
    let explain = run(format!("explain (format json) execute planned{arguments}"));
    let row = sqlx::raw_sql(explain).fetch_one(&mut *connection).await.unwrap();
    connection.execute("deallocate planned").await.unwrap();
    serde_json::from_str(row.try_get_unchecked::<&str, _>(0).unwrap()).unwrap()
}

/// Is this node a read of a growing table that is not led by a condition on an index?
fn is_unbounded(node: &Value) -> bool {
    let (kind, relation) = (node["Node Type"].as_str(), node["Relation Name"].as_str());
    let grows = relation.is_some_and(|relation| GROWING.contains(&relation));
    match kind {
        Some("Seq Scan") => grows,
        Some("Index Scan" | "Index Only Scan") => grows && node["Index Cond"].is_null(),
        // Names the index, not the table: every index that can serve here is one of a growing table.
        Some("Bitmap Index Scan") => node["Index Cond"].is_null(),
        _ => false,
    }
}

fn unbounded<'a>(node: &'a Value, found: &mut Vec<&'a Value>) {
    match node {
        Value::Array(nodes) => nodes.iter().for_each(|node| unbounded(node, found)),
        Value::Object(fields) => {
            if is_unbounded(node) {
                found.push(node);
            }
            fields.values().for_each(|value| unbounded(value, found));
        }
        _ => {}
    }
}

async fn assert_plans(database: &Database) {
    let mut connection = PgConnection::connect_with(database.options()).await.unwrap();
    for (name, text) in statements() {
        let plan = plan(&mut connection, text.as_str()).await;
        let mut found = Vec::new();
        unbounded(&plan, &mut found);
        assert!(found.is_empty(), "{name}: {found:#?}");
    }
}

#[tokio::test]
async fn every_statement_reaches_what_grows_by_an_index_on_empty_tables() {
    assert_plans(&database().await).await;
}

#[tokio::test]
async fn every_statement_reaches_what_grows_by_an_index_on_full_tables() {
    let database = database().await;
    execute(
        &database,
        "insert into hold (lane, id, kind, tenant, status, version, created_at, due_at, requester, resource,
                           resource_type, release_token, fencing_token)
         select n % 64, gen_random_uuid(), 'lock', 'acme', 'Active', 1, now(), now(), 'me', 'r' || n, 'T',
                gen_random_uuid(), n
         from generate_series(1, 5000) as n;
         insert into journal (lane, seq, hold_id, version, tenant, kind, label, event_type, at, payload)
         select n % 64, n, gen_random_uuid(), 1, 'acme', 'lock', 'T', 'active', now(), ''
         from generate_series(1, 5000) as n;
         insert into receipt (id, verb, request, body) select gen_random_uuid(), 'lock', '', ''
         from generate_series(1, 5000);
         insert into batch (id, at) select gen_random_uuid(), now() from generate_series(1, 5000);
         analyze",
    )
    .await;
    assert_plans(&database).await;
}

#[tokio::test]
async fn a_list_by_creation_is_read_in_the_order_of_its_index() {
    let database = database().await;
    let mut connection = PgConnection::connect_with(database.options()).await.unwrap();
    let plan = plan(&mut connection, sql::list_holds("hold.id < $6", "id desc").as_str()).await.to_string();
    assert!(plan.contains("hold_of_tenant") && plan.contains("Backward"), "{plan}");
    assert!(plan.contains("id < $6"), "{plan}");
}

#[tokio::test]
async fn what_is_due_is_read_from_where_the_page_before_it_ended() {
    let database = database().await;
    let mut connection = PgConnection::connect_with(database.options()).await.unwrap();
    let plan = plan(&mut connection, sql::LOAD_HOLDS.as_str()).await.to_string();
    assert!(plan.contains("hold_due") && plan.contains("hold_live_lock"), "{plan}");
    assert!(plan.contains("ROW(hold_2.due_at") || plan.contains("ROW(hold"), "{plan}");
    assert!(!plan.contains("\"Sort\""), "{plan}");
}
