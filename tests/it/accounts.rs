//! Each tenant in a NATS account of its own, with the configuration that is deployed.

use std::process::{Command, Output};

use crate::harness::{Berth, Worker, config, hours_from_now, within};
use crate::nats_server::NatsServer;

const PASSWORDS: [(&str, &str); 4] = [
    ("BERTH_WORKER_PASSWORD", "w:s@cret"),
    ("BERTH_OPERATOR_PASSWORD", "of-the-operator"),
    ("BERTH_AUDITOR_PASSWORD", "of-the-auditor"),
    ("BERTH_ACME_PASSWORD", "of-acme"),
];

struct Server {
    nats: NatsServer,
    _store: Option<tempfile::TempDir>,
}

impl Server {
    fn with_accounts() -> Server {
        let store = tempfile::tempdir().unwrap();
        let deployed = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/nats-accounts.conf");
        let here = std::fs::read_to_string(deployed)
            .unwrap()
            .replace("0.0.0.0:4222", "127.0.0.1:-1")
            .replace("127.0.0.1:8222", "127.0.0.1:-1")
            .replace("\"/data\"", &format!("{:?}", store.path()));
        let path = store.path().join("nats.conf");
        std::fs::write(&path, here).unwrap();
        Server { nats: NatsServer::start_with(&["-c", path.to_str().unwrap()], &PASSWORDS), _store: Some(store) }
    }

    fn with_token(token: &str) -> Server {
        Server { nats: NatsServer::start(&["--auth", token]), _store: None }
    }

    fn url(&self, login: &str) -> String {
        format!("nats://{login}@{}", self.nats.address())
    }

    /// The command line, as this user.
    async fn request(&self, login: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
        command.arg("request").args(arguments).args(["--timeout", "5s"]).env("NATS_URL", self.url(login));
        let run = tokio::task::spawn_blocking(move || command.output().unwrap());
        within("an answer", run).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_log_in_by_password_and_a_tenant_reserves_in_its_own_name_only() {
    let server = tokio::task::spawn_blocking(Server::with_accounts).await.unwrap();
    let berth = Berth::without_workers().await;
    let mut config = config(&berth.database_url, &server.url("worker:w%3As%40cret"), "berth");
    config.inbox_prefixes = vec!["_INBOX".to_owned(), "_R_".to_owned()];
    let worker = Worker::start(config).await.unwrap();

    let put = server.request("operator:of-the-operator", &["pool_put", r#"{"pool":"gpu","capacity":8}"#]).await;
    assert!(put.status.success(), "{put:?}");
    let body = format!(
        r#"{{"pool":"gpu","start_time":"{}","end_time":"{}","quantity":2}}"#,
        hours_from_now(1),
        hours_from_now(2)
    );
    let reserved = server.request("acme:of-acme", &["--tenant", "acme", "reserve", &body]).await;
    assert!(reserved.status.success(), "{reserved:?}");
    let as_another = server.request("acme:of-acme", &["--tenant", "other", "reserve", &body]).await;
    assert!(!as_another.status.success(), "{as_another:?}");
    let wrong = server.request("acme:guessed", &["--tenant", "acme", "reserve", &body]).await;
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert!(!wrong.status.success() && said.contains("authorization") && !said.contains("guessed"), "{said}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_the_url_logs_in() {
    let server = tokio::task::spawn_blocking(|| Server::with_token("s/cret")).await.unwrap();
    let asked = server.request("s%2Fcret", &["quota", "{}"]).await;
    let said = String::from_utf8_lossy(&asked.stderr);
    assert!(said.contains("nobody serves"), "logged in, and found no worker: {said}");
    let refused = server.request("guessed", &["quota", "{}"]).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("authorization"), "{refused:?}");
}
