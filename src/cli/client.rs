//! `berth request`: one request, its answer on stdout, and an exit status that says what became of it.

use std::io::{IsTerminal, Read, Write};
use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::header::{HeaderName, HeaderValue};
use async_nats::jetstream::{self, context::PublishErrorKind};
use async_nats::{Client, HeaderMap, Message};
use bytes::Bytes;
use clap::builder::PossibleValuesParser;
use futures::StreamExt;
use serde_json::Value;

use super::{CliError, ERROR_CODE_HEADER, ERROR_NUMBER_HEADER, KEY_HEADER, NatsArgs, REPLAYED_HEADER, example_window};
use crate::clock;
use crate::domain::id::Tenant;
use crate::wire::request::Headers;
use crate::wire::verb::Verb;

/// The end of the help.
pub fn examples() -> String {
    let window = example_window();
    format!(
        "\
Examples:
  berth request pool_put '{{\"pool\":\"h100\",\"capacity\":64}}'
  berth request reserve --tenant acme --key order-1 '{{\"pool\":\"h100\",\"quantity\":8,
    {window}}}'
  berth request lock '{{\"requester\":\"job-7\",\"resource\":\"disk-1\",\"ttl_seconds\":60}}'
  berth request list | jq -r '.data[].reservation_id'
  berth request reserve --submit - < order.json    durable: accepted even while no worker runs

Exit status: 0 accepted; 2 refused, or a lock that was not obtained; 1 anything else (nobody serves, no answer in time,
a wrong flag). The answer goes to stdout, also where it is a refusal; what is said about it goes to stderr."
    )
}

/// Outcomes of lock verbs by which the caller did not get what it asked for.
const NOT_OBTAINED: [&str; 7] =
    ["ALREADY_HELD", "NOT_AVAILABLE", "NOT_VALID", "QUEUED", "DOESNT_OWN_RESERVATION", "PARTIAL", "FAILED"];

#[derive(Debug, clap::Args)]
pub struct RequestArgs {
    /// What to do
    #[arg(value_parser = PossibleValuesParser::new(Verb::ALL.map(Verb::name)))]
    verb: String,

    /// The payload, sent exactly as it is; - reads it from stdin
    #[arg(value_name = "JSON", default_value = "{}")]
    body: String,

    /// On whose behalf; the operator's verbs belong to no tenant
    #[arg(long, short, default_value = "default")]
    tenant: String,

    /// The idempotency key: the same request under the same key is carried out once, however often it is sent
    #[arg(long, short)]
    key: Option<String>,

    /// A header of the request, such as 'Berth-Actor: alice'; may be given several times
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE", value_parser = parse_header)]
    headers: Vec<(HeaderName, HeaderValue)>,

    /// Send to the operator's subjects; goes without saying for the operator's verbs
    #[arg(long, conflicts_with = "submit")]
    admin: bool,

    /// Send durably: a stream keeps the request until it has been decided, then wait for the outcome
    #[arg(long)]
    submit: bool,

    /// With --submit: do not wait for the outcome, only for the acknowledgement
    #[arg(long, requires = "submit")]
    no_wait: bool,

    /// How long to wait for the answer
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    timeout: Duration,

    #[command(flatten)]
    nats: NatsArgs,
}

/// What became of a request that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    Refused,
}

/// A request, checked and ready to be sent.
struct Prepared {
    verb: Verb,
    tenant: Tenant,
    headers: HeaderMap,
    payload: Bytes,
}

/// Sends the request, prints the answer. An error means that there is none.
pub async fn run(args: RequestArgs) -> Result<Verdict, CliError> {
    let request = prepare(&args)?;
    let client = args.nats.connect("berth request").await?;
    let answer = match args.submit {
        true => submit(&args, &client, request).await?,
        false => Some(ask(&args, &client, request).await?),
    };
    let Some(answer) = answer else { return Ok(Verdict::Accepted) };
    print(&answer.payload).map_err(CliError::of("write the answer"))?;
    if answer.headers.as_ref().is_some_and(|headers| headers.get(REPLAYED_HEADER).is_some()) {
        eprintln!("replayed: this is the stored answer to the key");
    }
    match refusal(answer.headers.as_ref(), &answer.payload) {
        Some(why) => {
            eprintln!("{why}");
            Ok(Verdict::Refused)
        }
        None => Ok(Verdict::Accepted),
    }
}

fn prepare(args: &RequestArgs) -> Result<Prepared, CliError> {
    let verb = Verb::parse(&args.verb).ok_or_else(|| CliError::told("there is no such verb"))?;
    if args.admin && !verb.is_admin() {
        return Err(CliError::told(format!(
            "{} is a tenant's verb, not the operator's: leave --admin out",
            verb.name()
        )));
    }
    if args.submit && !verb.is_mutation() {
        return Err(CliError::told(format!("{} changes nothing: leave --submit out", verb.name())));
    }
    if args.submit && verb.is_admin() {
        return Err(CliError::told(format!("{} is the operator's verb: leave --submit out", verb.name())));
    }
    let tenant =
        Tenant::parse(&args.tenant).ok_or_else(|| CliError::told("the tenant is not [a-z0-9][a-z0-9-]{0,62}"))?;
    let payload = match args.body.as_str() {
        "-" => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).map_err(CliError::of("read the payload from stdin"))?;
            bytes.into()
        }
        body => Bytes::copy_from_slice(body.as_bytes()),
    };
    Ok(Prepared { verb, tenant, headers: headers(args)?, payload })
}

fn headers(args: &RequestArgs) -> Result<HeaderMap, CliError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &args.headers {
        headers.append(name.clone(), value.clone());
    }
    if let Some(key) = &args.key {
        if headers.get(KEY_HEADER).is_some() {
            return Err(CliError::told("give the key by --key or by --header, not by both"));
        }
        let value: HeaderValue = key.parse().map_err(CliError::of("use this --key as a header"))?;
        headers.insert(KEY_HEADER, value);
    }
    Ok(headers)
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("it has no colon: write 'Name: value'")?;
    let name = name.trim().parse().map_err(|_| "the name is not one that a header can have".to_owned())?;
    let value = value.trim().parse().map_err(|_| "the value is not one that a header can have".to_owned())?;
    Ok((name, value))
}

/// Core request-reply.
async fn ask(args: &RequestArgs, client: &Client, request: Prepared) -> Result<Message, CliError> {
    let subject = args.nats.subjects()?.request(&request.tenant, request.verb);
    let message =
        async_nats::Request::new().headers(request.headers).payload(request.payload).timeout(Some(args.timeout));
    client.send_request(subject.clone(), message).await.map_err(|error| match error.kind() {
        RequestErrorKind::NoResponders => CliError::told(format!("nobody serves {subject}: is a worker running?")),
        RequestErrorKind::TimedOut => CliError::told(no_answer(args, request.verb, &subject)),
        _ => CliError::of(format!("send the request to {subject}"))(error),
    })
}

fn no_answer(args: &RequestArgs, verb: Verb, subject: &str) -> String {
    let waited = humantime::format_duration(args.timeout);
    match (verb.is_mutation(), &args.key) {
        (false, _) => format!("no answer from {subject} within {waited}"),
        (true, Some(_)) => format!(
            "no answer from {subject} within {waited}; whether it was done is not known: send it again with the same key"
        ),
        (true, None) => format!(
            "no answer from {subject} within {waited}; whether it was done is not known (with a --key it could safely be \
             sent again)"
        ),
    }
}

/// The durable path: publishes, and waits for the result that carries the same key. `None`: was not to be waited for.
async fn submit(args: &RequestArgs, client: &Client, mut request: Prepared) -> Result<Option<Message>, CliError> {
    let subjects = args.nats.subjects()?;
    let key = match request.headers.get(KEY_HEADER) {
        Some(key) => key.as_str().to_owned(),
        None => clock::random_uuid().to_string(),
    };
    // The result of a key that is refused carries another, and would be waited for in vain.
    let sent = Headers { idempotency_key: Some(&key), ..Headers::default() };
    sent.key().map_err(|refusal| CliError::told(refusal.to_string()))?;
    request.headers.insert(KEY_HEADER, key.as_str());
    let subject = subjects.submit(&request.tenant, request.verb);
    let result = subjects.result(request.tenant.as_str(), request.verb.name());
    // Before the request is published, so that no result comes too early to be seen.
    let mut results = match args.no_wait {
        true => None,
        false => Some(client.subscribe(result.clone()).await.map_err(CliError::of(format!("subscribe to {result}")))?),
    };
    let deadline = tokio::time::Instant::now() + args.timeout;
    let mut context = jetstream::new(client.clone());
    context.set_timeout(args.timeout);
    let refused = |error: jetstream::context::PublishError| match error.kind() {
        PublishErrorKind::StreamNotFound => {
            CliError::told(format!("no stream takes {subject}: has a worker ever run on this server?"))
        }
        _ => CliError::of(format!("submit to {subject}"))(error),
    };
    let ack = context.publish_with_headers(subject.clone(), request.headers, request.payload).await.map_err(refused)?;
    let ack = ack.await.map_err(refused)?;
    eprintln!("accepted: stream {}, sequence {}, key {key}", ack.stream, ack.sequence);
    let Some(results) = &mut results else { return Ok(None) };
    loop {
        let Ok(Some(message)) = tokio::time::timeout_at(deadline, results.next()).await else {
            let waited = humantime::format_duration(args.timeout);
            return Err(CliError::told(format!(
                "no result on {result} within {waited}: the request is kept and will be decided. Its result stays in the \
                 stream {}; send it again under the key {key} to wait for it, or, if it is not malformed, ask by berth \
                 request receipt --tenant {} '{{\"idempotency_key\":\"{key}\"}}'",
                subjects.stream("RESULT"),
                request.tenant
            )));
        };
        let sent_with = message.headers.as_ref().and_then(|headers| headers.get(KEY_HEADER));
        if sent_with.is_some_and(|sent_with| sent_with.as_str() == key) {
            return Ok(Some(message));
        }
    }
}

/// Why the answer is a no, as a line for a person; `None` where it is not.
fn refusal(headers: Option<&HeaderMap>, body: &[u8]) -> Option<String> {
    let header = |name: &str| Some(headers?.get(name)?.as_str().to_owned());
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    if let Some(number) = header(ERROR_NUMBER_HEADER) {
        let code = header(ERROR_CODE_HEADER).unwrap_or_default();
        let message = body.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
        return Some(format!("refused: {number} {code}: {message}"));
    }
    match &body {
        Value::Array(items) => {
            let refused: Vec<(usize, String)> =
                items.iter().enumerate().filter_map(|(index, item)| Some((index, item_refusal(item)?))).collect();
            let (index, why) = refused.first()?;
            Some(format!("{} of {} items were not done, the first [{index}]: {why}", refused.len(), items.len()))
        }
        item => item_refusal(item),
    }
}

fn item_refusal(item: &Value) -> Option<String> {
    if let Some(error) = item.get("error").filter(|error| error.is_object()) {
        let text = |name| error.get(name).and_then(Value::as_str).unwrap_or_default();
        return Some(format!("refused: {}: {}", text("code"), text("message")));
    }
    if item.get("current") == Some(&Value::Bool(false)) {
        return Some("stale: the lock has another holder, or none".to_owned());
    }
    let status = item.get("status")?.as_str()?;
    // Of an unlock, which tells what it released, this is a success; a lock that can't be renewed is lost.
    if status == "NOT_RESERVED" && item.get("released").is_none() {
        return Some(format!("lost: {status}"));
    }
    NOT_OBTAINED.contains(&status).then(|| format!("not obtained: {status}"))
}

/// For a person with lines and indents, for a program the bytes as they came.
fn print(body: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.is_terminal() {
        true => out.write_all(&indented(body))?,
        false => out.write_all(body)?,
    }
    out.write_all(b"\n")?;
    out.flush()
}

/// The same JSON with a line for each member: order, numbers and escapes stay as they are, which a parse and a print
/// would not promise.
fn indented(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() * 2);
    let mut depth = 0usize;
    let (mut in_string, mut is_escaped, mut is_opened) = (false, false, false);
    let line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.resize(out.len() + 2 * depth, b' ');
    };
    for &byte in json {
        if in_string {
            in_string = is_escaped || byte != b'"';
            is_escaped = byte == b'\\' && !is_escaped;
            out.push(byte);
            continue;
        }
        if byte.is_ascii_whitespace() {
            continue;
        }
        let is_close = matches!(byte, b'}' | b']');
        if is_close {
            depth = depth.saturating_sub(1);
        }
        if is_opened != is_close {
            line(&mut out, depth);
        }
        is_opened = false;
        out.push(byte);
        match byte {
            b'{' | b'[' => (depth, is_opened) = (depth + 1, true),
            b',' => line(&mut out, depth),
            b':' => out.push(b' '),
            b'"' => in_string = true,
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(json: &str) -> String {
        String::from_utf8(indented(json.as_bytes())).unwrap()
    }

    #[test]
    fn json_is_shown_with_a_line_for_each_member() {
        let json = r#"{"b":1.50,"a":["x",{"k":null}],"e":{},"f":[ ]}"#;
        let lines = "{\n  \"b\": 1.50,\n  \"a\": [\n    \"x\",\n    {\n      \"k\": null\n    }\n  ],\n  \"e\": {},\n  \"f\": []\n}";
        assert_eq!(shown(json), lines);
    }

    #[test]
    fn what_stands_in_a_string_is_left_alone() {
        assert_eq!(shown(r#"["a,{}:\"[ \\",1]"#), "[\n  \"a,{}:\\\"[ \\\\\",\n  1\n]");
    }

    #[test]
    fn a_lock_that_was_not_obtained_is_a_refusal_and_one_that_was_is_not() {
        let why = |body: &str| refusal(None, body.as_bytes());
        assert_eq!(why(r#"{"status":"NOT_RESERVED","released":[]}"#), None);
        assert_eq!(why(r#"{"status":"NOT_RESERVED","expires_at":null}"#).as_deref(), Some("lost: NOT_RESERVED"));
        assert!(why(r#"{"current":false,"fencing_token":1}"#).is_some());
        assert_eq!(why(r#"{"status":"ALREADY_HELD"}"#).as_deref(), Some("not obtained: ALREADY_HELD"));
        assert_eq!(why(r#"{"status":"ACQUIRED"}"#), None);
        assert_eq!(why(r#"{"status":"PARTIAL","results":[]}"#).as_deref(), Some("not obtained: PARTIAL"));
        assert_eq!(why(r#"{"status":"SUCCESS","results":[]}"#), None);
        assert_eq!(why(r#"{"status":"Pending","reservation_id":"…"}"#), None);
        let items = r#"[{"status":"ACQUIRED"},{"status":"DOESNT_OWN_RESERVATION"},{"error":{"code":"not_found"}}]"#;
        let expected = "2 of 3 items were not done, the first [1]: not obtained: DOESNT_OWN_RESERVATION";
        assert_eq!(why(items).as_deref(), Some(expected));
    }
}
