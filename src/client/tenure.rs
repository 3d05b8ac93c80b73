//! How long a lock may be taken as held, by this process's monotonic clock alone.
//!
//! The server counts a time to live from when it decides, which is later than when the request left here. So an end
//! that is counted from before the sending comes first, and a margin before it leaves time to notice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::watch;

/// The part of a time to live by which a lock is taken as lost early: a tenth.
const MARGIN_PART: u32 = 10;
/// The margin of short times to live; the shortest, of a second, is thus taken as 800 ms.
const MARGIN_MIN: Duration = Duration::from_millis(200);

/// Until when a lock may be taken as held. Once it is lost it stays so.
#[derive(Clone, Debug)]
pub struct Term {
    /// `None`: no time to live.
    limit: Option<Instant>,
    /// As the server told it.
    expires_at: Option<DateTime<Utc>>,
    /// The server has said so, or a renewal came too late.
    is_lost: bool,
}

impl Term {
    /// `sent_at`: before the request was sent that was granted with this time to live.
    pub fn new(sent_at: Instant, ttl: Option<Duration>, expires_at: Option<DateTime<Utc>>) -> Term {
        Term { limit: ttl.and_then(|ttl| limit(sent_at, ttl)), expires_at, is_lost: false }
    }

    pub fn is_lost(&self, now: Instant) -> bool {
        self.is_lost || self.limit.is_some_and(|limit| limit <= now)
    }

    /// A renewal was acknowledged. One that comes when the lock had to be taken as lost does not bring it back: whoever
    /// looked meanwhile has been told so. Gives whether the lock is held on.
    fn renew(&mut self, now: Instant, sent_at: Instant, ttl: Duration, expires_at: Option<DateTime<Utc>>) -> bool {
        self.is_lost = self.is_lost(now);
        if !self.is_lost {
            self.limit = limit(sent_at, ttl);
            self.expires_at = expires_at;
        }
        !self.is_lost
    }
}

/// Centuries from now are no limit.
fn limit(sent_at: Instant, ttl: Duration) -> Option<Instant> {
    sent_at.checked_add(ttl.saturating_sub(margin(ttl)))
}

fn margin(ttl: Duration) -> Duration {
    (ttl / MARGIN_PART).max(MARGIN_MIN)
}

/// The term of a lock, shared between its guard, its renewal, and those who wait for its loss.
#[derive(Clone, Debug)]
pub struct Tenure(Arc<watch::Sender<Term>>);

impl Tenure {
    pub fn new(term: Term) -> Tenure {
        Tenure(Arc::new(watch::Sender::new(term)))
    }

    /// The clock is read while the term is held, here and in `renew`: nobody sees a lock as held whom somebody before
    /// has seen as lost.
    pub fn is_lost(&self) -> bool {
        let term = self.0.borrow();
        term.is_lost(Instant::now())
    }

    pub fn limit(&self) -> Option<Instant> {
        self.0.borrow().limit
    }

    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.0.borrow().expires_at
    }

    /// `None`: no time to live. Zero: lost.
    pub fn remaining(&self) -> Option<Duration> {
        let term = self.0.borrow();
        let now = Instant::now();
        match term.is_lost(now) {
            true => Some(Duration::ZERO),
            false => term.limit.map(|limit| limit.saturating_duration_since(now)),
        }
    }

    /// See [`Term::renew`].
    pub fn renew(&self, sent_at: Instant, ttl: Duration, expires_at: Option<DateTime<Utc>>) -> bool {
        let mut is_held = false;
        self.0.send_modify(|term| is_held = term.renew(Instant::now(), sent_at, ttl, expires_at));
        is_held
    }

    /// The server says that somebody else may have it.
    pub fn lose(&self) {
        self.0.send_modify(|term| term.is_lost = true);
    }

    /// Completes when the lock is lost, or nobody keeps it any more.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut terms = self.0.subscribe();
        async move {
            loop {
                let limit = {
                    let term = terms.borrow_and_update();
                    if term.is_lost(Instant::now()) {
                        return;
                    }
                    term.limit
                };
                tokio::select! {
                    changed = terms.changed() => if changed.is_err() { return },
                    () = sleep_until(limit) => {}
                }
            }
        }
    }
}

async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(60);

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_lock_is_lost_a_tenth_before_its_time_to_live_counted_from_before_it_was_asked_for() {
        let start = Instant::now();
        let term = Term::new(start, Some(TTL), None);
        assert!(!term.is_lost(start) && !term.is_lost(after(start, 53)));
        assert!(term.is_lost(after(start, 54)));
    }

    #[test]
    fn the_shortest_time_to_live_has_a_margin_of_200_ms() {
        let start = Instant::now();
        let term = Term::new(start, Some(Duration::from_secs(1)), None);
        assert!(!term.is_lost(start + Duration::from_millis(799)));
        assert!(term.is_lost(start + Duration::from_millis(800)));
    }

    #[test]
    fn a_renewal_counts_from_when_it_was_sent_however_late_its_answer() {
        let start = Instant::now();
        let mut term = Term::new(start, Some(TTL), None);
        assert!(term.renew(after(start, 50), after(start, 20), TTL, None));
        assert!(!term.is_lost(after(start, 73)));
        assert!(term.is_lost(after(start, 74)));
    }

    #[test]
    fn a_renewal_that_is_told_of_when_the_lock_was_lost_does_not_bring_it_back() {
        let start = Instant::now();
        let mut term = Term::new(start, Some(TTL), None);
        assert!(!term.renew(after(start, 54), after(start, 53), TTL, None));
        assert!(term.is_lost(start), "lost is lost");
    }

    #[test]
    fn without_a_time_to_live_nothing_is_lost_by_time() {
        let start = Instant::now();
        let term = Term::new(start, None, None);
        assert!(!term.is_lost(after(start, 1_000_000_000)));
    }
}
