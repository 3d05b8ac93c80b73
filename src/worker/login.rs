//! User and password, or a token, in the URL of a NATS server: the client library takes them from its options only.

use async_nats::{ConnectOptions, ServerAddr};
use percent_encoding::percent_decode_str;

/// The options, with the login of the first of these URLs that has one: `nats://user:password@host` or
/// `nats://token@host`, with `%40` for an `@`. All servers get the same.
pub fn with_login(options: ConnectOptions, urls: &[String]) -> ConnectOptions {
    let addresses = urls.iter().filter_map(|url| url.parse::<ServerAddr>().ok()); // what is none, connecting tells
    let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    let login = |address: ServerAddr| Some((decoded(address.username()?), address.password().map(decoded)));
    match addresses.into_iter().find_map(login) {
        Some((user, Some(password))) => options.user_and_password(user, password),
        Some((token, None)) => options.token(token),
        None => options,
    }
}
