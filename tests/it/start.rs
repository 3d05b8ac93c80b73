//! When a worker refuses to start, and what it says then.

use std::process::{Command, Output};

use async_nats::jetstream::{self, stream};
use berth::cli::stack::{Servers, Stack, StackOptions};
use berth::config::WorkerConfig;
use berth::store::start::Database;
use berth::worker::Readiness;
use sqlx::{Connection, Executor, PgConnection};
use tokio_util::sync::CancellationToken;

use crate::harness::{Berth, Worker, config, fresh_name, within};
use crate::nats_server::NatsServer;

/// What a worker that does not start says.
async fn told(config: WorkerConfig) -> String {
    match within("a worker's refusal", Worker::start(config)).await {
        Ok(worker) => {
            worker.stop().await;
            panic!("it started");
        }
        Err(error) => error.to_string(),
    }
}

async fn execute(url: &str, statement: &'static str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    connection.execute(statement).await.unwrap();
}

/// The real program.
async fn run_worker(database_url: &str, nats_url: &str, root: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
    command.args(["worker", "--http-addr", "127.0.0.1:0"]);
    command.env("RUST_LOG", "off").env("DATABASE_URL", database_url).env("NATS_URL", nats_url);
    command.env("BERTH_SUBJECT_ROOT", root);
    let run = tokio::task::spawn_blocking(move || command.output().unwrap());
    within("the end of the program", run).await.unwrap()
}

#[track_caller]
fn assert_said(output: &Output, sentence: &str) {
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with(&format!("error: {sentence}")) && said.lines().count() == 1, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_over_the_request_subjects_is_named_and_once_it_is_gone_the_worker_starts() {
    let berth = Berth::without_workers().await;
    let context = jetstream::new(berth.nats.clone());
    let root = &berth.root;
    for (subject, covered) in [
        (format!("{root}.v1.>"), format!("{root}.v1.>")),
        (format!("{root}.v1.*.reserve"), format!("{root}.v1.>")),
        (format!("{root}.*.*.reserve"), format!("{root}.v1.>")),
        (format!("{root}.admin.>"), format!("{root}.admin.v1.>")),
        (format!("{root}.>"), format!("{root}.v1.>")),
    ] {
        let name = format!("over-{root}");
        let config = stream::Config { name: name.clone(), subjects: vec![subject], ..stream::Config::default() };
        context.create_stream(config).await.unwrap();
        let expected = format!(
            "the stream {name} covers the request subject {covered}: requesters would get its acknowledgement instead \
             of an answer; take the subject out of the stream"
        );
        assert_eq!(told(berth.config()).await, expected);
        context.delete_stream(name).await.unwrap();
    }
    Worker::start(berth.config()).await.unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_ours_with_a_setting_that_loses_or_forges_is_named_with_what_it_needs() {
    let berth = Berth::without_workers().await;
    let context = jetstream::new(berth.nats.clone());
    Worker::start(berth.config()).await.unwrap().stop().await;
    let prefix = berth.root.to_uppercase();
    type Change = fn(&mut stream::Config);
    let changes: [(&str, Change, &str); 6] = [
        (
            "SUBMIT",
            |config| config.retention = stream::RetentionPolicy::Limits,
            "retention = Limits, berth needs WorkQueue",
        ),
        ("SUBMIT", |config| config.discard = stream::DiscardPolicy::Old, "discard = Old, berth needs New"),
        ("SUBMIT", |config| config.storage = stream::StorageType::Memory, "storage = Memory, berth needs File"),
        ("EVENTS", |config| config.deny_delete = false, "deny_delete = false, berth needs true"),
        ("EVENTS", |config| config.allow_atomic_publish = false, "allow_atomic = false, berth needs true"),
        ("RESULT", |config| config.max_messages_per_subject = 1, "max_msgs_per_subject = 1, berth needs no such limit"),
    ];
    for (name, change, expected) in changes {
        let name = format!("{prefix}_{name}");
        let wanted = context.get_stream(&name).await.unwrap().cached_info().config.clone();
        let mut unfit = wanted.clone();
        change(&mut unfit);
        context.delete_stream(&name).await.unwrap();
        context.create_stream(unfit).await.unwrap();
        let said = told(berth.config()).await;
        assert_eq!(said, format!("the stream {name} has {expected}: change it, or remove the stream"));
        context.delete_stream(&name).await.unwrap();
        context.create_stream(wanted).await.unwrap();
    }
    Worker::start(berth.config()).await.unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_or_role_with_synchronous_commit_off_is_refused() {
    let berth = Berth::without_workers().await;
    let mut connection = PgConnection::connect(&berth.database_url).await.unwrap();
    let user: String = sqlx::query_scalar("select current_user::text").fetch_one(&mut connection).await.unwrap();
    let role = format!("role {user} in database {}", berth.root);
    for whose in [format!("database {}", berth.root), role] {
        let off = format!("alter {whose} set synchronous_commit = off");
        connection.execute(sqlx::AssertSqlSafe(off)).await.unwrap();
        let expected = "Postgres does not keep what it commits (synchronous_commit is off): turn it on";
        assert_eq!(told(berth.config()).await, expected);
        let on = format!("alter {whose} reset synchronous_commit");
        connection.execute(sqlx::AssertSqlSafe(on)).await.unwrap();
    }
    Worker::start(berth.config()).await.unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_missing_or_newer_is_refused_with_what_to_do() {
    let berth = Berth::without_workers().await;
    let empty = fresh_name();
    let mut connection = PgConnection::connect(&berth.database_url).await.unwrap();
    connection.execute(sqlx::AssertSqlSafe(format!("create database {empty}"))).await.unwrap();
    let (server, _) = berth.database_url.rsplit_once('/').unwrap();
    let empty_url = format!("{server}/{empty}");
    let missing = "the schema is at version 0, this binary supports 16 to 16: run berth migrate";
    assert_eq!(told(config(&empty_url, &berth.nats_url, &berth.root)).await, missing);
    assert_said(&run_worker(&empty_url, &berth.nats_url, &berth.root).await, missing);
    execute(
        &berth.database_url,
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'of a later berth', true, '', 0)",
    )
    .await;
    let newer = "the schema is at version 9999, this binary supports 16 to 16: run a newer berth";
    assert_eq!(told(berth.config()).await, newer);
    Database::connect(&berth.database_url, 2).await.unwrap().migrate().await.unwrap();
    assert_eq!(told(berth.config()).await, newer, "migrating leaves a newer schema as it is");
    execute(&berth.database_url, "delete from _sqlx_migrations where version = 9999").await;
    Worker::start(berth.config()).await.unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_subject_root_on_one_database_is_refused() {
    let berth = Berth::without_workers().await;
    Worker::start(berth.config()).await.unwrap().stop().await;
    let other = fresh_name();
    let said = told(config(&berth.database_url, &berth.nats_url, &other)).await;
    let root = &berth.root;
    let expected = format!(
        "the database belongs to the subject root {root}, not to {other}: each root needs a database of its own"
    );
    assert_eq!(said, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_do_not_answer_and_a_root_that_is_none_are_told_at_once() {
    let berth = Berth::without_workers().await;
    let (database, nats, root) = (&berth.database_url, &berth.nats_url, &berth.root);
    // Port 1 is nobody's.
    let (nowhere, no_nats) = ("postgres://berth:secret@127.0.0.1:1/berth", "nats://127.0.0.1:1");
    assert_eq!(told(config(nowhere, nats, root)).await, "could not connect to Postgres");
    let output = run_worker(nowhere, nats, root).await;
    assert_said(&output, "could not connect to Postgres: ");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("secret"));
    assert_eq!(told(config(database, no_nats, root)).await, "could not connect to NATS");
    assert_said(&run_worker(database, no_nats, root).await, "could not connect to NATS: 127.0.0.1:1: ");
    for bad in ["Bad Root", "a.b", "*", "", "_a", &"a".repeat(33)] {
        let said = told(config(database, nats, bad)).await;
        assert_eq!(said, "the subject root is not [a-z0-9][a-z0-9_-]{0,31}", "{bad}");
    }
    assert_said(&run_worker(database, nats, "a.b").await, "the subject root is not [a-z0-9][a-z0-9_-]{0,31}");
}

/// Its greeting is like any other's; it refuses the login. One start in three would begin with it at each connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_starts_beside_a_server_that_is_full() {
    let berth = Berth::without_workers().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nats.conf");
    std::fs::write(&path, "listen: \"127.0.0.1:-1\"\nmax_connections: 1\n").unwrap();
    let start = move || NatsServer::start_with(&["-c", path.to_str().unwrap()], &[]);
    let full = tokio::task::spawn_blocking(start).await.unwrap();
    let _taken = async_nats::connect(full.address()).await.unwrap();
    let both = format!("{},{}", full.address(), berth.nats_url);
    for _ in 0..4 {
        Worker::start(config(&berth.database_url, &both, &berth.root)).await.unwrap().stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_can_be_stopped_while_it_waits_for_a_silent_server() {
    let berth = Berth::without_workers().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", silent.local_addr().unwrap());
    let stop = CancellationToken::new();
    let config = config(&berth.database_url, &url, &berth.root);
    let mut worker = tokio::spawn(berth::worker::run(config, Readiness::new(None), stop.clone()));
    let _connection = within("its connection", silent.accept()).await.unwrap();
    stop.cancel();
    within("its end", &mut worker).await.unwrap().unwrap(); // where it waits on, it ends with an error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_without_fsync_and_a_replica_are_refused() {
    let options = StackOptions { durable: false, ..StackOptions::ephemeral(Servers::find().unwrap()) };
    let mut stack = Stack::start(options).await.unwrap();
    let berth = Berth::on(stack.database_url(), stack.nats_url(), fresh_name()).await;
    let said = told(berth.config()).await;
    assert_eq!(said, "Postgres does not keep what it commits (fsync is off): turn it on");
    stack.kill_postgres().await.unwrap();
    std::fs::write(stack.data_dir().join("postgres/standby.signal"), "").unwrap();
    stack.start_postgres().await.unwrap();
    let said = told(berth.config()).await;
    assert_eq!(said, "Postgres is a replica (pg_is_in_recovery is true): point the worker at the primary");
    stack.stop().await.unwrap();
}
