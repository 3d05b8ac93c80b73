//! The stack that `berth dev` and the other tests run on, with real servers.
#![allow(clippy::unwrap_used)] // clippy spares only the tests themselves, not what they call

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use berth::cli::stack::{Servers, Stack, StackError, StackOptions};
use futures::StreamExt;
use sqlx::{Connection, PgConnection};

/// Set in a copy of this test binary: the folder in which it is to start a stack and wait to be killed.
const OWNER_OF: &str = "BERTH_TEST_OWNER_OF";
const EVENTUALLY: Duration = Duration::from_secs(20);

fn servers() -> Servers {
    Servers::find().unwrap()
}

/// The command lines that name the folder, with their process ids.
fn processes_of(folder: &Path) -> Vec<(String, String)> {
    let folder = folder.to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&folder) {
            found.push((entry.file_name().to_string_lossy().into_owned(), line));
        }
    }
    found
}

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + EVENTUALLY;
    while !is_so() {
        assert!(tokio::time::Instant::now() < deadline, "not so after {EVENTUALLY:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await; // other processes: nothing to wait on
    }
}

async fn rows(url: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar("select count(*) from kept").fetch_one(&mut connection).await.unwrap()
}

async fn add_row(url: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query("create table if not exists kept (id int)").execute(&mut connection).await.unwrap();
    sqlx::query("insert into kept values (1)").execute(&mut connection).await.unwrap();
}

async fn stream_of(url: &str) -> async_nats::jetstream::stream::Stream {
    let client = async_nats::connect(url).await.unwrap();
    let config = async_nats::jetstream::stream::Config {
        name: "KEPT".into(),
        subjects: vec!["kept".into()],
        ..Default::default()
    };
    async_nats::jetstream::new(client).get_or_create_stream(config).await.unwrap()
}

async fn publish(url: &str) {
    stream_of(url).await;
    let client = async_nats::connect(url).await.unwrap();
    async_nats::jetstream::new(client).publish("kept", "x".into()).await.unwrap().await.unwrap();
}

async fn messages(url: &str) -> u64 {
    stream_of(url).await.get_info().await.unwrap().state.messages
}

#[tokio::test]
async fn a_restart_keeps_ports_password_and_data() {
    let folder = tempfile::tempdir().unwrap();
    let options = StackOptions::new(folder.path().join("data"), servers());
    let stack = Stack::start(options.clone()).await.unwrap();
    let urls = (stack.database_url(), stack.nats_url());
    add_row(&urls.0).await;
    publish(&urls.1).await;
    stack.stop().await.unwrap();
    assert_eq!(processes_of(folder.path()), []);

    let stack = Stack::start(options).await.unwrap();
    assert_eq!((stack.database_url(), stack.nats_url()), urls);
    assert_eq!(rows(&urls.0).await, 1);
    assert_eq!(messages(&urls.1).await, 1);
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn killed_servers_come_back_on_the_same_ports_with_what_was_acknowledged() {
    let mut stack = Stack::start(StackOptions::ephemeral(servers())).await.unwrap();
    let (database_url, nats_url) = (stack.database_url(), stack.nats_url());
    let client = async_nats::connect(&nats_url).await.unwrap();
    add_row(&database_url).await;
    publish(&nats_url).await;

    let mut session = PgConnection::connect(&database_url).await.unwrap();
    stack.kill_postgres().await.unwrap();
    assert!(sqlx::query("select 1").execute(&mut session).await.is_err());
    stack.start_postgres().await.unwrap();
    assert_eq!(rows(&database_url).await, 1);

    stack.kill_nats().await.unwrap();
    assert!(async_nats::connect(&nats_url).await.is_err());
    stack.start_nats().await.unwrap();
    assert_eq!(messages(&nats_url).await, 1);
    client.flush().await.unwrap();
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn two_stacks_run_side_by_side_and_know_nothing_of_each_other() {
    let (one, two) = tokio::join!(
        Stack::start(StackOptions::ephemeral(servers())),
        Stack::start(StackOptions::ephemeral(servers()))
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    add_row(&one.database_url()).await;
    let mut other = PgConnection::connect(&two.database_url()).await.unwrap();
    assert!(sqlx::query("select * from kept").execute(&mut other).await.is_err());

    let listener = async_nats::connect(two.nats_url()).await.unwrap();
    let mut heard = listener.subscribe("here").await.unwrap();
    listener.flush().await.unwrap();
    let speaker = async_nats::connect(one.nats_url()).await.unwrap();
    speaker.publish("here", "one".into()).await.unwrap();
    speaker.flush().await.unwrap();
    listener.publish("here", "two".into()).await.unwrap();
    assert_eq!(heard.next().await.unwrap().payload, "two");

    tokio::try_join!(one.stop(), two.stop()).unwrap();
}

#[tokio::test]
async fn an_ephemeral_stack_leaves_nothing_whether_it_is_stopped_or_dropped() {
    let stack = Stack::start(StackOptions::ephemeral(servers())).await.unwrap();
    let folder = stack.data_dir().to_path_buf();
    stack.stop().await.unwrap();
    assert!(!folder.exists());

    let stack = Stack::start(StackOptions::ephemeral(servers())).await.unwrap();
    let folder = stack.data_dir().to_path_buf();
    drop(stack);
    eventually("the folder is gone", || !folder.exists()).await;
    eventually("the servers are gone", || processes_of(&folder).is_empty()).await;
}

#[tokio::test]
async fn a_second_stack_on_the_same_folder_is_refused_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let options = StackOptions::new(folder.path(), servers());
    let stack = Stack::start(options.clone()).await.unwrap();
    let refused = Stack::start(options).await.unwrap_err();
    assert!(matches!(&refused, StackError::InUse { owner, .. } if *owner == std::process::id().to_string()));
    assert_eq!(refused.to_string().lines().count(), 1);
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_port_that_was_asked_for_and_is_taken_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let options = StackOptions { nats_port: port, ..StackOptions::new(folder.path(), servers()) };
    let refused = Stack::start(options).await.unwrap_err();
    assert!(matches!(refused, StackError::PortTaken { server: "nats", port: named } if named == port));
    eventually("the servers are gone", || processes_of(folder.path()).is_empty()).await;
}

#[tokio::test]
async fn a_server_that_ends_by_itself_is_reported_with_the_end_of_its_log() {
    let mut stack = Stack::start(StackOptions::ephemeral(servers())).await.unwrap();
    let binary = servers().nats_server.to_string_lossy().into_owned();
    let (pid, _) = processes_of(stack.data_dir()).into_iter().find(|(_, line)| line.contains(&binary)).unwrap();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let failure = stack.failed().await;
    assert!(matches!(&failure, StackError::Exited { program: "nats", log_tail, .. } if log_tail.contains("nats.log")));
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn the_data_is_closed_to_others_and_a_wrong_password_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let stack = Stack::start(StackOptions::ephemeral(servers())).await.unwrap();
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(stack.data_dir().to_path_buf()), 0o700);
    assert_eq!(mode(stack.data_dir().join("postgres.password")), 0o600);
    let wrong = format!("postgres://berth:guess@127.0.0.1:{}/berth", stack.postgres_port());
    assert!(PgConnection::connect(&wrong).await.is_err());
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn durability_is_on_unless_it_was_given_up() {
    let kept = Stack::start(StackOptions::ephemeral(servers())).await.unwrap();
    let fast = StackOptions { durable: false, ..StackOptions::ephemeral(servers()) };
    let fast = Stack::start(fast).await.unwrap();
    for (stack, wanted) in [(&kept, "on"), (&fast, "off")] {
        let mut connection = PgConnection::connect(&stack.database_url()).await.unwrap();
        for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
            let found: String = sqlx::query_scalar("select current_setting($1)")
                .bind(setting)
                .fetch_one(&mut connection)
                .await
                .unwrap();
            assert_eq!(found, wanted, "{setting}");
        }
    }
    tokio::try_join!(kept.stop(), fast.stop()).unwrap();
}

/// Not a test of its own: what the copy of this binary does that the next tests kill.
#[tokio::test]
async fn the_owner_of_a_stack_waits_to_be_killed() {
    let Some(folder) = std::env::var_os(OWNER_OF) else { return };
    let folder = Path::new(&folder);
    let stack = Stack::start(StackOptions::new(folder, servers())).await.unwrap();
    std::fs::write(folder.join("started.new"), stack.database_url()).unwrap();
    std::fs::rename(folder.join("started.new"), folder.join("started")).unwrap();
    std::future::pending::<()>().await;
}

/// A copy of this binary that owns a stack in the folder, and the stack's database.
async fn other_owner(folder: &Path) -> (Child, String) {
    let started = folder.join("started");
    let _ = std::fs::remove_file(&started);
    let owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_owner_of_a_stack_waits_to_be_killed"])
        .env(OWNER_OF, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the stack of the other process is up", || started.exists()).await;
    (owner, std::fs::read_to_string(&started).unwrap())
}

#[tokio::test]
async fn a_killed_owner_leaves_no_server_and_the_folder_can_be_used_again_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (mut owner, url) = other_owner(folder.path()).await;
    add_row(&url).await;
    assert!(processes_of(folder.path()).len() >= 2, "{:?}", processes_of(folder.path()));
    owner.kill().unwrap();
    owner.wait().unwrap();

    let stack = Stack::start(StackOptions::new(folder.path(), servers())).await.unwrap();
    assert_eq!(stack.database_url(), url, "the port is free again: the first server has ended");
    assert_eq!(rows(&url).await, 1);
    stack.stop().await.unwrap();

    let (mut owner, _) = other_owner(folder.path()).await;
    owner.kill().unwrap();
    owner.wait().unwrap();
    eventually("the servers are gone", || processes_of(folder.path()).is_empty()).await;
}

#[tokio::test]
async fn servers_whose_watchdog_was_killed_too_are_ended_by_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let (mut owner, url) = other_owner(folder.path()).await;
    let watchdog = std::fs::read_dir(format!("/proc/{}/task", owner.id()))
        .unwrap()
        .map(|task| std::fs::read_to_string(task.unwrap().path().join("children")).unwrap())
        .flat_map(|children| children.split_whitespace().map(String::from).collect::<Vec<_>>())
        .find(|pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "sh"))
        .unwrap();
    assert!(Command::new("kill").args(["-9", &watchdog]).status().unwrap().success());
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(!processes_of(folder.path()).is_empty());

    let stack = Stack::start(StackOptions::new(folder.path(), servers())).await.unwrap();
    assert_eq!(stack.database_url(), url, "the port is free again: the first server has ended");
    stack.stop().await.unwrap();
    assert_eq!(processes_of(folder.path()), []);
}
