//! Where the binaries of Postgres and nats-server are. `scripts/servers.py` finds or fetches them; this reads what it
//! wrote down, and looks at the machine itself where it was never run.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder, from the project's root, in which `scripts/servers.py` keeps servers and the file `paths`.
const SERVERS_DIR: &str = ".berth/servers";
const POSTGRES_MAJOR: u32 = 18;
/// Atomic batch publishing with the limits that the relay counts on.
const NATS_OLDEST: (u32, u32) = (2, 15);
const POSTGRES_TOOLS: [&str; 3] = ["postgres", "initdb", "createdb"];

/// The two servers' binaries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers {
    /// The folder with `postgres`, `initdb` and `createdb`.
    pub postgres_bin_dir: PathBuf,
    /// The `nats-server` binary itself.
    pub nats_server: PathBuf,
}

/// What was named rather than looked for; `None` is looked for.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ServersArgs {
    /// The folder that scripts/servers.py fills; .berth/servers here or in a folder above by default
    #[arg(long, env = "BERTH_SERVERS_DIR")]
    pub servers_dir: Option<PathBuf>,

    /// The folder with the programs of Postgres 18: postgres, initdb, createdb
    #[arg(long, env = "BERTH_POSTGRES_BIN")]
    pub postgres_bin: Option<PathBuf>,

    /// The binary of nats-server 2.15 or later
    #[arg(long, env = "BERTH_NATS_SERVER")]
    pub nats_server: Option<PathBuf>,
}

/// A server that is not there: one sentence with what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServersError {
    #[error(
        "found no Postgres {POSTGRES_MAJOR} (postgres, initdb, createdb): run scripts/servers.py, or name its folder \
         with --postgres-bin or BERTH_POSTGRES_BIN"
    )]
    NoPostgres,
    #[error(
        "found no nats-server {}.{} or later: run scripts/servers.py, or name the binary with --nats-server or \
         BERTH_NATS_SERVER", NATS_OLDEST.0, NATS_OLDEST.1
    )]
    NoNats,
    #[error("{} is not a folder with postgres, initdb and createdb", .0.display())]
    NotPostgres(PathBuf),
    #[error("{} is not a file", .0.display())]
    NotNats(PathBuf),
}

impl Servers {
    /// By the environment alone (`BERTH_POSTGRES_BIN`, `BERTH_NATS_SERVER`, `BERTH_SERVERS_DIR`), as the tests do.
    pub fn find() -> Result<Servers, ServersError> {
        let named = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
        Servers::find_with(&ServersArgs {
            servers_dir: named("BERTH_SERVERS_DIR"),
            postgres_bin: named("BERTH_POSTGRES_BIN"),
            nats_server: named("BERTH_NATS_SERVER"),
        })
    }

    /// What is named, else what `scripts/servers.py` wrote down, else the machine's own of the right version.
    pub fn find_with(args: &ServersArgs) -> Result<Servers, ServersError> {
        let kept = args.servers_dir.clone().or_else(servers_dir_above);
        let kept = |name: &str| kept.as_deref().and_then(|folder| written_down(folder, name));
        let postgres_bin_dir = match &args.postgres_bin {
            Some(named) if has_tools(named) => named.clone(),
            Some(named) => return Err(ServersError::NotPostgres(named.clone())),
            None => kept("BERTH_POSTGRES_BIN")
                .filter(|folder| has_tools(folder))
                .or_else(machines_postgres)
                .ok_or(ServersError::NoPostgres)?,
        };
        let nats_server = match &args.nats_server {
            Some(named) if named.is_file() => named.clone(),
            Some(named) => return Err(ServersError::NotNats(named.clone())),
            None => kept("BERTH_NATS_SERVER")
                .filter(|binary| binary.is_file())
                .or_else(machines_nats)
                .ok_or(ServersError::NoNats)?,
        };
        Ok(Servers { postgres_bin_dir, nats_server })
    }
}

fn servers_dir_above() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    here.ancestors().map(|folder| folder.join(SERVERS_DIR)).find(|folder| folder.join("paths").is_file())
}

/// A line `NAME=path` of the file `paths`; a relative path counts from the folder.
fn written_down(folder: &Path, name: &str) -> Option<PathBuf> {
    let text = std::fs::read_to_string(folder.join("paths")).ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(folder.join(path))
}

fn has_tools(folder: &Path) -> bool {
    POSTGRES_TOOLS.iter().all(|tool| folder.join(tool).is_file())
}

fn machines_postgres() -> Option<PathBuf> {
    let debian = PathBuf::from(format!("/usr/lib/postgresql/{POSTGRES_MAJOR}/bin"));
    let on_path = on_path("postgres").and_then(|binary| binary.parent().map(Path::to_path_buf));
    [Some(debian), on_path].into_iter().flatten().find(|folder| {
        has_tools(folder) && version_of(&folder.join("postgres")).is_some_and(|(major, _)| major == POSTGRES_MAJOR)
    })
}

fn machines_nats() -> Option<PathBuf> {
    on_path("nats-server")
        .filter(|binary| version_of(binary).is_some_and(|version| version.0 == NATS_OLDEST.0 && version >= NATS_OLDEST))
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find_map(|file| file.canonicalize().ok())
}

/// The first two numbers that `<binary> --version` prints.
fn version_of(binary: &Path) -> Option<(u32, u32)> {
    let output = Command::new(binary).arg("--version").output().ok()?;
    version_in(&String::from_utf8_lossy(&output.stdout))
}

fn version_in(text: &str) -> Option<(u32, u32)> {
    text.split_whitespace().find_map(|word| {
        let mut numbers = word.trim_start_matches('v').split('.').map(|number| number.parse().ok());
        Some((numbers.next()??, numbers.next()??))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_servers_print() {
        assert_eq!(version_in("postgres (PostgreSQL) 18.6 (Debian 18.6-1.pgdg13+1)"), Some((18, 6)));
        assert_eq!(version_in("nats-server: v2.15.1"), Some((2, 15)));
        assert_eq!(version_in("nats-server: v2.15.0-RC.1"), Some((2, 15)));
        assert_eq!(version_in("no version at all"), None);
    }

    #[test]
    fn a_path_written_down_counts_from_the_servers_folder_unless_it_is_absolute() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("paths"), "BERTH_POSTGRES_BIN=pg/bin\nBERTH_NATS_SERVER=/opt/nats-server\n")
            .unwrap();
        assert_eq!(written_down(folder.path(), "BERTH_POSTGRES_BIN"), Some(folder.path().join("pg/bin")));
        assert_eq!(written_down(folder.path(), "BERTH_NATS_SERVER"), Some(PathBuf::from("/opt/nats-server")));
        assert_eq!(written_down(folder.path(), "BERTH_NATS"), None);
    }

    #[test]
    fn a_named_folder_without_the_programs_is_an_error_rather_than_a_search() {
        let folder = tempfile::tempdir().unwrap();
        let args = ServersArgs { postgres_bin: Some(folder.path().to_path_buf()), ..ServersArgs::default() };
        assert!(matches!(Servers::find_with(&args), Err(ServersError::NotPostgres(named)) if named == folder.path()));
    }
}
