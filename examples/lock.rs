//! A lock that is taken, kept, used for writes that only its latest holder can make, and released: `docs/locks.md` has
//! the commands. It needs a worker (`make run`), and any Postgres for what is written: here that of DATABASE_URL.
#![allow(clippy::print_stdout)] // an example talks to a person

use std::time::Duration;

use anyhow::Context;
use berth::client::{Acquire, Acquisition, LockClient, LockGuard, LockOptions};
use clap::Parser;
use sqlx::{Connection, PgConnection};
use tokio::io::{AsyncBufReadExt, BufReader};

/// One row for each resource that is written under a lock, with the highest fencing token that has written.
const GUARD_TABLE: &str = "\
create table if not exists lock_guard (
  resource text primary key,
  fence bigint not null
)";

/// Changes no row where a later holder has written: then the transaction is to be rolled back.
const GUARD: &str = "\
insert into lock_guard as guard (resource, fence) values ($1, $2)
on conflict (resource) do update set fence = excluded.fence
where guard.fence <= excluded.fence";

/// What the lock is there to protect.
const REPORT_TABLE: &str = "create table if not exists lock_report (resource text, line text, fence bigint)";
const REPORT: &str = "insert into lock_report (resource, line, fence) values ($1, $2, $3)";

/// Takes a lock, writes a report of some lines under it, and releases it.
#[derive(Debug, Parser)]
pub struct Args {
    /// Who takes the lock
    #[arg(long, default_value = "worker-1")]
    requester: String,
    /// The lock's name
    #[arg(long, default_value = "report")]
    resource: String,
    /// How long the lock outlives its holder; renewed at a third of it
    #[arg(long, default_value = "6s", value_parser = humantime::parse_duration)]
    ttl: Duration,
    /// How long to wait for the lock where it is held
    #[arg(long, value_parser = humantime::parse_duration)]
    wait: Option<Duration>,
    /// How many lines to write, with half a time to live of work behind each
    #[arg(long, default_value_t = 2)]
    lines: u32,
    /// Wait for Enter before each line: time to stop the process (Ctrl-Z) for longer than the lock lives (then fg)
    #[arg(long)]
    pause: bool,
    /// Write without looking whether the lock is lost, as a holder does that is stopped between the look and the write
    #[arg(long)]
    careless: bool,
    #[arg(long, default_value = "default")]
    tenant: String,
    #[arg(long, default_value = "berth")]
    subject_root: String,
    #[arg(long, env = "NATS_URL", default_value = "nats://127.0.0.1:4222")]
    nats_url: String,
    /// Where the report is written; it need not be berth's own database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
}

#[tokio::main]
#[allow(dead_code)] // a test runs what is behind it
async fn main() -> anyhow::Result<()> {
    run(Args::parse()).await
}

pub async fn run(args: Args) -> anyhow::Result<()> {
    let nats = async_nats::connect(&args.nats_url).await.context("connect to NATS")?;
    let mut database = PgConnection::connect(&args.database_url).await.context("connect to Postgres")?;
    for statement in [GUARD_TABLE, REPORT_TABLE] {
        sqlx::query(statement).execute(&mut database).await.context("make the tables")?;
    }

    let options = LockOptions { subject_root: args.subject_root.clone(), ..LockOptions::default() };
    let locks = LockClient::with_options(nats, &args.tenant, options)?;
    let mut wanted = Acquire::new(&args.requester, &args.resource).ttl(args.ttl);
    wanted.wait = args.wait;
    match locks.acquire(wanted).await? {
        Acquisition::Acquired(guard) => report(&args, &locks, guard, &mut database).await,
        other => {
            println!("not obtained: {other:?}");
            Ok(())
        }
    }
}

/// Writes the report while the lock is held, and releases it.
async fn report(args: &Args, locks: &LockClient, guard: LockGuard, database: &mut PgConnection) -> anyhow::Result<()> {
    println!("held: fencing token {}, expires {:?}", guard.fencing_token(), guard.expires_at());
    let mut input = BufReader::new(tokio::io::stdin());
    for number in 1..=args.lines {
        let granted_until = guard.expires_at();
        if args.pause {
            println!("paused: press Enter to write line {number}");
            input.read_line(&mut String::new()).await.context("read from the standard input")?;
        }
        if guard.is_lost() {
            let is_current = locks.verify(guard.resource(), guard.fencing_token()).await?;
            println!("lost: the fencing token is {}", if is_current { "still current" } else { "stale" });
            if !args.careless {
                break;
            }
        }
        match write(database, &guard, &format!("line {number}")).await? {
            true => println!("written: line {number} with fencing token {}", guard.fencing_token()),
            false => println!("refused: line {number}, a later holder has written"),
        }
        // Work that ends early where the lock is lost.
        tokio::select! {
            () = guard.lost() => {}
            () = tokio::time::sleep(args.ttl / 2) => {}
        }
        if guard.expires_at() != granted_until {
            println!("renewed: expires {:?}", guard.expires_at());
        }
    }
    println!("released: {:?}", guard.release().await?);
    Ok(())
}

/// Writes a line of the report, unless a later holder has written.
async fn write(database: &mut PgConnection, guard: &LockGuard, line: &str) -> anyhow::Result<bool> {
    let mut transaction = database.begin().await.context("begin")?;
    let (resource, fence) = (guard.resource(), guard.fencing_token());
    let passed = sqlx::query(GUARD).bind(resource).bind(fence).execute(&mut *transaction).await?.rows_affected() == 1;
    if passed {
        sqlx::query(REPORT).bind(resource).bind(line).bind(fence).execute(&mut *transaction).await?;
        transaction.commit().await.context("commit")?;
    } else {
        transaction.rollback().await.context("roll back")?;
    }
    Ok(passed)
}
