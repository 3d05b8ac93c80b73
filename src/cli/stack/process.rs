//! Child processes that never outlive us, however we end.
//!
//! Every child has a process group of its own, so that Ctrl-C in a terminal reaches only us and we end the children
//! in order. A watchdog, a few lines of `sh`, reads from a pipe whose other end only we hold: when it closes, by
//! [`Watchdog::end`], by a drop, or because we were killed, the watchdog ends the servers. A server starts running
//! only after the watchdog was told of it, so there is no moment at which it could be left behind.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Between two looks at a process or a port.
pub(super) const POLL: Duration = Duration::from_millis(15);

/// Waits to be told, then becomes the program; ends where the teller is gone.
const GATE: &str = r#"read -r go && exec "$@" </dev/null"#;

/// `std::process` on purpose: a stack is often shared by tests that have a tokio runtime each.
#[derive(Debug)]
pub(super) struct Watchdog {
    shell: Child,
    pipe: Option<ChildStdin>,
    /// Name of the server: signal that ends it, process id.
    watched: BTreeMap<&'static str, (&'static str, u32)>,
}

impl Watchdog {
    /// `held` stays open until the watchdog has done its work: a lock on it tells others that servers may still run.
    /// `ephemeral`: the folder to remove in the end.
    pub(super) fn start(held: File, ephemeral: Option<&Path>) -> io::Result<Watchdog> {
        let mut shell = Command::new("sh")
            .args(["-c", include_str!("watchdog.sh"), "berth-watchdog"])
            .arg(ephemeral.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(held)
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let pipe = shell.stdin.take();
        Ok(Watchdog { shell, pipe, watched: BTreeMap::new() })
    }

    /// Starts `program` under watch. `name` replaces an earlier one of that name; `signal` (`INT`, `TERM`, …) ends it.
    pub(super) fn spawn(
        &mut self,
        name: &'static str,
        signal: &'static str,
        program: &[&std::ffi::OsStr],
        log: File,
    ) -> io::Result<Child> {
        let mut child = Command::new("sh")
            .args(["-c", GATE, name])
            .args(program)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        self.watched.insert(name, (signal, child.id()));
        self.tell()?;
        if let Some(mut gate) = child.stdin.take() {
            gate.write_all(b"go\n")?;
        }
        Ok(child)
    }

    /// The process of that name has ended and was collected: its id may belong to another soon.
    pub(super) fn forget(&mut self, name: &'static str) -> io::Result<()> {
        self.watched.remove(name);
        self.tell()
    }

    fn tell(&mut self) -> io::Result<()> {
        let pairs: Vec<String> = self.watched.values().map(|(signal, pid)| format!("{signal} {pid}")).collect();
        match &mut self.pipe {
            Some(pipe) => pipe.write_all(format!("{}\n", pairs.join(" ")).as_bytes()),
            None => Ok(()),
        }
    }

    /// Has the watchdog end what it watches; returns when it is done.
    pub(super) async fn end(mut self) -> io::Result<()> {
        self.pipe = None;
        exited(&mut self.shell).await.map(|_| ())
    }
}

/// Waits until `child` has ended.
pub(super) async fn exited(child: &mut Child) -> io::Result<ExitStatus> {
    loop {
        match child.try_wait()? {
            Some(status) => return Ok(status),
            None => tokio::time::sleep(POLL).await,
        }
    }
}

/// Kills `child` and its children at once (SIGKILL), as the machine's end would. The parent is stopped first, so that
/// it starts none meanwhile. Postgres gives each backend a group of its own: a signal to the group would miss them.
pub(super) async fn kill_tree(child: &mut Child) -> io::Result<()> {
    let parent = child.id();
    signal("STOP", &[parent])?;
    while state(parent).is_some_and(|state| state != 'T' && state != 'Z') {
        tokio::time::sleep(POLL).await;
    }
    let below = children(parent);
    signal("KILL", &[below.as_slice(), &[parent]].concat())?;
    exited(child).await?;
    while below.iter().any(|pid| is_alive(*pid)) {
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// Sends a signal by name; a process that is gone already is no error.
pub(super) fn signal(name: &str, pids: &[u32]) -> io::Result<()> {
    let pids = pids.iter().map(u32::to_string);
    let script = r#"name=$1; shift; for pid; do kill -s "$name" "$pid" 2>/dev/null; done; true"#;
    Command::new("sh").args(["-c", script, "kill", name]).args(pids).status().map(|_| ())
}

/// Where the kernel does not list them: none, and they notice the end of their parent by themselves.
fn children(parent: u32) -> Vec<u32> {
    let listed = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Neither gone nor a zombie that its new parent has not collected yet. False where there is no `/proc`.
pub(super) fn is_alive(pid: u32) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

/// `R`, `S`, `T`, `Z`, …: the letter behind the program's name, which may itself hold parentheses.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// The live process in a file that begins with its id, where its command line names `folder`: a server that was left
/// behind because its watchdog was killed too. Only where there is a `/proc`.
pub(super) fn left_behind(pid_file: &Path, folder: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(pid_file).ok()?;
    let pid: u32 = text.lines().next()?.trim().parse().ok()?;
    let command_line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let names_it = String::from_utf8_lossy(&command_line).contains(&*folder.to_string_lossy());
    (names_it && is_alive(pid)).then_some(pid)
}

/// Ends a process that is not our child, and waits until it is gone.
pub(super) async fn end_left_behind(pid: u32, name: &str) -> io::Result<()> {
    signal(name, &[pid])?;
    while is_alive(pid) {
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}
