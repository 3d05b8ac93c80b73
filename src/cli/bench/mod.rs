//! `berth bench`: load on a running worker, in a closed or an open loop, and a check of what it answered.
//!
//! Every run has tenants and pools of its own, so that what it finds afterwards, in the stream and in the database,
//! is what it did and nothing else.

mod check;
mod distribution;
mod load;
mod mix;
mod pace;
mod phase;
mod plan;
mod reply;
mod report;
mod slot;
mod tally;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{CliError, NatsArgs};
use crate::wire::verb::Verb;
use check::Events;
use load::Connection;
use mix::{Kind, Mix};
use phase::{Measured, Phase};
use plan::{Plan, Run};

pub const EXAMPLES: &str = "\
Examples:
  berth bench                                             10 s of reserve, 1,024 in flight, over 1,000 pools
  berth bench --in-flight 32 --pools 1 --seconds 30       a single hot pool
  berth bench --verb lock-unlock --tenants 100 --json     locks of many tenants; the figures as one line of JSON
  berth bench --verb reserve=7,extend=2,cancel=1          a mix, by weight
  berth bench --rate 2000                                 2,000 requests a second, whatever the answers do
  berth bench --verb availability --in-flight 1           how long a look at what is free takes
  berth bench --pools 1 --live 1000000                    a pool that has a million reservations already
  berth bench --capacity 3 --database-url postgres://…    more demand than there is: nothing may be overcommitted

It makes tenants and pools of its own, which stay. Refusals that say \"later\" (overloaded) are counted apart and sent
again under the same key. With --rate a latency counts from the instant at which the request was due. Afterwards the
stream of events, and with --database-url the rows, must hold what was answered, each grant once and each change of it
in order; exit status 1 where they do not.";

#[derive(Clone, Debug, clap::Args)]
pub struct BenchArgs {
    /// What to ask for: one of reserve, extend, cancel, get, availability, lock, lock-unlock, or several with weights
    /// (reserve=7,get=3). extend, cancel and get take what was reserved last, and reserve where there is nothing;
    /// lock-unlock gives back what it has taken by its next request
    #[arg(long, value_name = "LIST", default_value = "reserve")]
    verb: Mix,

    /// Send so many requests a second, whatever the answers do; by default one for each answer
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: Option<u64>,

    /// How many requests are unanswered at any time; with --rate at most
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=32_768))]
    in_flight: u32,

    /// Over how many tenants the requests are spread
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    tenants: u32,

    /// How many locks a message of lock and lock-unlock asks for; each counts as an answer
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    items: u32,

    /// Over how many pools the requests are spread
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pools: u32,

    /// The capacity of each pool, units
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000_000))]
    capacity: u32,

    /// Fill the pools with so many reservations before anything is measured
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=10_000_000))]
    live: u64,

    /// Seconds of rest once the pools are filled: Postgres writes back what that has changed
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    rest: u64,

    /// How long to measure
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,

    /// Measure so many requests, however long they take
    #[arg(long, conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,

    /// Seconds of load before anything is measured
    #[arg(long, default_value_t = 2)]
    warmup: u64,

    /// Send no idempotency keys
    #[arg(long)]
    no_keys: bool,

    /// How many connections carry the load
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    connections: u32,

    /// Compare the rows of this database, too
    #[arg(long, env = "BERTH_BENCH_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,

    /// Write the latencies into this file for a plot: lines of milliseconds, share of the messages that took no longer,
    /// and their number
    #[arg(long, value_name = "FILE")]
    percentiles: Option<PathBuf>,

    /// Print the figures as one line of JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    nats: NatsArgs,
}

/// How many requests are unanswered while pools are filled, however few are measured with.
const FILL_IN_FLIGHT: u32 = 1_024;

/// What is measured, and the rounds before it.
struct Load {
    before: Vec<Measured>,
    measured: Measured,
}

/// Loads, checks, prints. An error where the worker could not be loaded, or where the check failed.
pub async fn run(args: BenchArgs, stop: CancellationToken) -> Result<(), CliError> {
    if args.items > 1 && !args.verb.has_locks() {
        return Err(CliError::told("--items is for lock and lock-unlock"));
    }
    let percentiles = args.percentiles.as_deref().map(create).transpose()?;
    let reader = match &args.database_url {
        Some(url) => Some(check::open(url).await?),
        None => None,
    };
    let subjects = args.nats.subjects()?;
    let run = Arc::new(Run::new(&args, &subjects)?);
    let mut connections = open(&args, args.in_flight).await?;
    if let (Some(connection), Some(tenant)) = (connections.first(), run.tenant(0)) {
        connection.probe(subjects.request(tenant, Verb::PoolList)).await?;
    }
    let client = args.nats.connect("berth bench").await?;
    let events = Events::begin(&client, &subjects, &run).await?;
    if args.verb.needs_pools() {
        make_pools(&args, &run, &mut connections, &stop).await?;
    }
    let load = load(&args, &run, &mut connections, &stop).await?;
    let tallies: Vec<_> = load.before.iter().chain([&load.measured]).map(|measured| &measured.tally).collect();
    let checked = check::run(&args, &client, &subjects, events, reader, &run, &tallies).await?;
    report::print(&args, &load.measured, &checked)?;
    if let Some(mut file) = percentiles {
        let latency = load.measured.tally.latency()?;
        let written = distribution::write(&latency, &mut file).and_then(|()| file.flush());
        written.map_err(CliError::of("write the percentiles"))?;
    }
    match checked.faults.is_empty() {
        true => Ok(()),
        false => Err(CliError::told(format!("the check failed: {}", checked.faults.join("; ")))),
    }
}

async fn make_pools(
    args: &BenchArgs,
    run: &Arc<Run>,
    connections: &mut Vec<Connection>,
    stop: &CancellationToken,
) -> Result<(), CliError> {
    let pools = u64::from(args.pools);
    let plan = Plan::new(run, "p", Mix::of(Kind::PoolPut), 1, pools);
    let made = Phase { name: "making pools", plan, time: None, rate: None }.run(connections, stop).await?.tally;
    let refused: u64 = made.refused().values().sum();
    if made.answers() - refused < pools && !stop.is_cancelled() {
        return Err(CliError::told(format!("the pools could not be made: {}", made.complaint())));
    }
    Ok(())
}

/// Fills the pools, warms up, and measures.
async fn load(
    args: &BenchArgs,
    run: &Arc<Run>,
    connections: &mut Vec<Connection>,
    stop: &CancellationToken,
) -> Result<Load, CliError> {
    // What is only changed or looked at has to be reserved before.
    let fills = if args.verb.needs_pools() { Kind::Reserve } else { Kind::Lock };
    let plan = Plan::new(run, "f", Mix::of(fills), 1, args.live);
    let fill = Phase { name: "filling pools", plan, time: None, rate: None };
    let filled = fill.run(&mut open(args, FILL_IN_FLIGHT).await?, stop).await?;
    if !stop.is_cancelled() {
        tokio::time::sleep(Duration::from_secs(args.rest)).await;
    }
    let plan = Plan::new(run, "w", args.verb.clone(), args.items, u64::MAX);
    let time = Some(Duration::from_secs(args.warmup));
    let warm = Phase { name: "warming up", plan, time, rate: args.rate }.run(connections, stop).await?;
    let plan = Plan::new(run, "m", args.verb.clone(), args.items, args.requests.unwrap_or(u64::MAX));
    let time = args.requests.is_none().then(|| Duration::from_secs(args.seconds));
    let measured = Phase { name: "measuring", plan, time, rate: args.rate }.run(connections, stop).await?;
    Ok(Load { before: vec![filled, warm], measured })
}

/// Before the load, so that a file that can't be written costs nothing.
fn create(path: &Path) -> Result<BufWriter<File>, CliError> {
    let file = File::create(path).map_err(CliError::of(format!("write to {}", path.display())))?;
    Ok(BufWriter::new(file))
}

/// The connections, with so many slots among them.
async fn open(args: &BenchArgs, in_flight: u32) -> Result<Vec<Connection>, CliError> {
    let mut connections = Vec::new();
    let count = args.connections.min(in_flight);
    for number in 0..count {
        let client = args.nats.connect("berth bench").await?;
        let slots = in_flight / count + u32::from(number < in_flight % count);
        connections.push(Connection::open(client, slots as usize).await?);
    }
    Ok(connections)
}
