//! A private Postgres and nats-server, started and supervised as child processes: for `berth dev` and for the tests.
//!
//! Everything lies in one data folder: the cluster (`postgres`), JetStream's files (`nats`), logs, ports, a password.
//! Both listen on 127.0.0.1 only. However the owner ends, the servers end too: see [`process`].

mod nats;
pub mod ports;
mod postgres;
mod process;
mod servers;

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::Duration;

use self::nats::Nats;
use self::postgres::{Postgres, borrowed};
use self::process::{POLL, Watchdog, exited};
pub use self::servers::{Servers, ServersArgs, ServersError};
use crate::clock;

/// Recovery after a crash may take a while; nothing else does.
const READY_SECONDS_MAX: u64 = 60;
/// Another process may take a picked port before the server does.
const PORT_TRIES_MAX: usize = 5;
/// How long the servers of an owner that was killed may take to end.
const LOCK_WAIT: Duration = Duration::from_secs(15);
/// A log that is longer at the start is emptied.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;
const LOG_LINES_SHOWN: usize = 6;
const DATABASE: &str = "berth";

/// How a stack is started.
#[derive(Clone, Debug)]
pub struct StackOptions {
    /// Made where it is missing, readable by its owner alone.
    pub data_dir: PathBuf,
    pub servers: Servers,
    /// 0: the one used before where it is free, else a free one.
    pub postgres_port: u16,
    /// 0: the one used before where it is free, else a free one.
    pub nats_port: u16,
    /// Remove the data folder in the end, whatever the end is.
    pub ephemeral: bool,
    /// What was acknowledged survives the end of the machine. A worker refuses to start on a Postgres without.
    pub durable: bool,
}

impl StackOptions {
    /// Durable, on free ports, and kept.
    pub fn new(data_dir: impl Into<PathBuf>, servers: Servers) -> StackOptions {
        let data_dir = data_dir.into();
        StackOptions { data_dir, servers, postgres_port: 0, nats_port: 0, ephemeral: false, durable: true }
    }

    /// Durable, on free ports, in a folder of its own that goes with the stack: in `BERTH_EPHEMERAL_ROOT` (such as
    /// /dev/shm, where syncing costs nothing), or the folder for temporary files.
    pub fn ephemeral(servers: Servers) -> StackOptions {
        let named = std::env::var_os("BERTH_EPHEMERAL_ROOT").filter(|root| !root.is_empty());
        let root = named.map_or_else(std::env::temp_dir, PathBuf::from);
        let data_dir = root.join(format!("berth-{}", clock::random_uuid().simple()));
        StackOptions { ephemeral: true, ..StackOptions::new(data_dir, servers) }
    }
}

/// Why a stack does not start or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    #[error("could not use the folder {}", .path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("process {owner} uses {} already: stop it, or name another folder with --data-dir", .data_dir.display())]
    InUse { data_dir: PathBuf, owner: String },
    #[error("port {port} of 127.0.0.1 is taken: name another for {server}, or 0 for a free one")]
    PortTaken { server: &'static str, port: u16 },
    #[error(
        "Postgres runs neither as root nor as a user without a name, and neither a user namespace (unshare --user) nor \
         the user nobody (setpriv) can be had here: run this as another user"
    )]
    NotAsRoot,
    #[error("{} was made by Postgres {found}: start it with that version, or name another folder", .folder.display())]
    OtherVersion { folder: PathBuf, found: String },
    #[error("could not run {program}")]
    Spawn {
        program: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("{program} ended ({status}): {log_tail}")]
    Exited { program: &'static str, status: ExitStatus, log_tail: String },
    #[error("{server} was not ready after {READY_SECONDS_MAX} seconds: {log_tail}")]
    NotReady { server: &'static str, log_tail: String },
    #[error("could not make the database {name}: {said}")]
    CreateDatabase { name: String, said: String },
}

impl StackError {
    fn folder(path: &Path) -> impl FnOnce(io::Error) -> StackError {
        let path = path.to_path_buf();
        move |source| StackError::Folder { path, source }
    }

    fn spawn(program: &'static str) -> impl FnOnce(io::Error) -> StackError {
        move |source| StackError::Spawn { program, source }
    }
}

/// Running servers. Dropping it ends them too, a moment later; [`Stack::stop`] waits for it.
#[derive(Debug)]
pub struct Stack {
    options: StackOptions,
    postgres: Postgres,
    nats: Nats,
    postgres_port: u16,
    nats_port: u16,
    postgres_child: Option<Child>,
    nats_child: Option<Child>,
    watchdog: Watchdog,
    /// The watchdog holds it as well, so that nobody starts on the folder before the servers have ended.
    _lock: File,
}

impl Stack {
    /// Returns when both servers take connections and the database `berth` is there.
    pub async fn start(mut options: StackOptions) -> Result<Stack, StackError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&options.data_dir)
            .and_then(|()| options.data_dir.canonicalize())
            .map(|absolute| options.data_dir = absolute)
            .map_err(StackError::folder(&options.data_dir))?;
        let data_dir = options.data_dir.clone();
        let lock = lock(&data_dir).await?;
        let held = lock.try_clone().map_err(StackError::folder(&data_dir))?;
        let watchdog =
            Watchdog::start(held, options.ephemeral.then_some(&*data_dir)).map_err(StackError::spawn("sh"))?;
        let nats = Nats {
            binary: options.servers.nats_server.clone(),
            data_dir: data_dir.clone(),
            server_name: format!("berth-{}", clock::random_uuid().simple()),
        };
        let mut stack = Stack {
            postgres: Postgres::new(&options.servers.postgres_bin_dir, &data_dir)?,
            nats,
            postgres_port: 0,
            nats_port: 0,
            postgres_child: None,
            nats_child: None,
            watchdog,
            _lock: lock,
            options,
        };
        stack.end_left_behind().await.map_err(StackError::folder(&data_dir))?;
        stack.make_cluster().await?;
        stack.first_start_postgres().await?;
        stack.first_start_nats().await?;
        stack.create_database(DATABASE).await?;
        Ok(stack)
    }

    /// `postgres://…` of the database `berth`, with the password.
    pub fn database_url(&self) -> String {
        self.postgres.url(self.postgres_port, DATABASE)
    }

    /// `nats://127.0.0.1:…`.
    pub fn nats_url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.nats_port)
    }

    /// Absolute.
    pub fn data_dir(&self) -> &Path {
        &self.options.data_dir
    }

    pub fn postgres_port(&self) -> u16 {
        self.postgres_port
    }

    pub fn nats_port(&self) -> u16 {
        self.nats_port
    }

    /// Makes a database of that name where it is missing, and gives its URL.
    pub async fn create_database(&self, name: &str) -> Result<String, StackError> {
        self.postgres.create_database(self.postgres_port, name).await?;
        Ok(self.postgres.url(self.postgres_port, name))
    }

    /// Ends both servers in order, removes the folder where it is ephemeral, and returns when that is done.
    pub async fn stop(mut self) -> Result<(), StackError> {
        self.watchdog.end().await.map_err(StackError::spawn("sh"))?;
        // They have ended now, unless the watchdog itself was killed.
        for child in [self.postgres_child.take(), self.nats_child.take()].iter_mut().flatten() {
            child.kill().and_then(|()| child.wait()).map_err(StackError::spawn("kill"))?;
        }
        Ok(())
    }

    /// Kills the server and all its backends at once, as the end of the machine would.
    pub async fn kill_postgres(&mut self) -> Result<(), StackError> {
        if let Some(mut child) = self.postgres_child.take() {
            process::kill_tree(&mut child).await.map_err(StackError::spawn("kill"))?;
            self.watchdog.forget("postgres").map_err(StackError::spawn("sh"))?;
        }
        Ok(())
    }

    /// Starts it again on the same port and data, and returns when it takes connections. Only after a kill.
    pub async fn start_postgres(&mut self) -> Result<(), StackError> {
        self.postgres.remove_stale_pid_file().map_err(StackError::folder(&self.options.data_dir))?;
        let log = self.log("postgres")?;
        let words = self.postgres.server(self.postgres_port, self.options.durable)?;
        // INT is the fast shutdown; QUIT also spares the last checkpoint, which nobody will read.
        let signal = if self.options.ephemeral { "QUIT" } else { "INT" };
        let child =
            self.watchdog.spawn("postgres", signal, &borrowed(&words), log).map_err(StackError::spawn("postgres"))?;
        let pid = child.id();
        let child = self.postgres_child.insert(child);
        let postgres = &self.postgres;
        until_ready("postgres", &self.options.data_dir, child, async || postgres.says_ready(pid)).await
    }

    /// Kills the server at once.
    pub async fn kill_nats(&mut self) -> Result<(), StackError> {
        if let Some(mut child) = self.nats_child.take() {
            process::kill_tree(&mut child).await.map_err(StackError::spawn("kill"))?;
            self.watchdog.forget("nats").map_err(StackError::spawn("sh"))?;
        }
        Ok(())
    }

    /// Starts it again on the same port and data, and returns when it takes connections. Only after a kill.
    pub async fn start_nats(&mut self) -> Result<(), StackError> {
        self.nats
            .write_config(self.nats_port, self.options.durable, self.options.ephemeral)
            .map_err(StackError::folder(&self.options.data_dir))?;
        let log = self.log("nats")?;
        let config = self.nats.config_file();
        let words = [self.nats.binary.as_os_str(), "-c".as_ref(), config.as_os_str()];
        let child = self.watchdog.spawn("nats", "TERM", &words, log).map_err(StackError::spawn("nats-server"))?;
        let child = self.nats_child.insert(child);
        let (nats, port) = (&self.nats, self.nats_port);
        until_ready("nats", &self.options.data_dir, child, async || nats.greets(port).await).await
    }

    /// Returns when a server has ended by itself, and says which and why; never while both run.
    pub async fn failed(&mut self) -> StackError {
        loop {
            for (program, child) in [("postgres", &mut self.postgres_child), ("nats", &mut self.nats_child)] {
                match child.as_mut().map(Child::try_wait) {
                    Some(Ok(Some(status))) => {
                        let log_tail = log_tail(&self.options.data_dir, program);
                        return StackError::Exited { program, status, log_tail };
                    }
                    Some(Err(source)) => return StackError::Spawn { program, source },
                    Some(Ok(None)) | None => {}
                }
            }
            tokio::time::sleep(POLL * 10).await;
        }
    }

    /// Servers can outlive their owner only where their watchdog was killed as well.
    async fn end_left_behind(&self) -> io::Result<()> {
        let data_dir = &self.options.data_dir;
        for (pid_file, signal) in [(self.postgres.pid_file(), "INT"), (self.nats.pid_file(), "TERM")] {
            if let Some(pid) = process::left_behind(&pid_file, data_dir) {
                process::end_left_behind(pid, signal).await?;
            }
        }
        Ok(())
    }

    async fn make_cluster(&mut self) -> Result<(), StackError> {
        let durable = self.options.durable && !self.options.ephemeral;
        let Some(words) = self.postgres.initdb(durable)? else { return Ok(()) };
        let log = self.log("initdb")?;
        let mut child =
            self.watchdog.spawn("initdb", "TERM", &borrowed(&words), log).map_err(StackError::spawn("initdb"))?;
        let status = exited(&mut child).await.map_err(StackError::spawn("initdb"))?;
        self.watchdog.forget("initdb").map_err(StackError::spawn("sh"))?;
        if !status.success() {
            let log_tail = log_tail(&self.options.data_dir, "initdb");
            return Err(StackError::Exited { program: "initdb", status, log_tail });
        }
        self.postgres.made().map_err(StackError::folder(&self.options.data_dir))
    }

    async fn first_start_postgres(&mut self) -> Result<(), StackError> {
        let file = self.options.data_dir.join("postgres.port");
        self.postgres_port = first_port("postgres", &file, self.options.postgres_port)?;
        for _ in 1..PORT_TRIES_MAX {
            match self.start_postgres().await {
                Err(StackError::Exited { .. })
                    if self.options.postgres_port == 0 && !ports::is_free(self.postgres_port) =>
                {
                    self.postgres_port = ports::pick(&file).map_err(StackError::folder(&file))?;
                }
                result => return result,
            }
        }
        self.start_postgres().await
    }

    async fn first_start_nats(&mut self) -> Result<(), StackError> {
        let file = self.options.data_dir.join("nats.port");
        self.nats_port = first_port("nats", &file, self.options.nats_port)?;
        for _ in 1..PORT_TRIES_MAX {
            match self.start_nats().await {
                Err(StackError::Exited { .. }) if self.options.nats_port == 0 && !ports::is_free(self.nats_port) => {
                    self.nats_port = ports::pick(&file).map_err(StackError::folder(&file))?;
                }
                result => return result,
            }
        }
        self.start_nats().await
    }

    fn log(&self, name: &str) -> Result<File, StackError> {
        let path = self.options.data_dir.join(format!("{name}.log"));
        let open = || {
            let log = OpenOptions::new().create(true).append(true).open(&path)?;
            if log.metadata()?.len() > LOG_BYTES_MAX {
                log.set_len(0)?;
            }
            Ok(log)
        };
        open().map_err(StackError::folder(&path))
    }
}

/// The port that was asked for, or one that is free.
fn first_port(server: &'static str, file: &Path, asked: u16) -> Result<u16, StackError> {
    let chosen = match asked {
        0 => ports::kept_or_picked(file),
        port if !ports::is_free(port) => return Err(StackError::PortTaken { server, port }),
        port => ports::keep(file, port).map(|()| port),
    };
    chosen.map_err(StackError::folder(file))
}

/// Takes the data folder for us. Where its owner was killed, waits until that one's servers have ended.
async fn lock(data_dir: &Path) -> Result<File, StackError> {
    let path = data_dir.join("lock");
    let failed = || StackError::folder(&path);
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed())?;
    let deadline = tokio::time::Instant::now() + LOCK_WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(source)) => return Err(failed()(source)),
            Err(TryLockError::WouldBlock) => {
                let owner = fs::read_to_string(&path).unwrap_or_default().trim().to_owned();
                let was_killed =
                    Path::new("/proc/self").exists() && owner.parse().is_ok_and(|pid: u32| !process::is_alive(pid));
                if !was_killed || tokio::time::Instant::now() > deadline {
                    return Err(StackError::InUse { data_dir: data_dir.to_path_buf(), owner });
                }
                tokio::time::sleep(POLL).await;
            }
        }
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    write(&mut file).map_err(failed())?;
    Ok(file)
}

async fn until_ready(
    server: &'static str,
    data_dir: &Path,
    child: &mut Child,
    is_ready: impl AsyncFn() -> bool,
) -> Result<(), StackError> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(READY_SECONDS_MAX);
    while tokio::time::Instant::now() < deadline {
        if let Some(status) = child.try_wait().map_err(StackError::spawn(server))? {
            return Err(StackError::Exited { program: server, status, log_tail: log_tail(data_dir, server) });
        }
        if is_ready().await {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
    Err(StackError::NotReady { server, log_tail: log_tail(data_dir, server) })
}

/// The last lines of a log and where the rest is.
fn log_tail(data_dir: &Path, name: &str) -> String {
    let path = data_dir.join(format!("{name}.log"));
    let mut text = Vec::new();
    let read = File::open(&path).and_then(|log| log.take(LOG_BYTES_MAX * 2).read_to_end(&mut text));
    if read.is_err() {
        return format!("its log {} cannot be read", path.display());
    }
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n  ");
    format!("the end of {} is\n  {tail}", path.display())
}
