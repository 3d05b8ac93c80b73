//! What a NATS server says of itself in `INFO`, as far as it matters before the client library hears of it.

use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ServerInfo {
    pub tls_required: bool,
    /// The servers of its cluster, `host:port`.
    connect_urls: Option<Vec<String>>,
}

impl ServerInfo {
    /// `None`: it is not what a server sends.
    pub fn parse(json: &[u8]) -> Option<ServerInfo> {
        serde_json::from_slice(json).ok()
    }

    /// The servers of its cluster, `host:port`.
    pub fn cluster(&self) -> impl Iterator<Item = &str> {
        self.connect_urls.iter().flatten().map(String::as_str)
    }
}

/// The same `INFO` for one that is to ask for neither TLS nor another server.
pub fn plain(json: &[u8]) -> Option<Vec<u8>> {
    let mut info: Map<String, Value> = serde_json::from_slice(json).ok()?;
    info.remove("connect_urls");
    info.insert("tls_required".to_owned(), Value::Bool(false));
    serde_json::to_vec(&info).ok()
}
