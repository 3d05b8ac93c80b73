//! The example as a process of its own, a copy of this test binary, so that it can be stopped.

use std::process::Stdio;

use clap::Parser;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::example::{self, Args};
use crate::harness::{Berth, within};

/// Set in the copy: the example's arguments, one a line.
const ARGUMENTS: &str = "BERTH_TEST_HOLDER_ARGUMENTS";
/// What the example prints stands between two of these lines.
const MARK: &str = "--- the example";

#[tokio::test(flavor = "multi_thread")]
async fn the_example_is_run_by_a_copy_of_this_binary() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    let arguments = std::iter::once("lock").chain(arguments.lines());
    println!("\n{MARK}");
    let ran = example::run(Args::parse_from(arguments)).await;
    println!("{MARK}");
    ran.unwrap();
}

/// A running example.
pub struct Holder {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Holder {
    /// With these arguments, on a berth, as the tenant `acme`, writing into this database.
    pub async fn start(berth: &Berth, database_url: &str, arguments: &[&str]) -> Holder {
        let all = [arguments, &["--tenant", "acme", "--subject-root", &berth.root]].concat().join("\n");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "holder::the_example_is_run_by_a_copy_of_this_binary", "--nocapture"])
            .env(ARGUMENTS, all)
            .env("NATS_URL", &berth.nats_url)
            .env("DATABASE_URL", database_url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        while within("the example's start", output.next_line()).await.unwrap().unwrap() != MARK {}
        Holder { child, input, output }
    }

    /// The next line that it prints; `None` at its end.
    pub async fn line(&mut self) -> Option<String> {
        let line = within("a line of the example", self.output.next_line()).await.unwrap();
        line.filter(|line| line != MARK)
    }

    /// All that it prints from now on.
    pub async fn rest(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = self.line().await {
            lines.push(line);
        }
        lines
    }

    pub async fn press_enter(&mut self) {
        self.input.write_all(b"\n").await.unwrap();
    }

    /// SIGSTOP, and waits until it stands still.
    pub async fn stop(&self) {
        self.signal("STOP");
        let stat = format!("/proc/{}/stat", self.child.id().unwrap());
        let stands = || std::fs::read_to_string(&stat).unwrap().rsplit_once(") ").unwrap().1.starts_with('T');
        let stood = async {
            while !stands() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await; // another process: nothing to wait on
            }
        };
        within("a stop", stood).await;
    }

    pub fn wake(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        let status = std::process::Command::new("sh").args(["-c", r#"kill -s "$1" "$2""#, "kill", name, &pid]).status();
        assert!(status.unwrap().success());
    }
}
