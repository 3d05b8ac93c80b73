//! The settings of a worker, each a flag and an environment variable.

use std::net::SocketAddr;
use std::time::Duration;

/// Everything a worker can be told. `--help` shows the defaults.
#[derive(Clone, Debug, clap::Args)]
pub struct WorkerConfig {
    /// The primary of a durable Postgres, version 15 or later
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: String,

    /// The NATS server, JetStream enabled; several, separated by commas; with user:password@ or token@ before the host
    #[arg(long, env = "NATS_URL", default_value = "nats://127.0.0.1:4222", hide_env_values = true)]
    pub nats_url: String,

    /// A NATS credentials file
    #[arg(long, env = "NATS_CREDS")]
    pub nats_creds: Option<std::path::PathBuf>,

    /// Where GET /live, /ready and /metrics are served; port 0 picks a free one
    #[arg(long, env = "BERTH_HTTP_ADDR", default_value = "127.0.0.1:9464")]
    pub http_addr: SocketAddr,

    /// The first token of every subject, in capitals the prefix of every stream
    #[arg(long, env = "BERTH_SUBJECT_ROOT", default_value = "berth")]
    pub subject_root: String,

    /// Replies leave only to subjects that begin with one of these and a dot
    #[arg(long, env = "BERTH_INBOX_PREFIXES", default_value = "_INBOX", value_delimiter = ',')]
    pub inbox_prefixes: Vec<String>,

    /// How many connections decide batches at once, each for its share of the lanes
    #[arg(long, env = "BERTH_DECIDERS", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub deciders: u8,

    /// Whether the workers share the lanes among them, and pass each request on to the worker that has its lane
    #[arg(long, env = "BERTH_HOMES", default_value_t = true, action = clap::ArgAction::Set)]
    pub homes: bool,

    /// Most requests in one batch
    #[arg(long, env = "BERTH_BATCH_MAX", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub batch_max: u32,

    /// Most requests in hand at once; more are refused as overloaded
    #[arg(long, env = "BERTH_IN_FLIGHT_MAX", default_value_t = 8192, value_parser = clap::value_parser!(u32).range(1..))]
    pub in_flight_max: u32,

    /// Most connections for reads, the relay and the clock
    #[arg(long, env = "BERTH_READERS", default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..))]
    pub readers: u32,

    /// Above so many events that wait to be published, commands are refused as overloaded
    #[arg(long, env = "BERTH_BACKLOG_MAX", default_value_t = 1_000_000)]
    pub backlog_max: u32,

    /// How long receipts are kept
    #[arg(long, env = "BERTH_RECEIPTS_KEPT", default_value = "7d", value_parser = an_hour_or_more)]
    pub receipts_kept: Duration,

    /// How long published events are kept in the journal
    #[arg(long, env = "BERTH_JOURNAL_KEPT", default_value = "3d", value_parser = an_hour_or_more)]
    pub journal_kept: Duration,

    /// How long the events of reservations are kept for history, usage and reads of the past
    #[arg(long, env = "BERTH_HISTORY_KEPT", default_value = "400d", value_parser = an_hour_or_more)]
    pub history_kept: Duration,
}

/// Less would be forgotten while its sender still repeats it, or a worker still asks whether it was committed.
fn an_hour_or_more(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match duration >= Duration::from_secs(3_600) {
        true => Ok(duration),
        false => Err("at least 1h".to_owned()),
    }
}
