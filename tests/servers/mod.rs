//! One stack for a test binary, started by the first test that needs it, on a thread that lives as long as the run.
//! However the run ends, the stack ends itself.

use std::sync::{LazyLock, mpsc};

use berth::cli::stack::{Servers, Stack, StackOptions};

/// The run's servers.
pub struct Shared {
    #[allow(dead_code)] // not every test binary asks for it
    pub nats_url: String,
    create: mpsc::Sender<(String, mpsc::Sender<String>)>,
}

pub static SHARED: LazyLock<Shared> = LazyLock::new(|| {
    let (url_sender, url) = mpsc::channel();
    let (create, requests) = mpsc::channel::<(String, mpsc::Sender<String>)>();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let stack = runtime.block_on(Stack::start(StackOptions::ephemeral(Servers::find().unwrap()))).unwrap();
        url_sender.send(stack.nats_url()).unwrap();
        for (name, reply) in requests {
            reply.send(runtime.block_on(stack.create_database(&name)).unwrap()).unwrap();
        }
    });
    Shared { nats_url: url.recv().unwrap(), create }
});

impl Shared {
    /// Makes an empty database and gives its URL. Blocks.
    pub fn database(&self, name: &str) -> String {
        let (sender, url) = mpsc::channel();
        self.create.send((name.to_owned(), sender)).unwrap();
        url.recv().unwrap()
    }
}
