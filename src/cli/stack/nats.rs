//! The private nats-server: JetStream on, every message synced before it is acknowledged, on the loopback address.
//! No password: unlike a Postgres session it runs nothing, and every `nats` command line finds it as it is.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The first line of a server is about 500 bytes.
const INFO_BYTES_MAX: usize = 4096;
const INFO_WAIT: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(super) struct Nats {
    pub(super) binary: PathBuf,
    pub(super) data_dir: PathBuf,
    /// Tells this server from any other that may answer on the port.
    pub(super) server_name: String,
}

impl Nats {
    pub(super) fn config_file(&self) -> PathBuf {
        self.data_dir.join("nats.conf")
    }

    pub(super) fn pid_file(&self) -> PathBuf {
        self.data_dir.join("nats.pid")
    }

    /// `ephemeral`: streams may set aside more than the disk has. The berths of a test run have a gigabyte each for
    /// commands that wait, and never use it.
    pub(super) fn write_config(&self, port: u16, durable: bool, ephemeral: bool) -> io::Result<()> {
        let store = quoted(&self.data_dir.join("nats"));
        let pid_file = quoted(&self.pid_file());
        let name = &self.server_name;
        let sync_interval = if durable { "always" } else { "\"2m\"" };
        let room = if ephemeral { "  max_file_store: 1TB\n" } else { "" };
        let text = format!(
            "# Written at each start.\nserver_name: \"{name}\"\nlisten: \"127.0.0.1:{port}\"\npid_file: {pid_file}\n\
             max_payload: 1MB\njetstream {{\n  store_dir: {store}\n  sync_interval: {sync_interval}\n\
             {room}}}\n"
        );
        std::fs::write(self.config_file(), text)
    }

    /// Does this very server, with JetStream, greet on the port?
    pub(super) async fn greets(&self, port: u16) -> bool {
        let greeting = tokio::time::timeout(INFO_WAIT, greeting(port)).await;
        let Ok(Ok(info)) = greeting else { return false };
        info.contains(&format!("\"server_name\":\"{}\"", self.server_name)) && info.contains("\"jetstream\":true")
    }
}

async fn greeting(port: u16) -> io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let mut info = Vec::new();
    while !info.contains(&b'\n') && info.len() < INFO_BYTES_MAX {
        if stream.read_buf(&mut info).await? == 0 {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&info).into_owned())
}

fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\""))
}
