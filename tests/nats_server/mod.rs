//! A nats-server of a test's own, on ports that are free, beside those that the test binaries share.

use std::io::BufRead;
use std::process::{Child, Command, Stdio};

use berth::cli::stack::Servers;

pub struct NatsServer {
    process: Child,
    /// Of clients, and of the servers of its cluster where it has one.
    pub ports: Vec<u16>,
    /// Read as long as the server runs: one that cannot log dies.
    _log: std::thread::JoinHandle<()>,
}

impl NatsServer {
    /// On 127.0.0.1; blocks until it serves.
    pub fn start(arguments: &[&str]) -> NatsServer {
        NatsServer::start_with([&["-a", "127.0.0.1", "-p", "-1"], arguments].concat().as_slice(), &[])
    }

    /// As these arguments and this environment alone say.
    pub fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> NatsServer {
        let mut process = Command::new(Servers::find().unwrap().nats_server)
            .args(arguments)
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = std::io::BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let ports_wanted = 1 + usize::from(arguments.contains(&"--cluster"));
        let (mut ports, mut is_ready) = (Vec::new(), false);
        while ports.len() < ports_wanted || !is_ready {
            let line = log.next().unwrap();
            is_ready |= line.contains("Server is ready");
            if line.contains("Listening for") {
                ports.push(line.rsplit_once(':').unwrap().1.parse().unwrap());
            }
        }
        NatsServer { process, ports, _log: std::thread::spawn(move || log.for_each(drop)) }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// From now on it takes no more connections and bytes than the kernel does for it.
    #[allow(dead_code)] // not every test binary freezes one
    pub fn freeze(&self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("sh").args(["-c", "kill -s STOP \"$0\"", &pid]).status().unwrap().success());
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
