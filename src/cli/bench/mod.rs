//! `berth bench`: a closed loop of requests on a running worker, and a check of what it answered.
//!
//! Every run has a tenant and pools of its own, so that what it finds afterwards, in the stream and in the database,
//! is what it did and nothing else.

mod check;
mod load;
mod plan;
mod report;

use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{CliError, NatsArgs};
use crate::clock;
use crate::domain::id::Tenant;
use crate::wire::verb::Verb;
use load::{Connection, Progress, Tally};
use plan::Plan;

pub const EXAMPLES: &str = "\
Examples:
  berth bench                                             10 s of reserve, 1,024 in flight, over 1,000 pools
  berth bench --in-flight 32 --pools 1 --seconds 30       a single hot pool
  berth bench --verb lock --json                          locks; the figures as one line of JSON
  berth bench --verb availability --in-flight 1           how long a look at what is free takes
  berth bench --pools 1 --live 1000000                    a pool that has a million reservations already
  berth bench --capacity 3 --database-url postgres://…    more demand than there is: nothing may be overcommitted

It makes a tenant and pools of its own, which stay. Refusals that say \"later\" (overloaded) are counted apart and sent
again under the same key. Afterwards the stream of events, and with --database-url the rows, must hold what was
answered, each once; exit status 1 where they do not.";

#[derive(Clone, Debug, clap::Args)]
pub struct BenchArgs {
    /// What to ask for
    #[arg(long, value_enum, default_value_t = Kind::Reserve)]
    verb: Kind,

    /// How many requests are unanswered at any time
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=32_768))]
    in_flight: u32,

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

    /// Print the figures as one line of JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    nats: NatsArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Reserve,
    Lock,
    Availability,
}

impl Kind {
    fn verb(self) -> Verb {
        match self {
            Kind::Reserve => Verb::Reserve,
            Kind::Lock => Verb::Lock,
            Kind::Availability => Verb::Availability,
        }
    }
}

/// How many requests are unanswered while pools are filled, however few are measured with.
const FILL_IN_FLIGHT: u32 = 1_024;

/// What was measured.
struct Measured {
    tally: Tally,
    /// From the first request to the end of the time, or to the last answer where requests were counted.
    seconds: f64,
    /// Answers within these seconds.
    answers: u64,
}

/// Loads, checks, prints. An error where the worker could not be loaded, or where the check failed.
pub async fn run(args: BenchArgs, stop: CancellationToken) -> Result<(), CliError> {
    let run = clock::random_uuid().simple().to_string();
    let run = run.get(..8).unwrap_or(&run);
    let tenant = Tenant::parse(&format!("bench-{run}")).ok_or_else(|| CliError::told("could not name a tenant"))?;
    let subjects = args.nats.subjects()?;
    let mut connections = open(&args, args.in_flight).await?;
    connections[0].probe(subjects.request(&tenant, Verb::PoolList)).await?;

    if args.verb != Kind::Lock {
        let pools = Plan::pools(&args, &subjects, &tenant, run);
        let made = phase(&mut connections, pools, "making pools", None, &stop).await?.tally;
        if made.accepted.len() < args.pools as usize && !stop.is_cancelled() {
            return Err(CliError::told(format!("the pools could not be made: {}", made.complaint())));
        }
    }
    // What is only looked at has to be reserved by something else.
    let writes = if args.verb == Kind::Availability { Kind::Reserve } else { args.verb };
    let fill = Plan::load(&args, writes, &subjects, &tenant, run, "f", args.live);
    let mut fillers = open(&args, FILL_IN_FLIGHT).await?;
    let filled = phase(&mut fillers, fill.clone(), "filling pools", None, &stop).await?.tally;
    if !stop.is_cancelled() {
        tokio::time::sleep(Duration::from_secs(args.rest)).await;
    }
    let warmup = Plan::load(&args, args.verb, &subjects, &tenant, run, "w", u64::MAX);
    let warm =
        phase(&mut connections, warmup, "warming up", Some(Duration::from_secs(args.warmup)), &stop).await?.tally;
    let plan = Plan::load(&args, args.verb, &subjects, &tenant, run, "m", args.requests.unwrap_or(u64::MAX));
    let time = args.requests.is_none().then(|| Duration::from_secs(args.seconds));
    let measured = phase(&mut connections, plan, "measuring", time, &stop).await?;

    let client = args.nats.connect("berth bench").await?;
    let checked = check::run(&args, &client, &subjects, &tenant, &fill, &[&filled, &warm, &measured.tally]).await?;
    report::print(&args, &measured, &checked).map_err(CliError::of("write the report"))?;
    match checked.faults.is_empty() {
        true => Ok(()),
        false => Err(CliError::told(format!("the check failed: {}", checked.faults.join("; ")))),
    }
}

/// The connections, with so many slots among them.
async fn open(args: &BenchArgs, in_flight: u32) -> Result<Vec<Connection>, CliError> {
    let mut connections = Vec::new();
    for number in 0..args.connections {
        let client = args.nats.connect("berth bench").await?;
        let slots = in_flight / args.connections + u32::from(number < in_flight % args.connections);
        connections.push(Connection::open(client, slots as usize).await?);
    }
    Ok(connections)
}

/// One round of load over all connections: until the plan or the time is at its end, and everything is answered.
async fn phase(
    connections: &mut Vec<Connection>,
    plan: Plan,
    name: &'static str,
    time: Option<Duration>,
    stop: &CancellationToken,
) -> Result<Measured, CliError> {
    let progress = Progress::new();
    let begin = Instant::now();
    let until = time.map(|time| begin + time);
    let mut tasks = JoinSet::new();
    for connection in connections.drain(..) {
        tasks.spawn(connection.run(plan.clone(), progress.clone(), until, stop.clone()));
    }
    let bar = bar(name, time, plan.limit());
    let mut tally = Tally::new()?;
    let mut redraw = tokio::time::interval(Duration::from_millis(200));
    while !tasks.is_empty() {
        tokio::select! {
            Some(done) = tasks.join_next() => {
                let (connection, part) = done.map_err(CliError::of("finish the load"))??;
                connections.push(connection);
                tally.add(part);
            }
            _ = redraw.tick() => show(&bar, &progress, begin, time),
        }
    }
    bar.finish_and_clear();
    let (seconds, answers) = match until {
        Some(until) => (until.min(Instant::now()) - begin, tally.answers_in_time),
        None => (begin.elapsed(), tally.answers),
    };
    Ok(Measured { tally, seconds: seconds.as_secs_f64(), answers })
}

/// Seen only where stderr is a terminal.
fn bar(name: &'static str, time: Option<Duration>, limit: u64) -> ProgressBar {
    let length = time.map_or(limit, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let template = "{prefix:13} {wide_bar} {msg}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style).with_prefix(name)
}

fn show(bar: &ProgressBar, progress: &Progress, begin: Instant, time: Option<Duration>) {
    let answers = progress.answers();
    let elapsed = begin.elapsed();
    bar.set_position(if time.is_some() { u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX) } else { answers });
    let rate = answers as f64 / elapsed.as_secs_f64().max(0.001);
    bar.set_message(format!("{} answers, {}/s", HumanCount(answers), HumanCount(rate as u64)));
}
