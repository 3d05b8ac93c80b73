//! Locks in etcd: a transaction that puts the key under a lease where there is none, and one that deletes it where it
//! has the holder's token. The few messages of etcd's interface that this needs are written out, so that building needs
//! no compiler of protocol files.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::JoinSet;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;
use uuid::Uuid;

use crate::load::{Load, Tally};

const LEASE_SECONDS: i64 = 86_400;
const TXN: &str = "/etcdserverpb.KV/Txn";
const LEASE_GRANT: &str = "/etcdserverpb.Lease/LeaseGrant";
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, PartialEq, prost::Message)]
struct LeaseGrantRequest {
    #[prost(int64, tag = "1")]
    ttl: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LeaseGrantResponse {
    #[prost(int64, tag = "2")]
    id: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TxnRequest {
    #[prost(message, repeated, tag = "1")]
    compare: Vec<Compare>,
    #[prost(message, repeated, tag = "2")]
    success: Vec<RequestOp>,
}

/// The result that is asked for is always 0, "equal", and so is not named.
#[derive(Clone, PartialEq, prost::Message)]
struct Compare {
    /// 0: the version, 3: the value.
    #[prost(int32, tag = "2")]
    target: i32,
    #[prost(bytes = "vec", tag = "3")]
    key: Vec<u8>,
    #[prost(oneof = "Target", tags = "4, 7")]
    with: Option<Target>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Target {
    #[prost(int64, tag = "4")]
    Version(i64),
    #[prost(bytes, tag = "7")]
    Value(Vec<u8>),
}

#[derive(Clone, PartialEq, prost::Message)]
struct RequestOp {
    #[prost(oneof = "Op", tags = "2, 3")]
    op: Option<Op>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Op {
    #[prost(message, tag = "2")]
    Put(Put),
    #[prost(message, tag = "3")]
    Delete(Delete),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Put {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
    #[prost(int64, tag = "3")]
    lease: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Delete {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TxnResponse {
    #[prost(bool, tag = "2")]
    succeeded: bool,
}

pub async fn run(address: &str, load: Load) -> Result<serde_json::Value> {
    let run = Uuid::new_v4().simple().to_string()[..8].to_owned();
    let mut tasks = JoinSet::new();
    let mut clients = Vec::new();
    for slots in load.slots() {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
        let channel = endpoint.connect().await.context("could not connect to etcd")?;
        clients.extend((0..slots).map(|_| Grpc::new(channel.clone())));
    }
    let mut tally = load.tally()?;
    let grant = LeaseGrantRequest { ttl: LEASE_SECONDS };
    let first = clients.first_mut().context("nothing in flight")?;
    let lease: LeaseGrantResponse = call(first, LEASE_GRANT, grant).await?;
    for (number, client) in clients.into_iter().enumerate() {
        tasks.spawn(slot(client, format!("{run}-{number}"), lease.id, tally.clone()));
    }
    while let Some(done) = tasks.join_next().await {
        tally.add(&done??)?;
    }
    load.report(&tally)
}

/// Takes a new lock and gives it back, again and again.
async fn slot(mut client: Grpc<Channel>, name: String, lease: i64, mut tally: Tally) -> Result<Tally> {
    for number in 0u64.. {
        let key = format!("lock/bench-{name}-{number}").into_bytes();
        let token = Uuid::new_v4().to_string().into_bytes();
        let take = TxnRequest {
            compare: vec![Compare { target: 0, key: key.clone(), with: Some(Target::Version(0)) }],
            success: vec![RequestOp { op: Some(Op::Put(Put { key: key.clone(), value: token.clone(), lease })) }],
        };
        let give_back = TxnRequest {
            compare: vec![Compare { target: 3, key: key.clone(), with: Some(Target::Value(token)) }],
            success: vec![RequestOp { op: Some(Op::Delete(Delete { key })) }],
        };
        for transaction in [take, give_back] {
            let sent = Instant::now();
            let answer: TxnResponse = call(&mut client, TXN, transaction).await?;
            let now = Instant::now();
            tally.answered(sent, now, 1, answer.succeeded);
            if tally.is_over(now) {
                return Ok(tally);
            }
        }
    }
    Ok(tally)
}

async fn call<Q, A>(client: &mut Grpc<Channel>, path: &'static str, request: Q) -> Result<A>
where
    Q: prost::Message + Default + 'static,
    A: prost::Message + Default + 'static,
{
    client.ready().await?;
    let answer =
        client.unary(tonic::Request::new(request), PathAndQuery::from_static(path), ProstCodec::<Q, A>::default());
    Ok(tokio::time::timeout(PATIENCE, answer).await.context("etcd does not answer")??.into_inner())
}
