//! A worker as a process of its own, so that it can be killed, stopped and told to end.

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::watch;

use crate::harness::{Berth, within};

/// Between two looks at what can't be awaited.
pub const POLL: Duration = Duration::from_millis(20);

/// Ends the worker when the test run ends, however it ends: then nobody holds the other end of its input.
const GUARD: &str = r#"cat > /dev/null; kill -s KILL "$1" 2> /dev/null"#;

/// A running worker. What it logs is shown where the test fails.
pub struct WorkerProcess {
    child: Child,
    _guard: Child,
    log: watch::Receiver<String>,
    http: SocketAddr,
}

impl WorkerProcess {
    /// On the servers of the berth; returns when it takes requests.
    pub async fn start(berth: &Berth) -> WorkerProcess {
        WorkerProcess::start_on(berth, &berth.database_url, &berth.nats_url).await
    }

    /// The same by other addresses: those of a tap.
    pub async fn start_on(berth: &Berth, database_url: &str, nats_url: &str) -> WorkerProcess {
        let mut child = Command::new(env!("CARGO_BIN_EXE_berth"))
            .args(["worker", "--database-url", database_url, "--nats-url", nats_url])
            .args(["--subject-root", &berth.root, "--http-addr", "127.0.0.1:0", "--deciders", "2"])
            .args(["--homes", &berth.homes.to_string()])
            .env("BERTH_LOG", "json")
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let guard = Command::new("sh")
            .args(["-c", GUARD, "guard", &child.id().unwrap().to_string()])
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut log = follow(child.stderr.take().unwrap());
        let served = within("a worker's start", log.wait_for(|log| address(log).is_some())).await;
        let http = served.ok().and_then(|log| address(&log));
        let Some(http) = http else { panic!("the worker did not start:\n{}", *log.borrow()) };
        let worker = WorkerProcess { child, _guard: guard, log, http };
        worker.until_ready(true).await;
        worker
    }

    /// `kill -9`, and waits until it is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        let status = std::process::Command::new("sh").args(["-c", r#"kill -s "$1" "$2""#, "kill", name, &pid]).status();
        assert!(status.unwrap().success());
    }

    /// SIGSTOP, and waits until it stands still.
    pub async fn freeze(&self) {
        self.signal("STOP");
        let stat = format!("/proc/{}/stat", self.child.id().unwrap());
        let stands = || std::fs::read_to_string(&stat).unwrap().rsplit_once(") ").unwrap().1.starts_with('T');
        within("a stop", until(async || stands())).await;
    }

    /// Waits until it has ended by itself; gives its status and its log.
    pub async fn ended(mut self) -> (ExitStatus, String) {
        let status = within("the worker's end", self.child.wait()).await.unwrap();
        // The log is whole when nobody writes it any more.
        while within("the end of the log", self.log.changed()).await.is_ok() {}
        (status, self.log.borrow().clone())
    }

    /// SIGTERM, and waits until it has ended in order.
    pub async fn stop(self) {
        self.signal("TERM");
        let (status, log) = self.ended().await;
        assert!(status.success(), "{status}\n{log}");
    }

    /// Waits until `GET /ready` says whether it takes requests.
    /// A worker that is gone is not ready: it may have been seen last while it was.
    pub async fn until_ready(&self, is_ready: bool) {
        within("readiness", until(async || self.is_ready().await.unwrap_or(false) == is_ready)).await;
    }

    async fn is_ready(&self) -> std::io::Result<bool> {
        let mut connection = TcpStream::connect(self.http).await?;
        connection.write_all(b"GET /ready HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        Ok(answer.starts_with("HTTP/1.1 200 "))
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- a worker's log:\n{}", *self.log.borrow());
        }
    }
}

/// Looks again and again until it is so.
pub async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    while !is_so().await {
        tokio::time::sleep(POLL).await;
    }
}

/// What it logs, as it grows.
fn follow(stderr: ChildStderr) -> watch::Receiver<String> {
    let (sender, log) = watch::channel(String::new());
    tokio::spawn(async move {
        let mut lines = BufReader::new(stderr).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            sender.send_modify(|log| *log = format!("{log}{line}\n"));
        }
    });
    log
}

/// Where it serves its health, once it has said so.
fn address(log: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.contains(r#""message":"serving""#))?;
    let line: Value = serde_json::from_str(line).ok()?;
    line["address"].as_str()?.parse().ok()
}
