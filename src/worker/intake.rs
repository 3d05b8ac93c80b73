//! Requests in: from the service's subscriptions and from the durable stream, decoded and handed on. What can't be
//! taken is answered at once: silence is never an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use async_nats::HeaderMap;
use bytes::Bytes;
use tokio::sync::Semaphore;

use super::answer::{Answer, Answerer};
use super::dispatch::Dispatcher;
use super::homes::WorkerId;
use super::pass_on::{Parcel, PassOn};
use super::reader::Queries;
use super::waiting::{Permit, Waiting};
use crate::clock;
use crate::domain::command::{Request, Siblings, Trace};
use crate::domain::id::{IdempotencyKey, ReceiptId, Tenant};
use crate::domain::outcome::Refusal;
use crate::telemetry::{self, Metrics};
use crate::wire::headers::UNREADABLE_HEADER;
use crate::wire::request::{Call, Decoded, Headers, decode};
use crate::wire::subject::Subjects;
use crate::wire::verb::Verb;
use crate::wire::{glance, reply};

/// What a refused requester is told to wait, milliseconds.
const RETRY_AFTER_MS: u64 = 50;

/// Where every request enters, whichever way it came.
#[derive(Clone, Debug)]
pub struct Intake {
    pub subjects: Subjects,
    pub dispatcher: Dispatcher,
    pub queries: Queries,
    pub pass_on: PassOn,
    pub metrics: Metrics,
    /// One permit for each request that may be in hand.
    pub in_hand: Arc<Semaphore>,
    /// Events that wait to be published, and how many may before commands are refused.
    pub backlog: Arc<AtomicI64>,
    pub backlog_max: i64,
}

/// A request as it arrived, whichever way it came.
#[derive(Debug)]
pub struct Arrival {
    pub verb: Verb,
    pub tenant: Option<Tenant>,
    pub headers: HeaderMap,
    pub payload: Bytes,
    /// The key of a submitted message that brought none.
    pub own_key: Option<IdempotencyKey>,
    /// It is decided here, wherever its lane is at home.
    pub is_at_home: bool,
}

impl Intake {
    /// A place among the requests in hand; `None`: the worker has all that it can take.
    pub fn try_admit(&self) -> Option<Permit> {
        self.in_hand.clone().try_acquire_owned().ok().map(|place| Permit::new(place, &self.metrics))
    }

    /// The same, waiting for it; `None`: the worker ends.
    pub async fn admit(&self) -> Option<Permit> {
        self.in_hand.clone().acquire_owned().await.ok().map(|place| Permit::new(place, &self.metrics))
    }

    pub fn overloaded() -> Refusal {
        Refusal::Overloaded { retry_after_ms: RETRY_AFTER_MS }
    }

    /// Passes a request on to the worker that is at home in its lane, or takes it here.
    pub async fn take(&self, arrival: Arrival, answerer: Answerer, permit: Permit) {
        let sending = self.pass_on.begin().await;
        let Some(home) = self.home_of(&arrival) else {
            drop(sending);
            return self.take_here(arrival, answerer, permit).await;
        };
        let sent = self.pass_on.send(Parcel { home, arrival, answerer }).await;
        drop(sending);
        match sent {
            Ok(()) => self.metrics.passed_on(),
            Err(parcel) => self.take_here(parcel.arrival, parcel.answerer, permit).await,
        }
    }

    fn home_of(&self, arrival: &Arrival) -> Option<WorkerId> {
        if arrival.is_at_home || !self.pass_on.homes.are_shared() {
            return None;
        }
        let lane = glance::lane(arrival.verb, arrival.tenant.as_ref(), &arrival.payload)?;
        self.pass_on.homes.elsewhere(lane)
    }

    /// Decodes a request and hands it on; what is refused here is answered here.
    async fn take_here(&self, arrival: Arrival, answerer: Answerer, permit: Permit) {
        let arrived = Instant::now();
        let verb = arrival.verb;
        let headers = headers(&arrival.headers);
        let decoded = match decode(verb, arrival.tenant.as_ref(), &headers, &arrival.payload) {
            Ok(decoded) => decoded,
            Err(refusal) => return self.refuse(verb, arrived, answerer, &refusal, headers.trace()).await,
        };
        let Decoded { key, actor, not_after, trace, is_dry_run, call } = decoded;
        let (span, trace) = telemetry::request_span(trace.as_ref(), verb);
        match call {
            Call::Query(query) => {
                let (queries, metrics) = (self.queries.clone(), self.metrics.clone());
                let tenant = arrival.tenant;
                tokio::spawn(async move {
                    let (encoded, is_replay) = queries.answer(tenant.as_ref(), query).await;
                    let code = encoded.error.as_ref().map_or("ok", |(_, code)| code);
                    metrics.answered(verb, code, arrived.elapsed().as_secs_f64());
                    answerer.send(Answer { encoded, is_replay, trace }).await;
                    drop(permit);
                });
            }
            Call::Command(command, canonical) => {
                if verb.is_mutation() && self.backlog.load(Ordering::Relaxed) > self.backlog_max {
                    return self.refuse(verb, arrived, answerer, &Intake::overloaded(), trace).await;
                }
                let key = key.or(arrival.own_key).filter(|_| verb.is_mutation() && !is_dry_run);
                let receipt = key.map(|key| ReceiptId::of(arrival.tenant.as_ref(), &key));
                let (tenant, entropy) = (arrival.tenant, clock::entropy());
                let siblings = Siblings::default();
                let request = Request { tenant, actor, not_after, trace, entropy, is_dry_run, siblings, command };
                let waiting = Waiting { request, verb, canonical, receipt, answerer, arrived, span, permit };
                self.hand_on(Box::new(waiting)).await;
            }
        }
    }

    /// Takes a request that nobody took where it was passed on to.
    pub async fn take_back(&self, parcel: Parcel) {
        let Parcel { arrival, answerer, .. } = parcel;
        match self.try_admit() {
            Some(permit) => self.take_here(arrival, answerer, permit).await,
            None => {
                let trace = headers(&arrival.headers).trace();
                self.refuse(arrival.verb, Instant::now(), answerer, &Intake::overloaded(), trace).await;
            }
        }
    }

    /// What asks by kind needs a look at the pools before its lane is known; a dry run of what would be a pool's kind
    /// needs one because it never gets to Postgres, which keeps two from having the same.
    async fn hand_on(&self, mut waiting: Box<Waiting>) {
        let is_kind_tried = waiting.request.is_dry_run && waiting.put().is_some();
        if waiting.request.command.wanted_kinds().is_empty() && !is_kind_tried {
            return self.dispatcher.command(waiting);
        }
        let intake = self.clone();
        tokio::spawn(async move { intake.look_up_pool(waiting).await });
    }

    async fn look_up_pool(&self, mut waiting: Box<Waiting>) {
        let found = match waiting.put().filter(|_| waiting.request.is_dry_run) {
            Some(put) => self.queries.check_kind(put).await,
            None => self.queries.find_pool(&mut waiting.request).await,
        };
        match found {
            Ok(()) => self.dispatcher.command(waiting),
            Err(refusal) => {
                let Waiting { verb, arrived, answerer, permit, request, .. } = *waiting;
                self.refuse(verb, arrived, answerer, &refusal, request.trace).await;
                drop(permit);
            }
        }
    }

    /// Answers a request that went no further.
    pub async fn refuse(
        &self,
        verb: Verb,
        arrived: Instant,
        answerer: Answerer,
        refusal: &Refusal,
        trace: Option<Trace>,
    ) {
        self.metrics.answered(verb, refusal.code(), arrived.elapsed().as_secs_f64());
        let answer = Answer { encoded: reply::refusal(refusal), is_replay: false, trace };
        match refusal.is_retryable() {
            true => answerer.send_undecided(answer).await,
            false => answerer.send(answer).await,
        }
    }
}

/// The headers of a message that mean something here; of one that stands twice, the first. Most messages have one or
/// two, so these are gone through rather than looked up.
pub fn headers(map: &HeaderMap) -> Headers<'_> {
    let mut headers = Headers::default();
    for (name, values) in map.iter() {
        let name: &str = name.as_ref();
        let place = match name {
            "Idempotency-Key" => &mut headers.idempotency_key,
            "Berth-Actor" => &mut headers.actor,
            "Berth-Not-After" => &mut headers.not_after,
            "traceparent" => &mut headers.traceparent,
            "tracestate" => &mut headers.tracestate,
            UNREADABLE_HEADER => {
                headers.are_unreadable = true;
                continue;
            }
            _ => continue,
        };
        *place = values.first().map(|value| value.as_str());
    }
    headers
}
