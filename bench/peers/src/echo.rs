//! A responder that echoes, and requests to it as `berth bench` sends them: one wildcard subscription for all replies,
//! the slot in the reply's subject.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tokio::task::JoinSet;

use crate::load::{Load, Tally};

const SUBJECT: &str = "echo";
/// As long as a reserve of `berth bench`.
const PAYLOAD_BYTES: usize = 130;
/// Unanswered for so long, something is wrong.
const PATIENCE: Duration = Duration::from_secs(10);

pub async fn serve(nats_url: &str) -> Result<()> {
    let client = async_nats::connect(nats_url).await?;
    let mut requests = client.subscribe(SUBJECT).await?;
    client.flush().await?;
    println!("ready");
    while let Some(request) = requests.next().await {
        if let Some(reply) = request.reply {
            client.publish(reply, request.payload).await?;
        }
    }
    Ok(())
}

pub async fn run(nats_url: &str, load: Load) -> Result<serde_json::Value> {
    let mut connections = Vec::new();
    for slots in load.slots() {
        let client = async_nats::connect(nats_url).await?;
        let inbox = client.new_inbox();
        let replies = client.subscribe(format!("{inbox}.*")).await?;
        connections.push(Connection { client, inbox, replies, sent: vec![Instant::now(); slots] });
    }
    let mut tally = load.tally()?;
    let mut tasks = JoinSet::new();
    for connection in connections {
        tasks.spawn(connection.run(tally.clone()));
    }
    while let Some(done) = tasks.join_next().await {
        tally.add(&done??)?;
    }
    load.report(&tally)
}

struct Connection {
    client: Client,
    inbox: String,
    replies: Subscriber,
    /// When each slot's request was sent.
    sent: Vec<Instant>,
}

impl Connection {
    async fn run(mut self, mut tally: Tally) -> Result<Tally> {
        let payload = Bytes::from(vec![b'x'; PAYLOAD_BYTES]);
        for slot in 0..self.sent.len() {
            self.ask(slot, payload.clone()).await?;
        }
        let mut unanswered = self.sent.len();
        while unanswered > 0 {
            let mut next = tokio::time::timeout(PATIENCE, self.replies.next()).await.context("no echo")?;
            // What else is there already costs no further round through the scheduler.
            while let Some(reply) = next {
                let now = Instant::now();
                let slot: usize = reply.subject[self.inbox.len() + 1..].parse()?;
                tally.answered(self.sent[slot], now, 1, reply.payload.len() == PAYLOAD_BYTES);
                match tally.is_over(now) {
                    true => unanswered -= 1,
                    false => self.ask(slot, payload.clone()).await?,
                }
                next = self.replies.next().now_or_never().flatten();
            }
        }
        Ok(tally)
    }

    async fn ask(&mut self, slot: usize, payload: Bytes) -> Result<()> {
        self.sent[slot] = Instant::now();
        Ok(self.client.publish_with_reply(SUBJECT, format!("{}.{slot}", self.inbox), payload).await?)
    }
}
