//! Load on what berth is compared with. Each command keeps so many requests unanswered, as `berth bench` does, and is
//! written to cost as little: both share the machine with what they measure. Prints one line of JSON.

mod bulk;
mod echo;
mod etcd;
mod load;
mod redis;
mod resp;
mod rows;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use load::Load;

// As in berth: the comparison is not to be one of allocators.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answers every request with its own bytes, until it is ended
    EchoServe {
        #[arg(long)]
        nats_url: String,
    },
    /// Requests to an echo
    Echo {
        #[arg(long)]
        nats_url: String,
        #[command(flatten)]
        load: Load,
    },
    /// SET NX PX, then compare and delete
    RedisPlain {
        #[arg(long)]
        address: String,
        #[command(flatten)]
        load: Load,
    },
    /// Lock and unlock with an idempotency key, a fence and an event, one script each
    RedisScript {
        #[arg(long)]
        address: String,
        #[command(flatten)]
        load: Load,
    },
    /// Lock and unlock, one transaction each
    Etcd {
        #[arg(long)]
        address: String,
        #[command(flatten)]
        load: Load,
    },
    /// The rows of reservations that berth has written, inserted again
    Bulk {
        #[arg(long)]
        database_url: String,
        /// Reservations of one statement
        #[arg(long, default_value_t = 256)]
        batch: usize,
        #[command(flatten)]
        load: Load,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<()> {
    let measured = match command {
        Command::EchoServe { nats_url } => return echo::serve(&nats_url).await,
        Command::Echo { nats_url, load } => echo::run(&nats_url, load).await?,
        Command::RedisPlain { address, load } => redis::run(&address, load, redis::Kind::Plain).await?,
        Command::RedisScript { address, load } => redis::run(&address, load, redis::Kind::Script).await?,
        Command::Etcd { address, load } => etcd::run(&address, load).await?,
        Command::Bulk { database_url, batch, load } => bulk::run(&database_url, batch, load).await?,
    };
    println!("{measured}");
    Ok(())
}
