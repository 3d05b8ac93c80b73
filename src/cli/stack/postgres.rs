//! The private Postgres: made with `initdb`, started on the loopback address, reached with a password.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::StackError;
use crate::clock;

pub(super) const USER: &str = "berth";
const MAJOR: &str = "18";
/// `nobody` on every Linux.
const NOBODY: u32 = 65_534;

/// Postgres refuses to run as root, and `initdb` as a user without a name. Both then start it as `nobody`, who can
/// still use our folders, wherever the project lies. The process keeps its id, so that it can be watched and killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunAs {
    Ourselves,
    /// A user namespace in which we are called `nobody`. Files stay ours.
    Namespace,
    /// The real `nobody`, who owns the data and keeps the capability to pass through root's folders. Containers mostly
    /// refuse user namespaces and allow this.
    Nobody,
}

impl RunAs {
    /// Tries what works here with the very program and folder.
    pub(super) fn choose(bin_dir: &Path, data_dir: &Path) -> Result<RunAs, StackError> {
        let user = Command::new("sh").args(["-c", r#"[ "$(id -u)" != 0 ] && id -un"#]).stderr(Stdio::null()).output();
        if user.is_ok_and(|user| user.status.success()) {
            return Ok(RunAs::Ourselves);
        }
        let works = |run_as: &RunAs| {
            let mut command = Command::new(run_as.words()[0]);
            command.args(&run_as.words()[1..]);
            command.args(["sh", "-c", r#"id -un && [ -x "$1/postgres" ] && [ -w "$2" ]"#, "sh"]);
            let status = command.args([bin_dir, data_dir]).stdout(Stdio::null()).stderr(Stdio::null()).status();
            status.is_ok_and(|status| status.success())
        };
        [RunAs::Namespace, RunAs::Nobody].into_iter().find(works).ok_or(StackError::NotAsRoot)
    }

    /// What stands before the program. `no_setuid_fixup`: Postgres looks for itself with access(2), which otherwise
    /// forgets the capability.
    fn words(self) -> &'static [&'static str] {
        match self {
            RunAs::Ourselves => &[],
            RunAs::Namespace => &["unshare", "--user", "--map-user=65534"],
            RunAs::Nobody => &[
                "setpriv",
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "--inh-caps=+dac_override",
                "--ambient-caps=+dac_override",
                "--securebits=+no_setuid_fixup",
            ],
        }
    }

    /// Postgres insists on owning its folder; another way of running may have left it to another.
    fn own(self, folder: &Path) -> io::Result<()> {
        let owner = match self {
            RunAs::Ourselves => return Ok(()),
            RunAs::Namespace => fs::metadata(folder.parent().unwrap_or(folder))?.uid(),
            RunAs::Nobody => NOBODY,
        };
        if fs::metadata(folder)?.uid() == owner {
            return Ok(());
        }
        let status = Command::new("chown").args(["-R", &owner.to_string(), "--"]).arg(folder).status()?;
        if status.success() { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

/// A command line as the words of a process.
pub(super) type Words = Vec<OsString>;

/// Where things lie in the data folder of a stack, and how Postgres is run there.
#[derive(Clone, Debug)]
pub(super) struct Postgres {
    pub(super) bin_dir: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) run_as: RunAs,
    pub(super) password: String,
}

impl Postgres {
    pub(super) fn new(bin_dir: &Path, data_dir: &Path) -> Result<Postgres, StackError> {
        let run_as = RunAs::choose(bin_dir, data_dir)?;
        let password = password(&data_dir.join("postgres.password")).map_err(StackError::folder(data_dir))?;
        Ok(Postgres { bin_dir: bin_dir.to_path_buf(), folder: data_dir.join("postgres"), run_as, password })
    }

    /// Where the cluster is made, to be renamed when it is whole.
    fn unfinished(&self) -> PathBuf {
        self.folder.with_extension("new")
    }

    /// The command line of `initdb`, or `None` where there is a cluster already; of this version, or it is an error.
    ///
    /// Password rather than trust: the port is open to every user of the machine, and a superuser's session runs
    /// programs as us. The password is long and random, so hashing it more than once would only slow connecting down.
    pub(super) fn initdb(&self, durable: bool) -> Result<Option<Words>, StackError> {
        match fs::read_to_string(self.folder.join("PG_VERSION")) {
            Ok(version) if version.trim() == MAJOR => return Ok(None),
            Ok(version) => {
                let found = version.trim().to_owned();
                return Err(StackError::OtherVersion { folder: self.folder.clone(), found });
            }
            Err(_) => {}
        }
        let unfinished = self.unfinished();
        let prepare = || {
            if unfinished.exists() {
                fs::remove_dir_all(&unfinished)?;
            }
            fs::create_dir(&unfinished)?;
            self.run_as.own(&unfinished)
        };
        prepare().map_err(StackError::folder(&unfinished))?;

        let mut words = self.words("initdb");
        words.extend(["--pgdata".into(), unfinished.into(), "--pwfile".into()]);
        words.push(self.folder.with_extension("password").into());
        let plain = ["--auth=scram-sha-256", "--set=scram_iterations=1", "--no-instructions", "--encoding=UTF8"];
        words.extend(plain.map(OsString::from));
        words.extend(["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"].map(OsString::from));
        words.push(format!("--username={USER}").into());
        if !durable {
            words.push("--no-sync".into());
        }
        Ok(Some(words))
    }

    /// `initdb` has succeeded: from now on there is a cluster.
    pub(super) fn made(&self) -> io::Result<()> {
        fs::rename(self.unfinished(), &self.folder)
    }

    /// The command line of the server. Small where a test runs it. `durable`: syncs, as is Postgres's own default, and has
    /// memory for the index of 10,000,000 receipts, of which every request touches another page; it is only taken as
    /// it is used.
    pub(super) fn server(&self, port: u16, durable: bool) -> Result<Words, StackError> {
        self.run_as.own(&self.folder).map_err(StackError::folder(&self.folder))?;
        let mut words = self.words("postgres");
        words.extend(["-D".into(), self.folder.clone().into()]);
        let mut settings = vec![
            format!("port={port}"),
            "listen_addresses=127.0.0.1".into(),
            "unix_socket_directories=".into(),
            "max_connections=200".into(),
            format!("shared_buffers={}", if durable { "1GB" } else { "256MB" }),
            "max_wal_size=4GB".into(),
            "timezone=UTC".into(),
            "log_timezone=UTC".into(),
        ];
        if !durable {
            settings.extend(["fsync=off", "synchronous_commit=off", "full_page_writes=off"].map(String::from));
        }
        words.extend(settings.into_iter().flat_map(|setting| ["-c".into(), setting.into()]));
        Ok(words)
    }

    fn words(&self, program: &str) -> Words {
        let mut words: Words = self.run_as.words().iter().map(OsString::from).collect();
        words.push(self.bin_dir.join(program).into());
        words
    }

    pub(super) fn pid_file(&self) -> PathBuf {
        self.folder.join("postmaster.pid")
    }

    /// Says the server itself that it takes connections? It writes its state into the last line of its pid file.
    pub(super) fn says_ready(&self, pid: u32) -> bool {
        let text = fs::read_to_string(self.pid_file()).unwrap_or_default();
        let mut lines = text.lines().map(str::trim);
        lines.next() == Some(&pid.to_string()) && lines.next_back() == Some("ready")
    }

    /// Removes the pid file of a server that is gone: its number may be another process's by now, and Postgres would
    /// take that one for itself. Only with the data folder's lock held and nothing left behind, which is known only
    /// where there is a `/proc`.
    pub(super) fn remove_stale_pid_file(&self) -> io::Result<()> {
        if !Path::new("/proc/self").exists() {
            return Ok(());
        }
        match fs::remove_file(self.pid_file()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) fn url(&self, port: u16, database: &str) -> String {
        format!("postgres://{USER}:{}@127.0.0.1:{port}/{database}", self.password)
    }

    /// Makes the database where it is missing.
    pub(super) async fn create_database(&self, port: u16, name: &str) -> Result<(), StackError> {
        let output = tokio::process::Command::new(self.bin_dir.join("createdb"))
            .args(["--host=127.0.0.1", &format!("--port={port}"), &format!("--username={USER}")])
            .args(["--no-password", "--", name])
            .env("PGPASSWORD", &self.password)
            .env("LC_ALL", "C")
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(StackError::spawn("createdb"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() || said.contains("already exists") {
            return Ok(());
        }
        Err(StackError::CreateDatabase { name: name.to_owned(), said: said.trim().to_owned() })
    }
}

/// Reads the password, or makes one that only the owner can read.
fn password(file: &Path) -> io::Result<String> {
    if let Ok(kept) = fs::read_to_string(file)
        && !kept.trim().is_empty()
    {
        return Ok(kept.trim().to_owned());
    }
    let password = clock::random_uuid().simple().to_string();
    let mut file: File = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    writeln!(file, "{password}")?;
    Ok(password)
}

/// For [`super::process::Watchdog::spawn`].
pub(super) fn borrowed(words: &Words) -> Vec<&OsStr> {
    words.iter().map(OsString::as_os_str).collect()
}
