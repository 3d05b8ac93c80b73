//! The command line: what to run, how it is stopped, and how it ends.

use std::process::ExitCode;

use anyhow::Context;
use berth::cli::{bench, client, dev, example_window, watch};
use berth::config::WorkerConfig;
use berth::store::start::Database;
use berth::{clock, telemetry, worker};
use clap::{Args, Parser, Subcommand};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A batch is many small values that live for milliseconds, made on one thread and dropped on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit status where the worker answered and the answer was no.
const REFUSED: u8 = 2;

fn examples() -> String {
    let window = example_window();
    format!(
        "\
Examples:
  berth dev                      a whole berth on this machine, nothing to install
  berth request pool_put '{{\"pool\":\"h100\",\"capacity\":64}}'
  berth request reserve --key order-1 '{{\"pool\":\"h100\",\"quantity\":8,
    {window}}}'
  berth watch                    every lifecycle event as it happens
  berth bench                    how fast is it here?

Exit status: 0 success; 2 the worker refused the request; 1 anything else."
    )
}

const WORKER_EXAMPLES: &str = "\
Examples:
  berth worker --database-url postgres://berth@db/berth --nats-url nats://nats:4222
  DATABASE_URL=… NATS_URL=… berth worker --http-addr 0.0.0.0:9464

SIGTERM or SIGINT: takes no more requests, answers those in hand, ends. A second one ends it at once; nothing that was
answered is lost by that.";

const MIGRATE_EXAMPLES: &str = "\
Example:
  berth migrate --database-url postgres://berth@db/berth

Safe to run again, and by several at once. Workers never migrate by themselves.";

/// Reservations of capacity and locks: asked for over NATS, decided in one place, committed in Postgres
#[derive(Debug, Parser)]
#[command(name = "berth", version, after_help = examples(), max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a whole berth on this machine: Postgres, nats-server, migrations, worker
    Dev(dev::DevArgs),
    /// Bring the schema of the database to the newest version
    #[command(after_help = MIGRATE_EXAMPLES)]
    Migrate(MigrateArgs),
    /// Serve requests: the process that decides
    #[command(after_help = WORKER_EXAMPLES)]
    Worker(WorkerConfig),
    /// Send one request and print its answer
    #[command(after_help = client::examples())]
    Request(client::RequestArgs),
    /// Follow the lifecycle events of reservations and locks
    #[command(after_help = watch::EXAMPLES)]
    Watch(watch::WatchArgs),
    /// Put a running worker under load, and check what it answered
    #[command(after_help = bench::EXAMPLES)]
    Bench(bench::BenchArgs),
}

#[derive(Debug, Args)]
struct MigrateArgs {
    /// The primary, as the owner of the schema
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let is_fault = error.use_stderr();
            // Where even this can't be written there is nobody to tell.
            let _ = error.print();
            // clap's own status would be 2, and 2 always means refused.
            return if is_fault { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", sentence(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    // Before the runtime: an exporter that blocks can't be made inside of one.
    let _telemetry = match command {
        Command::Dev(_) | Command::Worker(_) => {
            let telemetry = telemetry::init(&clock::random_uuid().to_string());
            telemetry::abort_on_panic();
            Some(telemetry)
        }
        _ => None,
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("could not start the runtime")?;
    match command {
        Command::Dev(args) => until_signal(&runtime, |stop| dev::run(args, stop))?,
        Command::Migrate(args) => runtime.block_on(migrate(args))?,
        Command::Worker(config) => {
            until_signal(&runtime, |stop| worker::run(config, worker::Readiness::new(None), stop))?
        }
        Command::Watch(args) => until_signal(&runtime, |stop| watch::run(args, stop))?,
        Command::Bench(args) => until_signal(&runtime, |stop| bench::run(args, stop))?,
        Command::Request(args) => {
            return Ok(match runtime.block_on(client::run(args))? {
                client::Verdict::Accepted => ExitCode::SUCCESS,
                client::Verdict::Refused => ExitCode::from(REFUSED),
            });
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn migrate(args: MigrateArgs) -> anyhow::Result<()> {
    let database = Database::connect(&args.database_url, 1).await?;
    database.migrate().await?;
    eprintln!("the schema is at its newest version");
    Ok(())
}

/// Runs until it is done. The first SIGTERM or SIGINT cancels its token, the second one ends the process.
fn until_signal<F, E>(runtime: &Runtime, start: impl FnOnce(CancellationToken) -> F) -> anyhow::Result<()>
where
    F: Future<Output = Result<(), E>>,
    E: Into<anyhow::Error>,
{
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let mut terminate = signal(SignalKind::terminate()).context("could not listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("could not listen for SIGINT")?;
        let first = stop.clone();
        tokio::spawn(async move {
            loop {
                // In the manner of a shell: 128 and the signal's number.
                let status = tokio::select! {
                    _ = terminate.recv() => 128 + SignalKind::terminate().as_raw_value(),
                    _ = interrupt.recv() => 128 + SignalKind::interrupt().as_raw_value(),
                };
                if first.is_cancelled() {
                    std::process::exit(status);
                }
                first.cancel();
            }
        });
        start(stop).await.map_err(Into::into)
    })
}

/// The error and its causes in one line. A cause that the text before it ends with is not said twice: several
/// libraries write their source into their own text.
fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
