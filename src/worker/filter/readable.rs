//! Which messages the client library can read, and what it is given instead of one that it can't.
//!
//! The server passes subjects, reply subjects and headers on as they were published, and whoever may publish can
//! write any bytes there. The client library (async-nats 0.51) gives a connection up over a subject or header that it
//! can't parse, and for good over a lone carriage return in a header's value.

use super::operation::Message;
use crate::wire::headers::UNREADABLE_HEADER;

/// Stands for what can't be read in a subject. No tenant and no verb has it.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// Whether the client library takes it, and takes it for what it is.
pub fn is_readable(message: &Message<'_>) -> bool {
    is_subject(message.subject)
        && message.reply.is_none_or(is_subject)
        && message.header.is_none_or(|header| is_header(header, message.reply.is_some()))
}

/// The same message in readable form: its subject with U+FFFD for what can't be read, and in place of such a header
/// one that says so. A reply subject that can't be read becomes one that lies in no inbox.
pub fn readable(message: &Message<'_>) -> Vec<u8> {
    let header = match message.header {
        Some(header) if !is_header(header, message.reply.is_some()) => {
            Some(format!("NATS/1.0\r\n{UNREADABLE_HEADER}: 1\r\n\r\n").into_bytes())
        }
        header => header.map(<[u8]>::to_vec),
    };
    let mut sent = if header.is_some() { b"HMSG ".to_vec() } else { b"MSG ".to_vec() };
    sent.extend(replaced(message.subject).bytes());
    sent.push(b' ');
    sent.extend(message.sid);
    sent.push(b' ');
    match message.reply {
        Some(reply) if is_subject(reply) => sent.extend([reply, b" "].concat()),
        Some(_) => sent.extend(format!("{REPLACEMENT} ").bytes()),
        None => (),
    }
    let header_bytes = header.as_ref().map_or(0, Vec::len);
    if header.is_some() {
        sent.extend(format!("{header_bytes} ").bytes());
    }
    sent.extend(format!("{}\r\n", header_bytes + message.payload.len()).bytes());
    sent.extend(header.unwrap_or_default());
    sent.extend([message.payload, b"\r\n"].concat());
    sent
}

fn replaced(subject: &[u8]) -> String {
    let text = String::from_utf8_lossy(subject);
    text.chars().map(|char| if is_of_subject(char) { char } else { REPLACEMENT }).collect()
}

fn is_subject(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.chars().all(is_of_subject))
}

/// The client library takes a first line apart at any white space of Unicode.
fn is_of_subject(char: char) -> bool {
    !char.is_whitespace() && !char.is_control()
}

/// `NATS/1.0`, on a message that wants no reply perhaps a status behind it, then lines of `name: value`. A status is
/// the server's word, which it sends without a reply subject (but to push consumers, and a worker has none): on a request, the client library would take the request
/// for the server's word.
fn is_header(header: &[u8], wants_reply: bool) -> bool {
    let Ok(text) = std::str::from_utf8(header) else { return false };
    let Some(lines) = text.strip_prefix("NATS/1.0").and_then(|rest| rest.strip_suffix("\r\n\r\n")) else {
        return false;
    };
    let mut lines = lines.split("\r\n");
    let head = lines.next().unwrap_or("");
    let status = head.trim();
    let is_status = || !wants_reply && status.split(' ').next().is_some_and(is_code);
    is_line(head) && (status.is_empty() || is_status()) && lines.all(is_field)
}

fn is_code(code: &str) -> bool {
    code.len() == 3 && !code.starts_with('0') && code.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_field(line: &str) -> bool {
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_graphic());
    line.split_once(':').is_some_and(|(name, value)| is_name(name) && is_line(value))
}

fn is_line(text: &str) -> bool {
    !text.contains(['\r', '\n'])
}
