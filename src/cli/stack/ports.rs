//! Ports of the loopback address: picked once, kept in the data folder, so that a second start has the same URLs.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::Path;

use crate::clock;

/// Below the range from which Linux takes the local ports of outgoing connections (32768 and up): while a server is
/// down for a moment no client's connection can sit on its port.
const RANGE: Range<u16> = 16_384..32_768;
const PICKS_MAX: usize = 64;

/// Whether a server could listen there now.
pub(super) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The port kept in `file` where it is free, else a new one, which is kept.
pub fn kept_or_picked(file: &Path) -> io::Result<u16> {
    let kept = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok());
    match kept.filter(|port| is_free(*port)) {
        Some(port) => Ok(port),
        None => pick(file),
    }
}

/// A free port, kept in `file`.
pub(super) fn pick(file: &Path) -> io::Result<u16> {
    let random = || (clock::random_uuid().as_u128() % u128::from(RANGE.end - RANGE.start)) as u16;
    let port = std::iter::repeat_with(|| RANGE.start + random())
        .take(PICKS_MAX)
        .find(|port| is_free(*port))
        .ok_or(io::ErrorKind::AddrInUse)?;
    keep(file, port)?;
    Ok(port)
}

pub(super) fn keep(file: &Path, port: u16) -> io::Result<()> {
    std::fs::write(file, format!("{port}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picked_port_is_kept_until_somebody_else_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("port");
        let port = kept_or_picked(&file).unwrap();
        assert!(RANGE.contains(&port));
        assert_eq!(kept_or_picked(&file).unwrap(), port);

        let _somebody = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        let other = kept_or_picked(&file).unwrap();
        assert_ne!(other, port);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{other}\n"));
    }
}
