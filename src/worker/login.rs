//! At which servers of NATS a client logs in, and as whom.

use std::path::Path;

use async_nats::{ConnectOptions, ServerAddr};
use percent_encoding::percent_decode_str;

/// The servers of a list of URLs with commas between them.
pub fn servers(urls: &str) -> Vec<String> {
    urls.split(',').map(|url| url.trim().to_owned()).collect()
}

/// The options, with the login of a credentials file or else of the first of these URLs that has one:
/// `nats://user:password@host` or `nats://token@host`, with `%40` for an `@`. All servers get the same. An error where
/// the file can't be read.
///
/// The client library takes a login from its options only.
pub async fn log_in(
    options: ConnectOptions,
    credentials: Option<&Path>,
    servers: &[String],
) -> std::io::Result<ConnectOptions> {
    if let Some(path) = credentials {
        return options.credentials_file(path).await;
    }
    let addresses = servers.iter().filter_map(|url| url.parse::<ServerAddr>().ok()); // what is none, connecting tells
    let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    let login = |address: ServerAddr| Some((decoded(address.username()?), address.password().map(decoded)));
    Ok(match addresses.into_iter().find_map(login) {
        Some((user, Some(password))) => options.user_and_password(user, password),
        Some((token, None)) => options.token(token),
        None => options,
    })
}
