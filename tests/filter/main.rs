//! The filter between NATS's servers and the client library, with real servers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // clippy spares only the tests, not what they call

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Client;
use berth::telemetry::Metrics;
use berth::worker::filter::Filter;
use futures::StreamExt;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[path = "../nats_server/mod.rs"]
mod nats_server;
mod tls;

use nats_server::NatsServer;

const MESSAGES: usize = 3_000;
/// Between two looks at what nothing tells of.
const PATIENCE: Duration = Duration::from_millis(20);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let late = |_| panic!("{what} takes more than 20 s");
    tokio::time::timeout(Duration::from_secs(20), future).await.unwrap_or_else(late)
}

fn url(server: &NatsServer) -> String {
    format!("nats://{}", server.address())
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
    let server = tokio::task::spawn_blocking(|| NatsServer::start(&[])).await.unwrap();
    let (_filter, client) = open(&[url(&server)]).await;
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
    let server = tokio::task::spawn_blocking(|| NatsServer::start(&[])).await.unwrap();
    let (filter, client) = open(&[url(&server)]).await;
    let mut messages = client.subscribe("to").await.unwrap();
    let headers = async_nats::HeaderMap::from_iter(
        [("Name", "välue: 1"), ("other", "")].map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())),
    );
    let payload = bytes::Bytes::from("\r\n".repeat(300_000)); // many reads
    client.publish_with_headers("to", headers.clone(), payload.clone()).await.unwrap();
    let message = within("the message", messages.next()).await.unwrap();
    assert_eq!((message.headers, message.payload), (Some(headers), payload));
    // What was published before the end is with the server at the end.
    let watcher = async_nats::connect(url(&server)).await.unwrap();
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

async fn connected_again(client: &Client) {
    let mut patience = tokio::time::interval(PATIENCE);
    while client.statistics().connects.load(Ordering::Relaxed) < 2 {
        patience.tick().await;
    }
}

/// Says it until it is heard: by the route of a cluster it is only some time after the start.
async fn say_until<T>(sender: &Client, heard: impl Future<Output = T>) -> T {
    let mut heard = std::pin::pin!(heard);
    let mut patience = tokio::time::interval(PATIENCE);
    loop {
        tokio::select! {
            heard = &mut heard => return heard,
            _ = patience.tick() => sender.publish("to", "".into()).await.unwrap(),
        }
    }
}

/// Two servers, the second of which is known to a client from the first.
async fn cluster(of_first: &[&str], of_second: &[&str]) -> (NatsServer, NatsServer) {
    let member = |own: &[&str]| -> Vec<String> {
        let member = [&["--cluster_name", "c", "--cluster", "nats://127.0.0.1:-1"], own].concat();
        member.into_iter().map(str::to_owned).collect()
    };
    let (first, mut second) = (member(of_first), member(of_second));
    let start = move || {
        let start = |member: &[String]| NatsServer::start(&member.iter().map(String::as_str).collect::<Vec<_>>());
        let first = start(&first);
        second.extend(["--routes".to_owned(), format!("nats://127.0.0.1:{}", first.ports[1])]);
        (first, start(&second))
    };
    tokio::task::spawn_blocking(start).await.unwrap()
}

/// Only one is named; the other is known from it, and serves when it has gone.
#[tokio::test(flavor = "multi_thread")]
async fn another_server_of_the_cluster_takes_over() {
    let (first, second) = cluster(&[], &[]).await;
    let (_filter, client) = open(&[url(&first)]).await;
    let mut messages = client.subscribe("to").await.unwrap();
    let sender = async_nats::connect(url(&second)).await.unwrap();
    within("a message by the route", say_until(&sender, messages.next())).await.unwrap();
    drop(first);
    within("the loss", connected_again(&client)).await;
    within("a message by the other server", say_until(&sender, messages.next())).await.unwrap();
}

/// What never answers is asked once, then last: also where it is one of the addresses of a name.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_silent_is_asked_last() {
    let server = tokio::task::spawn_blocking(|| NatsServer::start(&[])).await.unwrap();
    let silent = |address: (&str, u16)| {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true).map(|()| listener)
    };
    let (first, second) = (silent(("127.0.0.1", 0)).unwrap(), silent(("127.0.0.1", 0)).unwrap());
    let other_address = silent(("::1", server.ports[0])).ok(); // where the machine has it
    let mut urls = [&first, &second].map(|silent| silent.local_addr().unwrap().to_string()).to_vec();
    urls.push(format!("localhost:{}", server.ports[0]));
    let (filter, _client) = within("the first connection", open(&urls)).await;
    for _ in 0..urls.len() {
        within("another connection", async_nats::connect(filter.url())).await.unwrap();
    }
    for silent in [first, second].into_iter().chain(other_address) {
        let asked = std::iter::from_fn(|| silent.accept().ok()).count();
        assert!(asked < 2, "{silent:?} was asked {asked} times");
    }
}

/// Nothing tells the client library, which would wait for its own pings.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_bytes_any_more_is_left_for_another() {
    let start = || [NatsServer::start(&[]), NatsServer::start(&[])];
    let servers = tokio::task::spawn_blocking(start).await.unwrap();
    let (_filter, client) = open(&servers.each_ref().map(url)).await;
    let (frozen, other) = match client.server_info().port == servers[0].ports[0] {
        true => (&servers[0], &servers[1]),
        false => (&servers[1], &servers[0]),
    };
    frozen.freeze();
    let payload = bytes::Bytes::from(vec![b'.'; 512 * 1024]);
    let published = async {
        loop {
            client.publish("to", payload.clone()).await.unwrap(); // soon more than the kernel takes for it
        }
    };
    tokio::select! {
        () = within("the loss", connected_again(&client)) => (),
        () = published => (),
    }
    assert_eq!(client.server_info().port, other.ports[0]);
}

/// A full server greets like any other, and refuses the login.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_login_is_asked_last() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nats.conf");
    std::fs::write(&path, "listen: \"127.0.0.1:-1\"\nmax_connections: 1\n").unwrap();
    let start = move || [NatsServer::start(&[]), NatsServer::start_with(&["-c", path.to_str().unwrap()], &[])];
    let [good, full] = tokio::task::spawn_blocking(start).await.unwrap();
    let _taken = async_nats::connect(url(&full)).await.unwrap();
    let filter = Filter::open(&[url(&full), url(&good)], Metrics::new()).await.unwrap();
    let mut refused = 0;
    for _ in 0..6 {
        refused += usize::from(within("an answer", async_nats::connect(filter.url())).await.is_err());
    }
    assert!(refused < 2, "{refused} connections were refused");
}
