//! Who has lost a lock and does not know it does no harm: its old token is refused wherever it is looked at.

use std::process::Stdio;

use berth::cli::stack::Servers;
use serde_json::{Value, json};
use sqlx::Executor;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::checker::check_locks;
use crate::crashes::process::until;
use crate::harness::{Berth, within};

/// Takes the lock, says so, waits for a word, and then writes with the token that it was given.
const HOLDER: &str = r#"
    taken=$("$BERTH" request lock '{"requester":"frozen","resource":"table","ttl_seconds":2}' --tenant acme) || exit
    fence=$(printf %s "$taken" | tr -d ' \n' | sed 's/.*"fencing_token":\([0-9]*\).*/\1/')
    printf '%s\n' "$taken" | tr -d '\n'; echo
    read -r go
    "$PSQL" -X -q -t -A "$DATABASE_URL" \
        -c "update guarded set value = 'late', fence = $fence where fence <= $fence returning value"
    echo written
"#;

struct Holder {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Holder {
    fn start(berth: &Berth) -> Holder {
        let psql = Servers::find().unwrap().postgres_bin_dir.join("psql");
        let mut child = Command::new("bash")
            .args(["-c", HOLDER])
            .env("BERTH", env!("CARGO_BIN_EXE_berth"))
            .env("PSQL", psql)
            .env("DATABASE_URL", &berth.database_url)
            .env("NATS_URL", &berth.nats_url)
            .env("BERTH_SUBJECT_ROOT", &berth.root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Holder { child, output }
    }

    async fn taken(&mut self) -> Value {
        let mut line = String::new();
        within("the holder's lock", self.output.read_line(&mut line)).await.unwrap();
        serde_json::from_str(&line).unwrap()
    }

    async fn freeze(&self) {
        self.signal("STOP");
        let stat = format!("/proc/{}/stat", self.child.id().unwrap());
        let stands = || std::fs::read_to_string(&stat).unwrap().rsplit_once(") ").unwrap().1.starts_with('T');
        within("a stop", until(async || stands())).await;
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        let status = std::process::Command::new("sh").args(["-c", r#"kill -s "$1" "$2""#, "kill", name, &pid]).status();
        assert!(status.unwrap().success());
    }

    async fn tell(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"go\n").await.unwrap();
    }

    /// All that it says until it ends.
    async fn rest(mut self) -> String {
        let mut rest = String::new();
        within("the holder's end", self.output.read_to_string(&mut rest)).await.unwrap();
        rest
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_stood_still_past_its_time_writes_nothing_when_it_wakes_up() {
    let berth = Berth::with_workers(2).await;
    let sql = berth.sql().await;
    sql.execute("create table guarded (value text not null, fence bigint not null)").await.unwrap();
    sql.execute("insert into guarded values ('first', 0)").await.unwrap();
    let mut events = berth.events().await;
    let mut holder = Holder::start(&berth);
    let old = holder.taken().await;
    assert_eq!(old["status"], "ACQUIRED");
    holder.freeze().await;
    holder.tell().await; // from here on nothing but the stop keeps it from writing

    assert_eq!(events.kinds(2).await, ["active", "expired"]);
    let new = berth.locked("awake", "table", json!({})).await;
    assert!(new["fencing_token"].as_i64() > old["fencing_token"].as_i64());
    let write = "update guarded set value = 'new', fence = $1 where fence <= $1";
    let written = sqlx::query(write).bind(new["fencing_token"].as_i64()).execute(&sql).await.unwrap();
    assert_eq!(written.rows_affected(), 1);

    holder.signal("CONT");
    assert_eq!(holder.rest().await, "written\n", "no row was written");
    let value: String = sqlx::query_scalar("select value from guarded").fetch_one(&sql).await.unwrap();
    assert_eq!(value, "new");
    for (taken, is_current) in [(&old, false), (&new, true)] {
        let body = json!({"resource": "table", "fencing_token": taken["fencing_token"]});
        assert_eq!(berth.ask("verify", body).await.ok()["current"], is_current);
    }
    assert_eq!(berth.unlock(&old).await["status"], "DOESNT_OWN_RESERVATION");
    assert_eq!(berth.check_one("table").await["holder"], "awake");
    check_locks(&berth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_of_an_earlier_tenure_releases_and_renews_nothing() {
    let berth = Berth::with_workers(2).await;
    let first = berth.locked("a", "r", json!({})).await;
    berth.unlock(&first).await;
    let second = berth.locked("a", "r", json!({})).await;
    assert_ne!(second["release_token"], first["release_token"]);
    for _ in 0..4 {
        assert_eq!(berth.unlock(&first).await["status"], "DOESNT_OWN_RESERVATION");
        let renewal = json!({"resource": "r", "release_token": first["release_token"], "ttl_seconds": 60});
        assert_eq!(berth.ask("renew", renewal).await.ok()["status"], "DOESNT_OWN_RESERVATION");
    }
    let had = berth.lock("a", "r", json!({})).await;
    assert_eq!((&had["status"], &had["fencing_token"]), (&json!("ALREADY_HAD"), &second["fencing_token"]));
    assert_eq!(berth.unlock(&second).await["status"], "RELINQUISHED");
    assert_eq!(berth.unlock(&second).await["status"], "NOT_RESERVED");
    check_locks(&berth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fences_rise_through_release_expiry_registration_and_another_worker() {
    let mut berth = Berth::start().await;
    let mut last = 0;
    let mut rises = async |berth: &Berth, more: Value| {
        let taken = berth.locked("a", "r", more).await;
        let fence = taken["fencing_token"].as_i64().unwrap();
        assert!(fence > last, "{fence} after {last}");
        last = fence;
        taken
    };
    let taken = rises(&berth, json!({})).await;
    berth.unlock(&taken).await;
    let mut events = berth.events().await;
    events.take(2).await;
    rises(&berth, json!({"ttl_seconds": 1})).await;
    assert_eq!(events.kinds(2).await, ["active", "expired"]);
    berth.register(json!({"name": "r", "capacity": 2})).await;
    let taken = rises(&berth, json!({})).await;
    berth.unlock(&taken).await;
    berth.register(json!({"name": "r"})).await;
    berth.workers.remove(0).stop().await;
    berth.add_worker().await;
    rises(&berth, json!({})).await;
    check_locks(&berth).await;
}
