//! What a person runs: the embedded stack, a thin client, the load tool. Prints; everything else only logs.

pub mod bench;
pub mod client;
pub mod dev;
pub mod stack;
pub mod watch;

use std::path::PathBuf;

use async_nats::{Client, ConnectOptions};

use crate::clock;
use crate::wire::subject::Subjects;
use crate::worker::login::{log_in, servers};

/// Any cause, of whatever library.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The request's key, and in results and replies the key that it was sent with.
pub const KEY_HEADER: &str = "Idempotency-Key";
/// Set on a reply whose body is the stored one.
pub const REPLAYED_HEADER: &str = "Berth-Replayed";
/// Set on refusals: the number and the code.
pub const ERROR_NUMBER_HEADER: &str = "Nats-Service-Error-Code";
pub const ERROR_CODE_HEADER: &str = "Nats-Service-Error";

/// Why a command ended with exit status 1.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("could not {attempt}")]
    Failed {
        attempt: String,
        #[source]
        source: Cause,
    },
    /// One sentence that needs no cause.
    #[error("{0}")]
    Told(String),
}

impl CliError {
    /// For `map_err`.
    pub fn of<E: Into<Cause>>(attempt: impl Into<String>) -> impl FnOnce(E) -> CliError {
        move |source| CliError::Failed { attempt: attempt.into(), source: source.into() }
    }

    pub fn told(sentence: impl Into<String>) -> CliError {
        CliError::Told(sentence.into())
    }
}

/// A window that can be reserved when the help is read: most pools take nothing beyond a year.
pub fn example_window() -> String {
    let day = (clock::now() + chrono::Days::new(1)).date_naive();
    format!(r#""start_time":"{day}T09:00:00Z","end_time":"{day}T10:00:00Z""#)
}

/// Where the worker is to be found.
#[derive(Clone, Debug, clap::Args)]
pub struct NatsArgs {
    /// The NATS server; several, separated by commas; with user:password@ or token@ before the host
    #[arg(long, env = "NATS_URL", default_value = "nats://127.0.0.1:4222", hide_env_values = true)]
    pub nats_url: String,

    /// A NATS credentials file
    #[arg(long, env = "NATS_CREDS")]
    pub nats_creds: Option<PathBuf>,

    /// The first token of every subject, as the worker was given it
    #[arg(long, env = "BERTH_SUBJECT_ROOT", default_value = "berth")]
    pub subject_root: String,
}

impl NatsArgs {
    pub fn subjects(&self) -> Result<Subjects, CliError> {
        Subjects::new(&self.subject_root)
            .ok_or_else(|| CliError::told("the subject root is not [a-z0-9][a-z0-9_-]{0,31}"))
    }

    /// Connects, and fails at once where no server answers. `name` is shown by the server's own tools.
    pub async fn connect(&self, name: &str) -> Result<Client, CliError> {
        self.connect_with(ConnectOptions::new().name(name)).await
    }

    /// As [`NatsArgs::connect`], for a caller that has options of its own.
    pub async fn connect_with(&self, options: ConnectOptions) -> Result<Client, CliError> {
        let servers = servers(&self.nats_url);
        let credentials = self.nats_creds.as_deref();
        let file = credentials.map(|path| path.display().to_string()).unwrap_or_default();
        let logged_in = log_in(options, credentials, &servers).await;
        let options = logged_in.map_err(CliError::of(format!("read the credentials file {file}")))?;
        let attempt = format!("connect to NATS at {}", without_secrets(&servers));
        options.connect(servers).await.map_err(CliError::of(attempt))
    }
}

/// The URLs without user and password.
fn without_secrets(urls: &[String]) -> String {
    let shown = |url: &String| match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_owned(),
        _ => url.clone(),
    };
    urls.iter().map(shown).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        let urls = ["nats://bob:s@cret@one:4222", "tls://two", "token@three:1"].map(str::to_owned);
        assert_eq!(without_secrets(&urls), "nats://one:4222, tls://two, three:1");
    }
}
