//! The README, pasted block by block into a shell, on a `berth dev` of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::book::{Block, blocks, commands, page};
use crate::harness::within;
use crate::nats_command::{self, Asked};
use crate::shell::{Home, Shell};
use crate::shown::compare;

const PROGRAM: &str = env!("CARGO_BIN_EXE_berth");

/// `berth dev`, as `make run` starts it, and what it says to its user.
struct Dev {
    process: Child,
    nats_url: String,
    database_url: String,
}

impl Dev {
    async fn start(folder: &Path) -> Dev {
        let mut process = Command::new(PROGRAM)
            .arg("dev")
            .arg("--data-dir")
            .arg(folder.join("data"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
        let database_url = until(&mut output, "DATABASE_URL").await;
        let nats_url = until(&mut output, "export NATS_URL=").await;
        tokio::spawn(async move { while let Ok(Some(_)) = output.next_line().await {} });
        Dev { process, nats_url, database_url }
    }

    async fn stop(mut self) {
        stop(&mut self.process).await;
    }
}

/// What stands behind a mark in the first line that has it.
async fn until(lines: &mut Lines<impl AsyncBufRead + Unpin>, mark: &str) -> String {
    loop {
        let line = within(mark, lines.next_line()).await.unwrap().unwrap_or_else(|| panic!("no line with {mark}"));
        if let Some((_, behind)) = line.split_once(mark) {
            return behind.trim().to_owned();
        }
    }
}

/// SIGTERM, and the process ends by itself, with success.
async fn stop(process: &mut Child) {
    let id = process.id().unwrap().to_string();
    assert!(Command::new("kill").arg(id).status().await.unwrap().success());
    assert!(within("the end of a process", process.wait()).await.unwrap().success());
}

/// The folder that the reader is in: the program where `cargo build --release` puts it.
fn home(folder: PathBuf, dev: &Dev) -> Home {
    for part in ["bin", "target/release"] {
        std::fs::create_dir_all(folder.join(part)).unwrap();
    }
    std::os::unix::fs::symlink(PROGRAM, folder.join("target/release/berth")).unwrap();
    let variables = vec![("NATS_URL", dev.nats_url.clone()), ("DATABASE_URL", dev.database_url.clone())];
    Home { folder, variables }
}

/// Whatever runs beside the reader's shell.
struct Beside {
    process: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Beside {
    /// Started and waited for: `mark` is what it says once it does its work.
    async fn start(home: &Home, block: &Block, mark: &str) -> Beside {
        assert_eq!(commands(&block.text).len(), 1, "line {}: one command", block.line);
        let mut process = home.beside("export PATH=\"$PWD/target/release:$PATH\"; ", &block.text);
        let output = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut errors = BufReader::new(process.stderr.take().unwrap()).lines();
        until(&mut errors, mark).await;
        tokio::spawn(async move { while let Ok(Some(_)) = errors.next_line().await {} });
        Beside { process, output }
    }

    /// Each line that the page shows is printed, and no other; events of different lanes may overtake each other.
    async fn shows(&mut self, block: &Block) {
        let mut shown: Vec<&str> = block.text.lines().collect();
        while !shown.is_empty() {
            let what = format!("a line of {shown:#?}");
            let printed = within(&what, self.output.next_line()).await.unwrap().unwrap();
            let found = shown.iter().position(|line| compare(line, &printed).is_ok());
            let found = found.unwrap_or_else(|| panic!("line {}: not shown: {printed}\n{shown:#?}", block.line));
            shown.remove(found);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_readme_prints_what_the_readme_shows() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path()).await;
    let home = home(folder.path().to_owned(), &dev);
    let client = async_nats::connect(&dev.nats_url).await.unwrap();
    let asked = nats_command::install(&home.folder.join("bin"), client).await;
    let mut shell = Shell::start(&home).await;
    let mut watch = None;
    let text = page("README.md");
    let mut faults = String::new();
    let mut printed = String::new();
    for block in blocks(&text) {
        let words: Vec<&str> = block.words.iter().map(String::as_str).collect();
        match (block.language.as_str(), words.as_slice()) {
            ("text", []) => {} // a picture
            ("bash", ["skip"]) => check_targets(&block),
            ("bash", ["background"]) => watch = Some(Beside::start(&home, &block, "watching").await),
            ("bash", ["worker"]) => {
                let mut worker = Beside::start(&home, &block, "serving").await;
                stop(&mut worker.process).await;
            }
            ("bash", [] | ["nats"]) => {
                printed = shell.run(&block.text).await;
                if printed.contains("failed with") {
                    faults.push_str(&format!("line {}:\n{printed}\n", block.line));
                }
            }
            ("text", ["output"]) => {
                if let Err(difference) = compare(&block.text, &printed) {
                    faults.push_str(&format!("line {}:\n{difference}\n", block.line));
                }
            }
            ("text", ["output=background"]) => watch.as_mut().unwrap().shows(&block).await,
            _ => panic!("line {}: what is to be done with this block?", block.line),
        }
    }
    assert!(faults.is_empty(), "the README shows (-) what was not printed (+)\n{faults}");

    check_answers(&text, &asked);
    stop(&mut watch.unwrap().process).await;
    dev.stop().await;
}

/// Each `nats request` of the page was answered, and none was refused.
fn check_answers(text: &str, asked: &Asked) {
    let blocks = blocks(text);
    let wanted: usize = blocks.iter().filter(|it| it.is("bash", "nats")).map(|it| commands(&it.text).len()).sum();
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), wanted, "each `nats request` was answered");
    for (subject, answer) in asked.iter() {
        let error = answer.headers.as_ref().and_then(|headers| headers.get("Nats-Service-Error"));
        assert!(error.is_none(), "{subject}: {error:?}");
    }
}

/// What the test does not run, because it would run itself: `make run` is `berth dev`, and `make test` is there.
fn check_targets(block: &Block) {
    let root = env!("CARGO_MANIFEST_DIR");
    let makefile = page("Makefile");
    for command in commands(&block.text) {
        let target = command.strip_prefix("make ").and_then(|rest| rest.split_whitespace().next());
        let target = target.unwrap_or_else(|| panic!("line {}: {command}: only make is not run", block.line));
        assert!(makefile.lines().any(|line| line.starts_with(&format!("{target}:"))), "no target {target}");
    }
    let plan = std::process::Command::new("make").args(["-n", "run"]).current_dir(root).output().unwrap();
    assert!(plan.status.success(), "{plan:?}");
    assert!(String::from_utf8_lossy(&plan.stdout).contains("berth dev"), "{plan:?}");
}
