//! The statements are planned once, for any table, large or empty: these are the plans that they get.

use berth::store::sql;
use berth::store::start::Database;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row, SqlSafeStr, SqlStr};

use crate::support::*;

/// The tables that grow. None of them is ever read as a whole, nor an index of theirs without a condition on it.
const GROWING: [&str; 5] = ["hold", "journal", "receipt", "batch", "history"];

fn statements() -> Vec<(&'static str, SqlStr)> {
    let after_id = sql::list_holds("hold.id < $6", "id desc");
    let after_status = "(effective_status(hold, clock.at), hold.id) > ($8::hold_status, $6)";
    let by_status = sql::list_holds(after_status, "shown_status, id");
    let mut statements = sql::all();
    statements.retain(|(name, _)| !matches!(*name, "check_database" | "read_schema_version"));
    statements.extend([("list_holds by id", after_id), ("list_holds by status", by_status)]);
    statements.extend([true, false].map(|is_descending| ("list_past_holds", sql::list_past_holds(is_descending))));
    statements
}

async fn plan(connection: &mut PgConnection, text: &str) -> Value {
    let parameters = (1..=60).take_while(|number| text.contains(&format!("${number}"))).count();
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
        // Names the index and not the table.
        Some("Bitmap Index Scan") => node["Index Cond"].is_null() && node["Index Name"] != "lane_pkey",
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
    let mut wrong = Vec::new();
    for (name, text) in statements() {
        let plan = plan(&mut connection, text.as_str()).await;
        let mut found = Vec::new();
        unbounded(&plan, &mut found);
        wrong.extend(found.iter().map(|node| format!("{name}: {} by {}", node["Alias"], node["Index Name"])));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn every_statement_reaches_what_grows_by_an_index_on_empty_tables() {
    assert_plans(&database().await).await;
}

#[tokio::test]
async fn every_statement_reaches_what_grows_by_an_index_on_tables_that_are_known_to_be_empty() {
    let database = database().await;
    // Sets the number of rows to 0, where a new table's is not known and guessed.
    for table in GROWING {
        execute(&database, format!("vacuum analyze {table}")).await;
    }
    assert_plans(&database).await;
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
         insert into history (lane, hold_id, version, at, payload)
         select n % 64, gen_random_uuid(), 1, now(), '' from generate_series(1, 5000) as n;
         analyze",
    )
    .await;
    assert_plans(&database).await;
}

/// The growing tables' indexes that a plan uses, in its order.
async fn indexes(database: &Database, text: &SqlStr) -> Vec<String> {
    fn collect(node: &Value, found: &mut Vec<String>) {
        match node {
            Value::Array(nodes) => nodes.iter().for_each(|node| collect(node, found)),
            Value::Object(fields) => {
                found.extend(node["Index Name"].as_str().map(str::to_owned));
                fields.values().for_each(|value| collect(value, found));
            }
            _ => {}
        }
    }
    let mut connection = PgConnection::connect_with(database.options()).await.unwrap();
    let mut found = Vec::new();
    collect(&plan(&mut connection, text.as_str()).await, &mut found);
    found
}

#[tokio::test]
async fn each_read_of_holds_uses_the_index_that_is_made_for_it() {
    let database = database().await;
    execute(&database, "vacuum analyze hold").await;
    let by_id = sql::list_holds("hold.id < $6", "id desc");
    assert_eq!(indexes(&database, &sql::LOAD_HOLDS).await, ["hold_pkey", "hold_claims", "hold_due"]);
    assert_eq!(indexes(&database, &sql::LOAD_COUNTING).await, ["hold_due", "hold_occupied"]);
    assert_eq!(indexes(&database, &sql::READ_LOCKS).await, ["hold_claims"]);
    assert_eq!(indexes(&database, &sql::NEXT_DUE).await, ["lane_pkey", "hold_due"]);
    assert_eq!(indexes(&database, &by_id).await, ["hold_of_tenant"]);
    assert_eq!(indexes(&database, &sql::READ_ALLOCATION).await, ["hold_of_tenant"]);
    let chain = ["journal_pkey", "journal_pkey", "history_pkey"];
    assert_eq!(indexes(&database, &sql::READ_EVENTS).await, chain);
    let past = indexes(&database, &sql::READ_PAST_ALLOCATION).await;
    assert_eq!((past[0].as_str(), &past[1..]), ("hold_of_tenant", &chain.map(str::to_owned)[..]));
    assert_eq!(indexes(&database, &sql::LOAD_TENANT_HOLDS).await, ["hold_of_tenant", "hold_claims"]);
    assert_eq!(indexes(&database, &sql::LOAD_COUNTED).await, ["hold_counted"]);
    assert_eq!(indexes(&database, &sql::MARK_COUNTED).await, ["hold_pkey"]);
    assert_eq!(indexes(&database, &sql::LOCK_TENANTS).await, ["tenant_pkey"]);
}

#[tokio::test]
async fn pages_are_read_in_the_order_of_their_index_from_where_the_one_before_ended() {
    let database = database().await;
    let mut connection = PgConnection::connect_with(database.options()).await.unwrap();
    let list = plan(&mut connection, sql::list_holds("hold.id < $6", "id desc").as_str()).await.to_string();
    assert!(list.contains("\"Backward\"") && list.contains("(id < $6)"), "{list}");
    let due = plan(&mut connection, sql::LOAD_HOLDS.as_str()).await.to_string();
    assert!(due.contains("(ROW(due_at, (status = 'Pending'::hold_status), id) > ROW("), "{due}");
    assert!(!due.contains("\"Sort\""), "{due}");
    let tenants = plan(&mut connection, sql::LOCK_TENANTS.as_str()).await.to_string();
    assert!(!tenants.contains("\"Sort\""), "{tenants}");
}
