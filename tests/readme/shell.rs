//! A bash into which the page's blocks go one after the other, as a reader pastes them.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::harness::within;

/// Printed behind each block; no command prints it.
const END: &str = "\u{1e}";

/// A home of its own with the variables that a reader has set, and the program where `make run` puts it.
pub struct Home {
    pub folder: PathBuf,
    pub variables: Vec<(&'static str, String)>,
}

impl Home {
    pub fn bash(&self) -> Command {
        let path = format!("{}:{}", self.folder.join("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc"]).env_clear().current_dir(&self.folder);
        command.env("PATH", path).env("HOME", &self.folder).envs(self.variables.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// A command that runs beside the others: its block must be that one command.
    pub fn beside(&self, before: &str, block: &str) -> Child {
        self.bash().args(["-c", &format!("{before}exec {block}")]).spawn().unwrap()
    }
}

pub struct Shell {
    _process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    script: PathBuf,
}

impl Shell {
    /// A command that fails, and is not looked at by the block itself (`||`), prints a line that says so.
    pub async fn start(home: &Home) -> Shell {
        let mut process = home.bash().stdin(Stdio::piped()).spawn().unwrap();
        let mut input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap()).lines();
        let setup = "exec 2>&1\nset -E\ntrap 'printf \"failed with %s: %s\\n\" \"$?\" \"$BASH_COMMAND\"' ERR\n";
        input.write_all(setup.as_bytes()).await.unwrap();
        Shell { _process: process, input, output, script: home.folder.join("block.sh") }
    }

    /// Runs a block to its end: what it printed on both outputs.
    pub async fn run(&mut self, block: &str) -> String {
        std::fs::write(&self.script, block).unwrap();
        let line = format!("source {} </dev/null; printf '\\n{END}\\n'\n", quoted(&self.script));
        self.input.write_all(line.as_bytes()).await.unwrap();
        let mut printed = String::new();
        while let Some(line) = within("a block's output", self.output.next_line()).await.unwrap() {
            if line == END {
                return printed;
            }
            printed.push_str(&line);
            printed.push('\n');
        }
        panic!("the shell ended: {printed}");
    }
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}
