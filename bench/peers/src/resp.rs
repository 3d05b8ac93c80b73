//! As much of Redis's protocol as the load needs: commands to bytes, and where a reply ends.

use anyhow::{Result, bail};

/// Appends a command.
pub fn command(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// The first reply in `bytes`: its text (of a number its digits, of nothing nothing) and its length with the line ends,
/// or `None` where it is not all there.
pub fn reply(bytes: &[u8]) -> Result<Option<(&[u8], usize)>> {
    let Some(line) = bytes.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
    let (head, body) = (&bytes[1..line], line + 2);
    match bytes[0] {
        b'+' | b':' => Ok(Some((head, body))),
        b'$' if head == b"-1" => Ok(Some((b"", body))),
        b'$' => {
            let length: usize = std::str::from_utf8(head)?.parse()?;
            let text = bytes.get(body..body + length + 2);
            Ok(text.map(|text| (&text[..length], body + length + 2)))
        }
        _ => bail!("Redis says {}", String::from_utf8_lossy(&bytes[..line])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_an_array_of_strings() {
        let mut out = Vec::new();
        command(&mut out, &[b"GET", b"a b"]);
        assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$3\r\na b\r\n");
    }

    #[test]
    fn a_reply_ends_where_its_length_says_and_is_awaited_until_then() {
        assert_eq!(reply(b"+OK\r\n:1\r\n").unwrap(), Some((b"OK".as_slice(), 5)));
        assert_eq!(reply(b":1\r\n").unwrap(), Some((b"1".as_slice(), 4)));
        assert_eq!(reply(b"$-1\r\n").unwrap(), Some((b"".as_slice(), 5)));
        assert_eq!(reply(b"$4\r\na\r\nb\r\n+").unwrap(), Some((b"a\r\nb".as_slice(), 10)));
        for part in [b"".as_slice(), b"$4\r", b"$4\r\na\r\nb\r"] {
            assert_eq!(reply(part).unwrap(), None);
        }
        assert!(reply(b"-ERR no\r\n").is_err());
    }
}
