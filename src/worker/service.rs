//! The request-reply path: a NATS service, so that `$SRV.PING`, `INFO` and `STATS` find it.

use std::time::Instant;

use async_nats::service::endpoint::Endpoint;
use async_nats::service::{Request, Service, ServiceExt};
use futures::StreamExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::answer::Answerer;
use super::intake::{self, Arrival, Intake};
use crate::domain::outcome::Refusal;
use crate::wire::subject::{Address, NoAddress};
use crate::wire::verb::Verb;

/// Serves every verb until `stop`, then takes what has been delivered already, and returns. `subscribed` is called
/// when the server knows of every subscription.
pub async fn serve(
    client: &async_nats::Client,
    intake: &Intake,
    inbox_prefixes: &[String],
    subscribed: impl FnOnce(),
    stop: CancellationToken,
) -> Result<(), async_nats::Error> {
    let root = intake.subjects.root().to_owned();
    let service: Service = client
        .service_builder()
        .description("Reservations of capacity, and locks")
        .queue_group(&root)
        .start(&root, env!("CARGO_PKG_VERSION"))
        .await?;
    let inboxes: Vec<String> = inbox_prefixes.iter().map(|prefix| format!("{prefix}.")).collect();
    let mut endpoints = JoinSet::new();
    for verb in Verb::ALL {
        let builder = service.endpoint_builder().name(verb.name());
        let endpoint = builder.add(intake.subjects.service(verb)).await?;
        endpoints.spawn(serve_verb(endpoint, verb, intake.clone(), inboxes.clone(), stop.clone()));
    }
    // The server takes one connection's words in order: once it has passed this on, it knows every subscription.
    client.request(format!("$SRV.PING.{root}.{}", service.info().await.id), Default::default()).await?;
    subscribed();
    while endpoints.join_next().await.is_some() {}
    service.stop().await
}

async fn serve_verb(mut endpoint: Endpoint, verb: Verb, intake: Intake, inboxes: Vec<String>, stop: CancellationToken) {
    loop {
        tokio::select! {
            request = endpoint.next() => match request {
                Some(request) => take(request, verb, &intake, &inboxes).await,
                None => return,
            },
            () = stop.cancelled() => break,
        }
    }
    if let Err(error) = endpoint.stop().await {
        tracing::warn!(%error, "could not unsubscribe");
    }
    while let Some(request) = endpoint.next().await {
        take(request, verb, &intake, &inboxes).await;
    }
}

async fn take(mut request: Request, verb: Verb, intake: &Intake, inboxes: &[String]) {
    let arrived = Instant::now();
    if let Some(reply) = &request.message.reply
        && !inboxes.iter().any(|inbox| reply.starts_with(inbox.as_str()))
    {
        // Answering would let a tenant publish, with the worker's rights, where it may not publish itself.
        intake.metrics.foreign_reply();
        tracing::warn!(subject = %request.message.subject, "a request with a reply subject outside the inbox space");
        return;
    }
    let subject = request.message.subject.clone();
    let headers = request.message.headers.take().unwrap_or_default();
    let payload = std::mem::take(&mut request.message.payload);
    let trace = || intake::headers(&headers).trace();
    let answerer = Answerer::Inbox(Box::new(request));
    let Some(permit) = intake.try_admit() else {
        return intake.refuse(verb, arrived, answerer, &Intake::overloaded(), trace()).await;
    };
    let tenant = match intake.subjects.address(&subject) {
        Ok(Address { tenant, .. }) => tenant,
        Err(fault) => {
            let refusal = match fault {
                NoAddress::Tenant => Refusal::NotFound,
                NoAddress::Verb => Refusal::UnknownVerb,
            };
            return intake.refuse(verb, arrived, answerer, &refusal, trace()).await;
        }
    };
    let arrival = Arrival { verb, tenant, headers: &headers, payload: &payload, own_key: None };
    intake.take(arrival, answerer, permit).await;
}
