//! Servers under TLS. Which certificates are trusted stands in the environment of a process, so what connects is a copy
//! of this test binary.

use std::path::Path;
use std::process::Stdio;

use berth::telemetry::Metrics;
use berth::worker::filter::Filter;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdout, Command};

use super::{NatsServer, cluster, connected_again, open, say_until, within};

/// Says to a copy of this test binary where to connect.
const URL: &str = "BERTH_TEST_URL";
/// The test that is something else in a copy.
const COPY: &str = "tls::servers_with_a_trusted_certificate_are_reached_under_tls_and_no_others";

/// A process that connects to one server, and says how it goes.
struct Copy {
    _process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Copy {
    /// `trusted`: a file of certificates.
    fn start(trusted: &str, url: &str) -> Copy {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "--nocapture", COPY]).env(URL, url).env("SSL_CERT_FILE", trusted);
        let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Copy { _process: process, lines }
    }

    async fn told(&mut self, wanted: &str) -> String {
        within(wanted, async {
            loop {
                let line = self.lines.next_line().await.unwrap().unwrap();
                if line.contains(wanted) {
                    break line;
                }
            }
        })
        .await
    }
}

/// What a copy does.
async fn connect(url: String) {
    if let Err(error) = Filter::open(std::slice::from_ref(&url), Metrics::new()).await {
        return println!("FAILED {error}");
    }
    let (_filter, client) = open(&[url]).await;
    let mut messages = client.subscribe("to").await.unwrap();
    within("a message by the route", messages.next()).await.unwrap();
    println!("CONNECTED");
    within("the loss", connected_again(&client)).await;
    within("a message by the other server", messages.next()).await.unwrap();
    println!("CONNECTED AGAIN");
}

/// A certificate that names this host, signed by itself, and its key: the files' paths.
fn certificate(folder: &Path, host: &str) -> (String, String) {
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
    let (cert_path, key_path) = (folder.join(format!("{host}.cert.pem")), folder.join(format!("{host}.key.pem")));
    std::fs::write(&cert_path, cert.pem()).unwrap();
    std::fs::write(&key_path, signing_key.serialize_pem()).unwrap();
    (cert_path.to_str().unwrap().to_owned(), key_path.to_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_with_a_trusted_certificate_are_reached_under_tls_and_no_others() {
    if let Ok(url) = std::env::var(URL) {
        return connect(url).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(folder.path(), "localhost");
    let tls = ["--tls", "--tlscert", &cert, "--tlskey", &key];
    let (first, second) = cluster(&tls, &tls).await;
    let port = first.ports[0];
    let line = Copy::start("/nowhere", &format!("nats://localhost:{port}")).told("FAILED").await;
    assert!(line.contains(&format!("localhost:{port}: invalid peer certificate")), "{line}");
    Copy::start(&cert, &format!("nats://127.0.0.1:{port}")).told("FAILED").await;

    // The second is known by its address; its certificate names what the first was known by.
    let copy = Copy::start(&cert, &format!("nats://localhost:{port}"));
    takes_over(copy, first, &cert, &format!("localhost:{}", second.ports[0])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_known_from_another_may_show_a_certificate_for_its_own_address() {
    let folder = tempfile::tempdir().unwrap();
    let ((cert, key), (other_cert, other_key)) =
        (certificate(folder.path(), "127.0.0.1"), certificate(folder.path(), "127.0.0.2"));
    let other = ["-a", "127.0.0.2", "--tls", "--tlscert", &other_cert, "--tlskey", &other_key];
    let (first, second) = cluster(&["--tls", "--tlscert", &cert, "--tlskey", &key], &other).await;
    let trusted = [&cert, &other_cert].map(|path| std::fs::read_to_string(path).unwrap()).concat();
    let trust = folder.path().join("trusted.pem");
    std::fs::write(&trust, trusted).unwrap();
    let trust = trust.to_str().unwrap();
    let copy = Copy::start(trust, &format!("nats://127.0.0.1:{}", first.ports[0]));
    takes_over(copy, first, trust, &format!("127.0.0.2:{}", second.ports[0])).await;
}

/// The second server, when the first has gone.
async fn takes_over(mut copy: Copy, first: NatsServer, trusted: &str, second: &str) {
    let options = async_nats::ConnectOptions::new().add_root_certificates(trusted.into());
    let sender = options.connect(format!("tls://{second}")).await.unwrap();
    say_until(&sender, copy.told("CONNECTED")).await;
    drop(first);
    say_until(&sender, copy.told("CONNECTED AGAIN")).await;
}

/// Whoever is in between can change what the server says in plain, but not lead the login elsewhere by it.
#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_told_of_in_plain_before_tls_are_not_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(folder.path(), "localhost");
    let start = {
        let (cert, key) = (cert.clone(), key.clone());
        move || NatsServer::start(&["--tls", "--tlscert", &cert, "--tlskey", &key])
    };
    let server = tokio::task::spawn_blocking(start).await.unwrap();
    let (between, elsewhere) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let elsewhere_told = format!("\"connect_urls\":[\"{}\"],", elsewhere.local_addr().unwrap());
    let options = async_nats::ConnectOptions::new().add_root_certificates(cert.clone().into());
    let sender = options.connect(format!("tls://localhost:{}", server.ports[0])).await.unwrap();
    let mut copy = Copy::start(&cert, &format!("nats://localhost:{}", between.local_addr().unwrap().port()));

    let pass_on = async |mut client: TcpStream| {
        let mut server = BufReader::new(TcpStream::connect(server.address()).await.unwrap());
        let mut info = String::new();
        server.read_line(&mut info).await.unwrap();
        client.write_all(info.replacen('{', &format!("{{{elsewhere_told}"), 1).as_bytes()).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    };
    let passed_on = async {
        let mut passing = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = between.accept() => passing.push(pass_on(accepted.unwrap().0)),
                Some(()) = passing.next() => (),
            }
        }
    };
    tokio::select! {
        () = passed_on => (),
        _ = say_until(&sender, copy.told("CONNECTED")) => (),
    }
    // The connection is cut; from now on nobody is there who speaks.
    for _ in 0..4 {
        tokio::select! {
            asked = within("another attempt", between.accept()) => drop(asked.unwrap()),
            _ = elsewhere.accept() => panic!("another server was asked"),
        }
    }
}
