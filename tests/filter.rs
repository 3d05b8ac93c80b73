//! The filter between NATS's servers and the client library, with real servers.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy spares only the tests themselves, not what they call

use std::io::BufRead;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Client;
use berth::cli::stack::Servers;
use berth::telemetry::Metrics;
use berth::worker::filter::Filter;
use futures::StreamExt;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The folder of a copy of this test binary that is to trust the certificate in it, and connect.
const TRUSTS: &str = "BERTH_TEST_TRUSTS";
const MESSAGES: usize = 3_000;

struct Server {
    process: Child,
    /// Of clients, and of the servers of its cluster.
    ports: Vec<u16>,
    /// Read as long as the server runs: one that cannot log dies.
    _log: std::thread::JoinHandle<()>,
}

impl Server {
    fn start(arguments: &[&str]) -> Server {
        let mut process = Command::new(Servers::find().unwrap().nats_server)
            .args(["-a", "127.0.0.1", "-p", "-1"])
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = std::io::BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let has_cluster = arguments.contains(&"--cluster");
        let mut ports = Vec::new();
        for line in log.by_ref() {
            if line.contains("Listening for") {
                ports.push(line.rsplit_once(':').unwrap().1.parse().unwrap());
            }
            if ports.len() == 1 + usize::from(has_cluster) && (has_cluster || line.contains("Server is ready")) {
                break;
            }
        }
        Server { process, ports, _log: std::thread::spawn(move || log.for_each(drop)) }
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.ports[0])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let late = |_| panic!("{what} takes more than 20 s");
    tokio::time::timeout(Duration::from_secs(20), future).await.unwrap_or_else(late)
}

async fn open(urls: &[String]) -> (Filter, Client) {
    let filter = Filter::open(urls, Metrics::new()).await.unwrap();
    let client = within("the connection", async_nats::connect(filter.url())).await.unwrap();
    (filter, client)
}

/// Words of which headers are made, and what is in none: the rest is between them.
fn headers() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let words =
        ["NATS/1.0", "\r\n", "\r\n\r\n", "Name: ", ":", " ", "\t", "\r", "\n", "503", "abc", "\u{a0}", "\u{b}", "é"];
    let words = words.into_iter().map(|word| word.as_bytes().to_vec()).chain([b"\xff".to_vec(), b"\0".to_vec()]);
    let words = proptest::sample::select(words.collect::<Vec<_>>());
    let any = proptest::collection::vec(words, 1..9).prop_map(|words| words.concat());
    let header = (any, proptest::bool::ANY, proptest::bool::ANY).prop_map(|(any, has_head, has_end)| {
        let (head, end) = (if has_head { "NATS/1.0\r\n" } else { "" }, if has_end { "\r\n\r\n" } else { "" });
        [head.as_bytes(), &any, end.as_bytes()].concat()
    });
    proptest::collection::vec(header, MESSAGES)
}

/// The client library would give its connection up over one in three of these.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_bytes_of_headers_each_message_arrives_on_one_connection() {
    let server = tokio::task::spawn_blocking(|| Server::start(&[])).await.unwrap();
    let (_filter, client) = open(&[server.url()]).await;
    let mut messages = client.subscribe("to.>").await.unwrap();
    client.flush().await.unwrap();
    client.request("nobody", "".into()).await.unwrap_err(); // the server has the subscription
    let headers = headers().new_tree(&mut TestRunner::deterministic()).unwrap().current();

    let mut raw = TcpStream::connect(("127.0.0.1", server.ports[0])).await.unwrap();
    let mut sent = b"CONNECT {\"verbose\":false,\"headers\":true}\r\n".to_vec();
    for (index, header) in headers.iter().enumerate() {
        let payload = format!("{index}");
        let reply: &[u8] = [b"".as_slice(), b"inbox ", b"\xff "][index % 3];
        let tail: &[u8] = [b"a".as_slice(), b"\xff", b"\x0b", "\u{2003}".as_bytes()][index % 4];
        sent.extend([b"HPUB to.", tail, b" ", reply].concat());
        sent.extend(format!("{} {}\r\n", header.len(), header.len() + payload.len()).bytes());
        sent.extend([header, payload.as_bytes(), b"\r\n"].concat());
    }
    let (mut from_server, mut to_server) = raw.split();
    let published = async {
        to_server.write_all(&sent).await.unwrap();
        to_server.write_all(b"PING\r\n").await.unwrap();
        let mut heard = Vec::new();
        while !heard.ends_with(b"PONG\r\n") {
            assert!(from_server.read_buf(&mut heard).await.unwrap() > 0, "{}", String::from_utf8_lossy(&heard));
        }
    };
    let received = async {
        for index in 0..MESSAGES {
            let message = within("a message", messages.next()).await.unwrap();
            assert_eq!(message.payload, format!("{index}"));
            assert_eq!(message.subject.as_str(), ["to.a", "to.\u{fffd}"][usize::from(index % 4 > 0)]);
            assert_eq!(message.reply.as_deref(), [None, Some("inbox"), Some("\u{fffd}")][index % 3]);
        }
    };
    tokio::join!(published, received);
    assert_eq!(client.statistics().connects.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_can_be_read_are_passed_on_as_they_are() {
    let server = tokio::task::spawn_blocking(|| Server::start(&[])).await.unwrap();
    let (filter, client) = open(&[server.url()]).await;
    let mut messages = client.subscribe("to").await.unwrap();
    let headers = async_nats::HeaderMap::from_iter(
        [("Name", "välue: 1"), ("other", "")].map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())),
    );
    let payload = bytes::Bytes::from("\r\n".repeat(300_000)); // many reads
    client.publish_with_headers("to", headers.clone(), payload.clone()).await.unwrap();
    let message = within("the message", messages.next()).await.unwrap();
    assert_eq!((message.headers, message.payload), (Some(headers), payload));
    // What was published before the end is with the server at the end.
    let watcher = async_nats::connect(server.url()).await.unwrap();
    let mut watched = watcher.subscribe("last").await.unwrap();
    watcher.request("nobody", "".into()).await.unwrap_err();
    for number in 0..1_000 {
        client.publish("last", format!("{number}").into()).await.unwrap();
    }
    client.flush().await.unwrap();
    client.drain().await.unwrap();
    within("the end", filter.ended()).await;
    for number in 0..1_000 {
        assert_eq!(within("the last", watched.next()).await.unwrap().payload, format!("{number}"));
    }
}

/// Only one is named; the other is known from it, and serves when it has gone.
#[tokio::test(flavor = "multi_thread")]
async fn another_server_of_the_cluster_takes_over() {
    let (first, second) = tokio::task::spawn_blocking(|| {
        let first = Server::start(&["--cluster_name", "c", "--cluster", "nats://127.0.0.1:-1"]);
        let route = format!("nats://127.0.0.1:{}", first.ports[1]);
        let second = Server::start(&["--cluster_name", "c", "--cluster", "nats://127.0.0.1:-1", "--routes", &route]);
        (first, second)
    })
    .await
    .unwrap();
    let (_filter, client) = open(&[first.url()]).await;
    let mut messages = client.subscribe("to").await.unwrap();
    let sender = async_nats::connect(second.url()).await.unwrap();
    let mut numbers = 0..;
    let mut hear = async |what| {
        within(what, async {
            let mut patience = tokio::time::interval(Duration::from_millis(20));
            loop {
                tokio::select! {
                    message = messages.next() => break message.unwrap(),
                    _ = patience.tick() => sender.publish("to", format!("{:?}", numbers.next()).into()).await.unwrap(),
                }
            }
        })
        .await
    };
    hear("the first message, by the route").await;
    drop(first);
    within("the loss", async {
        while client.statistics().connects.load(Ordering::Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    hear("a message by the other server").await;
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_with_a_trusted_certificate_are_reached_under_tls_and_no_others() {
    if let Some(folder) = std::env::var_os(TRUSTS) {
        let url = std::fs::read_to_string(std::path::Path::new(&folder).join("url")).unwrap();
        let error = Filter::open(std::slice::from_ref(&url), Metrics::new()).await.err().map(|error| error.to_string());
        if let Some(error) = error {
            println!("FAILED {error}");
            return;
        }
        let (_filter, client) = open(&[url]).await;
        client.request("nobody", "".into()).await.unwrap_err();
        println!("CONNECTED");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(path("cert.pem"), cert.pem()).unwrap();
    std::fs::write(path("key.pem"), signing_key.serialize_pem()).unwrap();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let start = move || Server::start(&["--tls", "--tlscert", &cert, "--tlskey", &key]);
    let server = tokio::task::spawn_blocking(start).await.unwrap();
    let cert = path("cert.pem");
    let run = async |trusted: Option<&str>, host: &str| {
        std::fs::write(path("url"), format!("nats://{host}:{}", server.ports[0])).unwrap();
        let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
        command.args([
            "--exact",
            "--nocapture",
            "servers_with_a_trusted_certificate_are_reached_under_tls_and_no_others",
        ]);
        command.env(TRUSTS, folder.path()).env("SSL_CERT_FILE", trusted.unwrap_or("/nowhere"));
        let output = within("a copy of this test", command.output()).await.unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run(Some(&cert), "localhost").await.contains("CONNECTED"));
    let told = run(None, "localhost").await;
    assert!(told.contains(&format!("FAILED localhost:{}: invalid peer certificate", server.ports[0])), "{told}");
    assert!(run(Some(&cert), "127.0.0.1").await.contains("FAILED"));
}
