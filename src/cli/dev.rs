//! `berth dev`: Postgres, nats-server and a worker in one command, with nothing installed.
#![allow(clippy::print_stdout)] // the command line prints

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::stack::{Servers, ServersArgs, ServersError, Stack, StackError, StackOptions, ports};
use crate::clock;
use crate::config::WorkerConfig;
use crate::domain::window::Instant;
use crate::store::StoreError;
use crate::store::start::Database;
use crate::worker::{self, WorkerError};

const READY_POLL: Duration = Duration::from_millis(50);
/// How long the worker may still answer when a server has ended under it.
const DRAIN_WAIT: Duration = Duration::from_secs(10);
const MIGRATE_CONNECTIONS_MAX: u32 = 1;
const HOUR_SECONDS: i64 = 3600;

/// Postgres, nats-server and a worker of your own, for development. Ctrl-C ends all three
#[derive(Clone, Debug, clap::Args)]
pub struct DevArgs {
    /// Where data, ports and logs are kept; a second start goes on with them
    #[arg(long, env = "BERTH_DATA_DIR", default_value = ".berth/data")]
    pub data_dir: PathBuf,

    /// 0: the port used before, else a free one
    #[arg(long, default_value_t = 0)]
    pub nats_port: u16,

    /// 0: the port used before, else a free one
    #[arg(long, default_value_t = 0)]
    pub postgres_port: u16,

    /// Where /live, /ready and /metrics are served; by default on 127.0.0.1, and as for the other ports with port 0
    #[arg(long, env = "BERTH_HTTP_ADDR")]
    pub http_addr: Option<SocketAddr>,

    #[command(flatten)]
    pub servers: ServersArgs,
}

/// Why `berth dev` ended, other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    #[error(transparent)]
    Servers(#[from] ServersError),
    #[error(transparent)]
    Stack(#[from] StackError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the worker's settings in the environment are not valid")]
    Config(#[from] clap::Error),
    #[error("could not pick a port for health and metrics")]
    HttpPort(#[source] std::io::Error),
    #[error(transparent)]
    Worker(#[from] WorkerError),
}

/// Runs until `stop`, then ends the worker first and the servers after it. An interrupt after `stop` ends at once:
/// the servers then end a moment after us.
pub async fn run(args: DevArgs, stop: CancellationToken) -> Result<(), DevError> {
    tokio::select! {
        result = run_stack(args, &stop) => result,
        () = second_interrupt(&stop) => Ok(()),
    }
}

async fn second_interrupt(stop: &CancellationToken) {
    stop.cancelled().await;
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn run_stack(args: DevArgs, stop: &CancellationToken) -> Result<(), DevError> {
    let options = StackOptions {
        postgres_port: args.postgres_port,
        nats_port: args.nats_port,
        ..StackOptions::new(&args.data_dir, Servers::find_with(&args.servers)?)
    };
    let mut stack = tokio::select! {
        started = Stack::start(options) => started?,
        () = stop.cancelled() => return Ok(()), // the drop ends what was started
    };
    let result = run_worker(&args, &mut stack, stop).await;
    let stopped = stack.stop().await;
    result?;
    Ok(stopped?)
}

async fn run_worker(args: &DevArgs, stack: &mut Stack, stop: &CancellationToken) -> Result<(), DevError> {
    let database = Database::connect(&stack.database_url(), MIGRATE_CONNECTIONS_MAX).await?;
    database.migrate().await?;
    database.pool().close().await;

    let config = worker_config(stack, http_addr(args, stack.data_dir())?)?;
    let (http_addr, subject_root) = (config.http_addr, config.subject_root.clone());
    let worker_stop = stop.child_token();
    let mut worker = std::pin::pin!(worker::run(config, worker::Readiness::new(None), worker_stop.clone()));
    let mut is_announced = false;
    loop {
        tokio::select! {
            ended = &mut worker => return Ok(ended?),
            () = ready(http_addr), if !is_announced => {
                is_announced = true;
                println!("{}", banner(stack, http_addr, &subject_root));
            }
            failure = stack.failed() => {
                worker_stop.cancel();
                let _ = tokio::time::timeout(DRAIN_WAIT, worker).await; // the failure says more than its consequence
                return Err(failure.into());
            }
        }
    }
}

/// Every setting of a worker that the stack does not rule, from the environment or the defaults.
#[derive(clap::Parser)]
struct OtherSettings {
    #[command(flatten)]
    worker: WorkerConfig,
}

fn worker_config(stack: &Stack, http_addr: SocketAddr) -> Result<WorkerConfig, DevError> {
    let (database, nats, http) = (stack.database_url(), stack.nats_url(), http_addr.to_string());
    let arguments = ["berth", "--database-url", &database, "--nats-url", &nats, "--http-addr", &http];
    let mut config = OtherSettings::try_parse_from(arguments)?.worker;
    config.nats_creds = None; // meant for another server
    Ok(config)
}

fn http_addr(args: &DevArgs, data_dir: &Path) -> Result<SocketAddr, DevError> {
    let mut address = args.http_addr.unwrap_or((Ipv4Addr::LOCALHOST, 0).into());
    if address.port() == 0 {
        address.set_port(ports::kept_or_picked(&data_dir.join("http.port")).map_err(DevError::HttpPort)?);
    }
    Ok(address)
}

/// Returns when the worker says that it takes requests.
async fn ready(address: SocketAddr) {
    while !is_ready(address).await.unwrap_or(false) {
        tokio::time::sleep(READY_POLL).await;
    }
}

async fn is_ready(address: SocketAddr) -> std::io::Result<bool> {
    const OK: &[u8] = b"HTTP/1.1 200";
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /ready HTTP/1.1\r\nHost: berth\r\nConnection: close\r\n\r\n").await?;
    let mut status = [0; OK.len()];
    stream.read_exact(&mut status).await?;
    Ok(status == OK)
}

fn banner(stack: &Stack, http_addr: SocketAddr, subject_root: &str) -> String {
    let (start, end) = next_hours(clock::now());
    let reserve = format!(r#"{{"pool":"gpu","start_time":"{start}","end_time":"{end}","quantity":2}}"#);
    let berth = own_path();
    let (nats, database) = (stack.nats_url(), stack.database_url());
    let data_dir = stack.data_dir().display();
    format!(
        "\n\
         berth takes requests. Ctrl-C ends it; data stays in {data_dir}\n\
         \n\
         \x20 NATS_URL      {nats}\n\
         \x20 DATABASE_URL  {database}\n\
         \x20 metrics       http://{http_addr}/metrics\n\
         \n\
         In another terminal:\n\
         \n\
         \x20 export NATS_URL={nats}\n\
         \x20 {berth} request --admin pool_put '{{\"pool\":\"gpu\",\"capacity\":8}}'\n\
         \x20 {berth} request reserve '{reserve}'\n\
         \x20 {berth} watch\n\
         \n\
         or, with any NATS client:\n\
         \n\
         \x20 nats request {subject_root}.v1.default.reserve '{reserve}'\n"
    )
}

/// The next two full hours: they lie on every usual grain.
fn next_hours(now: Instant) -> (String, String) {
    let first = now.timestamp().div_euclid(HOUR_SECONDS) * HOUR_SECONDS + HOUR_SECONDS;
    let at = |seconds| {
        let instant = Instant::from_timestamp(seconds, 0).unwrap_or(now);
        instant.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    };
    (at(first), at(first + HOUR_SECONDS))
}

/// How a person would call this program from here.
fn own_path() -> String {
    let path = std::env::current_exe().unwrap_or_else(|_| "berth".into());
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(&path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_in_the_banner_lies_on_full_hours_in_the_future() {
        let now = "2026-12-31T23:59:59.5Z".parse().unwrap();
        assert_eq!(next_hours(now), ("2027-01-01T00:00:00Z".into(), "2027-01-01T01:00:00Z".into()));
        let on_the_hour = "2027-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(next_hours(on_the_hour), ("2027-01-01T01:00:00Z".into(), "2027-01-01T02:00:00Z".into()));
    }

    #[tokio::test]
    async fn only_the_status_200_is_ready() {
        for (status, expected) in [("200 OK", true), ("503 Service Unavailable", false)] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let answer = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 14];
                stream.read_exact(&mut request).await.unwrap();
                assert_eq!(&request, b"GET /ready HTT");
                stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await.unwrap();
            };
            let ((), found) = tokio::join!(answer, is_ready(address));
            assert_eq!(found.unwrap(), expected);
        }
    }
}
