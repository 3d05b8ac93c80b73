//! The request-reply path: a NATS service, so that `$SRV.PING`, `INFO` and `STATS` find it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::answer::Answerer;
use super::connect::Connections;
use super::discovery::Discovery;
use super::endpoint::{Endpoint, Inboxes, Request, Requests, round_trip};
use super::homes::WorkerId;
use super::intake::{self, Arrival, Intake};
use super::neighbours::Neighbours;
use super::pass_on::REPLY_HEADER;
use super::submit;
use crate::clock;
use crate::config::WorkerConfig;
use crate::domain::outcome::Refusal;
use crate::wire::subject::{Address, NoAddress};
use crate::wire::verb::Verb;

/// Serves every verb until `stop`, then takes what has been delivered already, and returns. `subscribed` is called
/// when the server knows of every subscription.
pub async fn serve(
    connections: &Connections,
    intake: &Intake,
    config: &WorkerConfig,
    subscribed: impl FnOnce(),
    stop: CancellationToken,
) -> Result<(), async_nats::Error> {
    let client = &connections.requests;
    let root = intake.subjects.root();
    let me: WorkerId = clock::random_uuid().simple().to_string().into();
    let inboxes = Inboxes::new(&config.inbox_prefixes);
    let home = format!("{}.", intake.subjects.home(&me));
    let results = jetstream::new(connections.submitted.clone());
    let verbs = Verb::ALL.into_iter().map(|verb| (Some(verb), verb.name(), intake.subjects.service(verb)));
    let homes = config.homes.then(|| (None, "home", format!("{home}>")));
    let doors: Vec<(Option<Verb>, Arc<Endpoint>)> =
        verbs.chain(homes).map(|(verb, name, subject)| (verb, Endpoint::new(client, name, subject))).collect();
    let endpoints = doors.iter().map(|(_, endpoint)| endpoint.clone()).collect();
    let discovery = Discovery::new(client, inboxes.clone(), root, me.clone(), endpoints, intake.metrics.clone());
    let asked = discovery.subscribe().await?;
    let _discovery = AbortOnDropHandle::new(tokio::spawn(async move { discovery.answer(asked).await }));
    let door = Door { intake: intake.clone(), inboxes, home, results };
    let leaving = CancellationToken::new();
    let mut serving = JoinSet::new();
    for (verb, endpoint) in doors {
        serving.spawn(door.clone().serve(endpoint.subscribe(root).await?, verb, leaving.clone()));
    }
    let mut neighbours = match config.homes {
        true => Some(Neighbours::listen(client, intake, me).await?),
        false => None,
    };
    while let Err(error) = round_trip(client).await {
        tracing::warn!(%error, "does not know yet whether the server sends it requests");
        tokio::select! {
            () = tokio::time::sleep(RETRY_DELAY) => (),
            () = stop.cancelled() => break,
        }
    }
    subscribed();
    let told = async {
        match &mut neighbours {
            Some(neighbours) => neighbours.keep(&stop).await,
            None => stop.cancelled().await,
        }
    };
    tokio::select! {
        () = told => (),
        _ = serving.join_next() => (), // its subscription is closed, and so is the connection
    }
    if let Some(neighbours) = &mut neighbours {
        neighbours.leave().await;
    }
    leaving.cancel();
    while serving.join_next().await.is_some() {}
    if let Some(neighbours) = neighbours {
        neighbours.take_all_back().await;
    }
    Ok(())
}

/// Between two looks whether the server has heard of the subscriptions.
const RETRY_DELAY: Duration = Duration::from_millis(250);

/// Where a message of a stream is acknowledged, with a dot.
const ACKNOWLEDGED_AT: &str = "$JS.ACK.";

/// Where requests come in.
#[derive(Clone)]
struct Door {
    intake: Intake,
    inboxes: Inboxes,
    /// What stands before the subject of a request that is passed on to this worker.
    home: String,
    /// Of the submitted commands among them.
    results: jetstream::Context,
}

impl Door {
    /// `verb`: `None` where other workers pass requests on.
    async fn serve(self, mut requests: Requests, verb: Option<Verb>, stop: CancellationToken) {
        loop {
            tokio::select! {
                request = requests.next() => match request {
                    Some(request) => self.open(request, verb).await,
                    None => return,
                },
                () = stop.cancelled() => break,
            }
        }
        if let Err(error) = requests.end().await {
            tracing::warn!(%error, "leaves without knowing that the server has heard it");
        }
        while let Some(request) = requests.next_now() {
            self.open(request, verb).await;
        }
    }

    async fn open(&self, request: Request, verb: Option<Verb>) {
        match verb {
            Some(verb) => self.take(request, verb, false).await,
            None => self.take_passed_on(request).await,
        }
    }

    /// Makes it the request that it was.
    async fn take_passed_on(&self, mut request: Request) {
        let message = &mut request.message;
        let subject = message.subject.strip_prefix(&self.home).unwrap_or_default().to_owned();
        let Ok(Address { verb, .. }) = self.intake.subjects.address(&subject) else {
            tracing::warn!(subject, "what was passed on is no request");
            return;
        };
        let reply = message.headers.as_ref().and_then(|headers| headers.get(REPLY_HEADER));
        message.reply = reply.map(|reply| reply.as_str()).filter(|reply| !reply.is_empty()).map(Into::into);
        message.subject = subject.into();
        if self.intake.subjects.is_submitted(&message.subject) {
            if !message.reply.as_deref().is_some_and(|reply| reply.starts_with(ACKNOWLEDGED_AT)) {
                return self.intake.metrics.foreign_reply();
            }
            let message = jetstream::Message { message: request.message, context: self.results.clone() };
            return submit::take_passed_on(message, &self.results, &self.intake).await;
        }
        self.take(request, verb, true).await;
    }

    async fn take(&self, mut request: Request, verb: Verb, is_at_home: bool) {
        let arrived = Instant::now();
        let intake = &self.intake;
        if let Some(reply) = &request.message.reply
            && !self.inboxes.has(reply)
        {
            // Answering would let a tenant publish, with the worker's rights, where it may not publish itself.
            intake.metrics.foreign_reply();
            let subject = &request.message.subject;
            tracing::warn!(%subject, "a request with a reply subject outside the inbox space");
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
        let arrival = Arrival { verb, tenant, headers, payload, own_key: None, is_at_home };
        intake.take(arrival, answerer, permit).await;
    }
}
