//! Keeps a lock by renewing it in the background.

use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::LockError;
use super::ask::{Answered, Asker};
use super::message::{RenewReply, RenewRequest, RenewStatus};
use super::tenure::Tenure;

/// A lock is renewed when a third of its time to live has passed.
const RENEW_PART: u32 = 3;
/// An attempt waits for at most this part of the time to live, so that two fit between the time for a renewal and the
/// loss.
const ATTEMPT_PART: u32 = 4;

/// What is renewed.
#[derive(Clone, Debug)]
pub struct Renewable {
    pub asker: Asker,
    pub resource: String,
    pub release_token: String,
    /// Whole seconds, at least one.
    pub ttl: Duration,
}

/// A task that renews until it is dropped or the lock is lost.
#[derive(Debug)]
pub struct Renewal(AbortHandle);

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Renewal {
    /// `sent_at`: before the request was sent that gave the present term.
    pub fn start(runtime: &Handle, renewable: Renewable, tenure: Tenure, sent_at: Instant) -> Renewal {
        Renewal(runtime.spawn(keep(renewable, tenure, sent_at)).abort_handle())
    }
}

impl Renewable {
    /// Asks once for a new term, again and again until `give_up`. Without a key: each attempt counts for itself, and
    /// one that is carried out twice does no harm.
    pub async fn renew(&self, give_up: Instant) -> Result<Answered<RenewReply>, LockError> {
        let request = RenewRequest {
            resource: &self.resource,
            release_token: &self.release_token,
            ttl_seconds: self.ttl.as_secs(),
        };
        self.asker.hasty(self.ttl / ATTEMPT_PART).ask("renew", None, &request, give_up).await
    }
}

async fn keep(renewable: Renewable, tenure: Tenure, mut counted_from: Instant) {
    let pause = renewable.ttl / RENEW_PART;
    loop {
        tokio::time::sleep_until((counted_from + pause).into()).await;
        let Some(limit) = tenure.limit().filter(|_| !tenure.is_lost()) else { break };
        match renewable.renew(limit).await {
            Ok(answer) if answer.body.status == RenewStatus::Renewed => {
                if !tenure.renew(answer.sent_at, renewable.ttl, answer.body.expires_at) {
                    break;
                }
                counted_from = answer.sent_at;
            }
            Ok(_) => {
                tenure.lose();
                break;
            }
            Err(error) => {
                tracing::warn!(resource = renewable.resource, %error, "a lock was not renewed");
                counted_from = Instant::now();
            }
        }
    }
    tracing::warn!(resource = renewable.resource, "a lock is lost");
}
