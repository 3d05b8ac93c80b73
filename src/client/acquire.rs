//! Taking a lock, and waiting for it.
//!
//! | step | request | then |
//! |---|---|---|
//! | hear of grants | subscribe to `active`, before anything is asked | where it is to be waited |
//! | ask | `lock`, a new key | ACQUIRED: the guard; QUEUED: wait; else the answer |
//! | wait | – | the event of this claim, or a while: ask again, which keeps the place |
//! | ask, now had | ALREADY_HAD: `renew` | the guard: only now is it known from when its time to live counts |
//! | the wait is over | `lock` without a wait, then `unlock` | granted at the last moment, or the place is given up |

use std::time::{Duration, Instant};

use async_nats::Subscriber;
use futures::StreamExt;

use super::guard::{Granted, LockGuard};
use super::message::{Event, LockReply, LockRequest, LockStatus, Mode, RenewStatus};
use super::parting::Name;
use super::{Acquire, Acquisition, LockClient, LockError};
use crate::clock;

const TTL_MIN: Duration = Duration::from_secs(1);
/// The first pause before it is asked again whether the lock was granted, where no event tells; twice as long behind
/// each further one.
const LOOK_MIN: Duration = Duration::from_secs(1);
const LOOK_MAX: Duration = Duration::from_secs(15);
/// A grant that nobody hears of is to be found within this part of its time to live.
const LOOK_PART: u32 = 3;
const LOOK_LEAST: Duration = Duration::from_millis(500);
/// How often a claim may be told as had and yet not be renewed: it may have run out between the two.
const ROUNDS_MAX: usize = 3;

/// What is wanted, in the contract's units.
#[derive(Clone, Debug)]
struct Terms {
    name: Name,
    ttl: Option<Duration>,
    wait: Option<Duration>,
    mode: Mode,
    resource_type: Option<String>,
}

impl Terms {
    fn of(wanted: &Acquire) -> Result<Terms, LockError> {
        if wanted.ttl.is_some_and(|ttl| ttl < TTL_MIN) {
            return Err(LockError::InvalidDuration);
        }
        Ok(Terms {
            name: Name { requester: wanted.requester.clone(), resource: wanted.resource.clone() },
            ttl: wanted.ttl.map(|ttl| Duration::from_secs(whole_seconds(ttl))),
            wait: wanted.wait.filter(|wait| !wait.is_zero()),
            mode: wanted.mode,
            resource_type: wanted.resource_type.clone(),
        })
    }

    /// The longest pause between two looks.
    fn look_max(&self) -> Duration {
        self.ttl.map_or(LOOK_MAX, |ttl| (ttl / LOOK_PART).clamp(LOOK_LEAST, LOOK_MAX))
    }
}

/// Rounded up.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

/// A `lock` under way, so that it can be repeated byte for byte under its key.
#[derive(Clone, Debug)]
pub struct Asked {
    pub key: String,
    terms: Terms,
    wait_seconds: Option<u64>,
}

impl Asked {
    pub fn request(&self) -> LockRequest<'_> {
        LockRequest {
            requester: &self.terms.name.requester,
            resource: &self.terms.name.resource,
            ttl_seconds: self.terms.ttl.map(|ttl| ttl.as_secs()),
            resource_type: self.terms.resource_type.as_deref(),
            wait_seconds: self.wait_seconds,
            mode: self.terms.mode,
        }
    }
}

/// What a request has taken or may take before there is a guard for it. Dropped, it is given back.
#[derive(Debug)]
struct Claim<'a> {
    client: &'a LockClient,
    terms: Terms,
    asked: Option<Asked>,
    /// Of the place in the queue, or of a lock that was granted.
    release_token: Option<String>,
    /// How often it was had and could not be renewed.
    rounds: usize,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let (asked, release_token) = (self.asked.take(), self.release_token.take());
        if asked.is_some() || release_token.is_some() {
            self.client.part(self.terms.name.clone(), release_token, asked);
        }
    }
}

/// What a claim may be answered at last.
enum Step {
    Done(Acquisition),
    /// Ask at once: what was had has run out meanwhile.
    Again,
    Queued(Place),
}

struct Place {
    lock_id: String,
    position: u64,
}

pub async fn acquire(client: &LockClient, wanted: &Acquire) -> Result<Acquisition, LockError> {
    let terms = Terms::of(wanted)?;
    client.partings.over(&terms.name).await;
    let mut claim = Claim { client, terms, asked: None, release_token: None, rounds: 0 };
    if let Some(wait) = claim.terms.wait {
        return claim.wait(wait).await;
    }
    loop {
        match claim.ask(None).await? {
            Step::Done(acquisition) => return Ok(acquisition),
            Step::Again => {}
            // Nobody asked for a place; one that stands from an earlier request is left as it is.
            Step::Queued(_) => {
                claim.release_token = None;
                return Ok(Acquisition::AlreadyHeld);
            }
        }
    }
}

impl Claim<'_> {
    async fn wait(&mut self, wait: Duration) -> Result<Acquisition, LockError> {
        let mut grants = self.subscribe().await?;
        let deadline = Instant::now().checked_add(wait);
        let left = || deadline.map_or(wait, |deadline| deadline.saturating_duration_since(Instant::now()));
        let mut position = None;
        let mut pause = LOOK_MIN.min(self.terms.look_max());
        while !left().is_zero() {
            let place = match self.ask(Some(whole_seconds(left()))).await {
                Ok(Step::Done(Acquisition::AlreadyHeld)) if position.is_some() => None,
                Ok(Step::Done(acquisition)) => return Ok(acquisition),
                Ok(Step::Again) => continue,
                Ok(Step::Queued(place)) => Some(place),
                // The place is kept while nobody answers.
                Err(error) if error.is_in_doubt() && position.is_some() => None,
                Err(error) => return Err(error),
            };
            position = place.as_ref().map(|place| place.position).or(position);
            let lock_id = place.map(|place| place.lock_id);
            let granted = granted(&mut grants, lock_id.as_deref());
            // Whichever comes first, it is asked again.
            let _ = tokio::time::timeout(pause.min(left()), granted).await;
            pause = (pause * 2).min(self.terms.look_max());
        }
        self.give_up(position.unwrap_or(1)).await
    }

    /// The wait is over. It may have been granted in its last moment.
    async fn give_up(&mut self, position: u64) -> Result<Acquisition, LockError> {
        if let Step::Done(acquisition @ Acquisition::Acquired(_)) = self.ask(None).await? {
            return Ok(acquisition);
        }
        if let Some(release_token) = self.release_token.clone() {
            self.client.unlock(&self.terms.name, &release_token).await?;
            self.release_token = None;
        }
        Ok(Acquisition::WaitOver { position })
    }

    /// Grants under the label of the lock, from now on. Where none was given it may be that of a registered resource.
    async fn subscribe(&self) -> Result<Option<Subscriber>, LockError> {
        let is_token =
            |label: &str| !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
        let label = match self.terms.resource_type.as_deref() {
            None => "*",
            Some(label) if is_token(label) => label,
            Some(_) => return Ok(None), // will be refused
        };
        let asker = &self.client.asker;
        asker.nats().subscribe(asker.grants(label)).await.map(Some).map_err(LockError::Unsubscribable)
    }

    /// Asks for the lock, under a key of its own. An answer that was not got leaves what was asked in its place, so that
    /// it is given back.
    async fn ask(&mut self, wait_seconds: Option<u64>) -> Result<Step, LockError> {
        self.settle().await?;
        let asked = Asked { key: clock::random_uuid().to_string(), terms: self.terms.clone(), wait_seconds };
        let asked = self.asked.insert(asked);
        let asker = &self.client.asker;
        let answer = asker.ask::<LockReply>("lock", Some(&asked.key), &asked.request(), asker.give_up()).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                if !error.is_in_doubt() {
                    self.asked = None;
                }
                return Err(error);
            }
        };
        self.asked = None;
        self.answered(answer.body, answer.sent_at).await
    }

    /// A request of which nobody knows what it has taken is asked again before another is sent.
    async fn settle(&mut self) -> Result<(), LockError> {
        let Some(asked) = &self.asked else { return Ok(()) };
        let asker = &self.client.asker;
        let answer = asker.ask::<LockReply>("lock", Some(&asked.key), &asked.request(), asker.give_up()).await?;
        self.asked = None;
        if matches!(answer.body.status, LockStatus::Acquired | LockStatus::Queued) {
            self.release_token = answer.body.release_token;
        }
        Ok(())
    }

    async fn answered(&mut self, reply: LockReply, sent_at: Instant) -> Result<Step, LockError> {
        Ok(match reply.status {
            LockStatus::Acquired => {
                self.release_token = reply.release_token.clone();
                Step::Done(Acquisition::Acquired(self.guard(self.granted(reply, sent_at)?)?))
            }
            LockStatus::AlreadyHad => self.had(self.granted(reply, sent_at)?).await?,
            LockStatus::Queued => {
                self.release_token = reply.release_token;
                let lock_id = reply.lock_id.ok_or(INCOMPLETE)?;
                let position = reply.position.unwrap_or(1);
                tracing::debug!(resource = self.terms.name.resource, position, "waiting for a lock");
                Step::Queued(Place { lock_id, position })
            }
            LockStatus::AlreadyHeld => Step::Done(Acquisition::AlreadyHeld),
            LockStatus::NotAvailable => Step::Done(Acquisition::NotAvailable),
            LockStatus::NotValid => Step::Done(Acquisition::NotValid),
        })
    }

    fn granted(&self, reply: LockReply, sent_at: Instant) -> Result<Granted, LockError> {
        Granted::of(self.terms.name.clone(), reply, self.terms.ttl, sent_at).ok_or(INCOMPLETE)
    }

    /// A claim that stood before this request: granted out of the queue, or older. Since when its time to live counts is
    /// not known here, so that it begins anew.
    async fn had(&mut self, mut granted: Granted) -> Result<Step, LockError> {
        granted.was_held_before = self.release_token.as_ref() != Some(&granted.release_token);
        let Some(ttl) = self.terms.ttl else {
            return match granted.expires_at {
                None => Ok(Step::Done(Acquisition::Acquired(self.guard(granted)?))),
                Some(_) => Err(LockError::HasTimeToLive),
            };
        };
        let answer = granted.renewable(self.client, ttl).renew(self.client.asker.give_up()).await?;
        if answer.body.status != RenewStatus::Renewed {
            self.rounds += 1;
            return if self.rounds < ROUNDS_MAX { Ok(Step::Again) } else { Err(LockError::NotRenewable) };
        }
        granted.expires_at = answer.body.expires_at;
        granted.sent_at = answer.sent_at;
        Ok(Step::Done(Acquisition::Acquired(self.guard(granted)?)))
    }

    /// From here on the guard gives it back.
    fn guard(&mut self, granted: Granted) -> Result<LockGuard, LockError> {
        self.release_token = None;
        let guard = LockGuard::new(self.client.clone(), granted);
        match guard.is_lost() {
            true => Err(LockError::TooLate),
            false => Ok(guard),
        }
    }
}

const INCOMPLETE: LockError = LockError::InvalidAnswer { verb: "lock", source: None };

/// Completes when the claim was granted; where none is known, or nothing can be heard, never.
async fn granted(grants: &mut Option<Subscriber>, lock_id: Option<&str>) {
    while let (Some(events), Some(lock_id)) = (grants.as_mut(), lock_id) {
        match events.next().await {
            Some(event) if is_of(&event.payload, lock_id) => return,
            Some(_) => {}
            None => break,
        }
    }
    std::future::pending().await
}

fn is_of(payload: &[u8], lock_id: &str) -> bool {
    serde_json::from_slice::<Event>(payload).is_ok_and(|event| event.subject == lock_id)
}
