//! The durable path: commands from the work queue, each acknowledged when its result is in the stream of results.
//!
//! A message is delivered again as often as it takes: berth sets no limit, because a message past its limit would
//! stay in the queue for ever, and one that can't be decided is answered by a refusal and so acknowledged.

use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, Consumer, pull};
use async_nats::jetstream::{self, AckKind, Message};
use futures::{FutureExt, StreamExt};
use tokio_util::sync::CancellationToken;

use super::answer::{Answerer, Submitted, put_back};
use super::intake::{self, Arrival, Intake};
use super::pass_on::OWN_KEY_HEADER;
use super::waiting::Permit;
use crate::domain::id::{IdempotencyKey, Tenant};
use crate::domain::outcome::Refusal;
use crate::wire::subject::{Address, NoAddress};
use crate::wire::verb::Verb;

/// How long a delivery may take before it is made again. Longer than any batch's patience.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// Most messages delivered and not yet acknowledged, over all workers: half of what one may have in hand by default, so
/// that a flood of them leaves room for requests.
const ACK_PENDING_MAX: i64 = 4_096;
/// Most messages asked for at once.
const FETCH_MAX: usize = 256;
/// Before the subscription is made anew.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Takes submitted commands until `stop`.
pub async fn serve(context: jetstream::Context, intake: Intake, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = serve_stream(&context, &intake, &stop).await {
            tracing::warn!(%error, "the stream of submitted commands is lost for now");
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY_DELAY) => (),
            () = stop.cancelled() => (),
        }
    }
}

async fn serve_stream(
    context: &jetstream::Context,
    intake: &Intake,
    stop: &CancellationToken,
) -> Result<(), async_nats::Error> {
    let stream = context.get_stream(intake.subjects.stream("SUBMIT")).await?;
    let created = stream.cached_info().created.timestamp_micros();
    let config = pull::Config {
        durable_name: Some(intake.subjects.root().to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_ack_pending: ACK_PENDING_MAX,
        ..pull::Config::default()
    };
    let consumer: Consumer<pull::Config> = stream.create_consumer(config).await?;
    let mut messages = consumer.stream().max_messages_per_batch(FETCH_MAX).messages().await?;
    loop {
        let message = tokio::select! {
            message = messages.next() => message,
            () = stop.cancelled() => break,
        };
        let Some(message) = message else { break };
        take(message?, created, context, intake).await;
    }
    // What was fetched and not begun is for another worker, at once. Unconstrained: a task that has done much without
    // a pause is told by the runtime that nothing is there, and the rest would wait for its redelivery.
    while let Some(Some(Ok(message))) = tokio::task::unconstrained(messages.next()).now_or_never() {
        message.ack_with(AckKind::Nak(None)).await?;
    }
    Ok(())
}

async fn take(message: Message, stream_created: i64, context: &jetstream::Context, intake: &Intake) {
    let Some(permit) = intake.admit().await else { return };
    let Some(own_key) = own_key(&message, stream_created) else {
        tracing::error!(subject = %message.subject, "a submitted message without a place in its stream");
        return;
    };
    hand_on(message, own_key, false, permit, context, intake).await;
}

/// One that another worker was given. Lost on its way, it is delivered again.
pub async fn take_passed_on(message: Message, context: &jetstream::Context, intake: &Intake) {
    let own_key = message.headers.as_ref().and_then(|headers| headers.get(OWN_KEY_HEADER));
    let Some(own_key) = own_key.and_then(|key| IdempotencyKey::parse(key.as_str())) else {
        tracing::warn!(subject = %message.subject, "a submitted message was passed on without a key of its own");
        return;
    };
    match intake.try_admit() {
        Some(permit) => hand_on(message, own_key, true, permit, context, intake).await,
        None => put_back(&message).await,
    }
}

async fn hand_on(
    message: Message,
    own_key: IdempotencyKey,
    is_at_home: bool,
    permit: Permit,
    context: &jetstream::Context,
    intake: &Intake,
) {
    let arrived = Instant::now();
    let headers = message.headers.clone().unwrap_or_default();
    // One that is refused names no command, and one of berth's own may name another one.
    let key = intake::headers(&headers).key().ok().flatten();
    let trace = intake::headers(&headers).trace();
    let (tenant, verb) = tokens(&message.subject);
    let subject = intake.subjects.result(tenant, verb);
    let address = intake.subjects.address(&message.subject);
    let key = key.unwrap_or_else(|| own_key.clone());
    let payload = message.payload.clone();
    let answerer = Answerer::Result(Box::new(Submitted {
        message,
        context: context.clone(),
        subject,
        key,
        own_key: own_key.clone(),
    }));
    match address {
        Ok(Address { tenant: Some(tenant), verb }) => {
            let (tenant, own_key) = (Some(tenant), Some(own_key));
            let arrival = Arrival { verb, tenant, headers, payload, own_key, is_at_home };
            intake.take(arrival, answerer, permit).await;
        }
        // Counted with the reads: there is no such verb.
        Ok(_) | Err(NoAddress::Verb) => intake.refuse(Verb::Get, arrived, answerer, &Refusal::UnknownVerb, trace).await,
        Err(NoAddress::Tenant) => intake.refuse(Verb::Get, arrived, answerer, &Refusal::NotFound, trace).await,
    }
}

/// `berth:<stream's creation, µs>:<sequence>`: the same for each delivery of one message, and never that of a message
/// of another stream by the same name.
fn own_key(message: &Message, stream_created: i64) -> Option<IdempotencyKey> {
    let sequence = message.info().ok()?.stream_sequence;
    IdempotencyKey::parse(&format!("berth:{stream_created}:{sequence}"))
}

/// Tenant and verb of `<root>.submit.v1.<tenant>.<verb>` as they came; `-` where one is missing.
fn tokens(subject: &str) -> (&str, &str) {
    let mut tokens = subject.splitn(5, '.').skip(3);
    let tenant = tokens.next().filter(|token| Tenant::parse(token).is_some()).unwrap_or("-");
    let verb = tokens.next().filter(|token| !token.contains('.')).unwrap_or("-");
    (tenant, verb)
}
