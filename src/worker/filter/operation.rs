//! What a server sends, cut into the operations of NATS's client protocol.

use std::io;

/// One operation, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    Message(Message<'a>),
    /// The JSON of an `INFO`.
    Info(&'a [u8]),
    /// The answer to a `PING`.
    Pong,
    /// `PING`, `+OK`, `-ERR`.
    Other,
}

/// `MSG <subject> <sid> [reply] <bytes>` or `HMSG <subject> <sid> [reply] <header bytes> <bytes>`.
#[derive(Debug, PartialEq, Eq)]
pub struct Message<'a> {
    pub subject: &'a [u8],
    pub sid: &'a [u8],
    pub reply: Option<&'a [u8]>,
    /// `None` in a `MSG`.
    pub header: Option<&'a [u8]>,
    pub payload: &'a [u8],
}

/// The first operation and its length, bytes; `None` where it has not come whole. An error where this is not the
/// protocol: nothing behind it can be told apart.
pub fn first(bytes: &[u8]) -> io::Result<Option<(Operation<'_>, usize)>> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
    let line = bytes[..end].strip_suffix(b"\r").ok_or_else(no_operation)?;
    let after = end + 1;
    if let Some(arguments) = line.strip_prefix(b"MSG ") {
        let sizes = Arguments::of(arguments, false).ok_or_else(no_operation)?;
        sizes.message(bytes, after)
    } else if let Some(arguments) = line.strip_prefix(b"HMSG ") {
        let sizes = Arguments::of(arguments, true).ok_or_else(no_operation)?;
        sizes.message(bytes, after)
    } else if let Some(json) = line.strip_prefix(b"INFO ") {
        Ok(Some((Operation::Info(json), after)))
    } else if line.starts_with(b"PONG") {
        Ok(Some((Operation::Pong, after)))
    } else if is_other(line) {
        Ok(Some((Operation::Other, after)))
    } else {
        Err(no_operation())
    }
}

/// The client library panics over an `-ERR` without text.
fn is_other(line: &[u8]) -> bool {
    line.starts_with(b"PING")
        || line.starts_with(b"+OK")
        || line.strip_prefix(b"-ERR ").is_some_and(|text| std::str::from_utf8(text).is_ok())
}

/// What stands in a message's first line.
struct Arguments<'a> {
    subject: &'a [u8],
    sid: &'a [u8],
    reply: Option<&'a [u8]>,
    header_bytes: Option<usize>,
    total_bytes: usize,
}

impl<'a> Arguments<'a> {
    fn of(line: &'a [u8], has_header: bool) -> Option<Arguments<'a>> {
        let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let (subject, sid) = (words.next()?, words.next()?);
        let rest: [Option<&[u8]>; 4] = std::array::from_fn(|_| words.next());
        let (reply, header, total) = match (has_header, rest) {
            (false, [Some(total), None, ..]) => (None, None, total),
            (false, [reply, Some(total), None, _]) => (reply, None, total),
            (true, [header @ Some(_), Some(total), None, _]) => (None, header, total),
            (true, [reply, header, Some(total), None]) => (reply, header, total),
            _ => return None,
        };
        let (header_bytes, total_bytes) = (header.map(number), number(total)?);
        let header_bytes = match header_bytes {
            Some(bytes) => Some(bytes.filter(|bytes| *bytes <= total_bytes)?),
            None => None,
        };
        Some(Arguments { subject, sid, reply, header_bytes, total_bytes })
    }

    /// With header and payload, which begin at `after`.
    fn message(self, bytes: &'a [u8], after: usize) -> io::Result<Option<(Operation<'a>, usize)>> {
        let end = after.checked_add(self.total_bytes).ok_or_else(no_operation)?;
        let Some(body) = bytes.get(after..end) else { return Ok(None) };
        match bytes.get(end..).and_then(|rest| rest.get(..2)) {
            Some(b"\r\n") => (),
            Some(_) => return Err(no_operation()),
            None => return Ok(None),
        }
        let (header, payload) = body.split_at(self.header_bytes.unwrap_or(0));
        let header = self.header_bytes.map(|_| header);
        let message = Message { subject: self.subject, sid: self.sid, reply: self.reply, header, payload };
        Ok(Some((Operation::Message(message), end + 2)))
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn no_operation() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the server sent what is not NATS's protocol")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_protocol_is_an_error_and_what_has_not_come_whole_is_not_yet_one() {
        for good in
            ["PING\r\n", "PONG\r\n", "+OK\r\n", "-ERR 'Stale Connection'\r\n", "INFO {}\r\n", "MSG a 1 0\r\n\r\n"]
        {
            assert_eq!(first(good.as_bytes()).unwrap().unwrap().1, good.len(), "{good:?}");
            for cut in 0..good.len() {
                assert_eq!(first(&good.as_bytes()[..cut]).unwrap(), None, "{good:?} up to {cut}");
            }
        }
        let bad: [&[u8]; 9] = [
            b"-ERR\r\n",
            b"-ERR '\xff'\r\n",
            b"PING\n",
            b"HTTP/1.1 400 Bad Request\r\n",
            b"MSG a 1\r\n",
            b"MSG a 1 -1\r\n",
            b"MSG a 1 18446744073709551615\r\n",
            b"MSG a 1 1\r\nab\r\n",
            b"HMSG a 1 2 1\r\n",
        ];
        for bad in bad {
            assert!(first(bad).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
    }
}
