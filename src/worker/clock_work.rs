//! What the clock's decider is at, for the deciders of commands: which lanes to keep away from, and whether it has so
//! much to do that every batch beside it counts.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::domain::id::LaneSet;

/// So many commands are company enough for each other.
const COMPANY: usize = 16;
/// How long fewer wait for it.
const COMPANY_WAIT: Duration = Duration::from_millis(4);

#[derive(Clone, Debug, Default)]
pub struct ClockWork(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    lanes: Mutex<LaneSet>,
    is_behind: watch::Sender<bool>,
}

impl ClockWork {
    /// What is due in these lanes is being carried out.
    pub fn is_at(&self, lanes: LaneSet) {
        *self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner) = lanes;
    }

    pub fn meets(&self, lanes: LaneSet) -> bool {
        self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner).meets(lanes)
    }

    /// Is more due than its last batch could carry out?
    pub fn set_behind(&self, is_behind: bool) {
        self.0.is_behind.send_replace(is_behind);
    }

    /// While it is behind, commands wait here for others to share a batch with: what a batch costs whatever its size
    /// is then taken from the clock.
    pub async fn company(&self, waiting: usize) {
        if waiting >= COMPANY || !*self.0.is_behind.borrow() {
            return;
        }
        let mut is_behind = self.0.is_behind.subscribe();
        // The sender lives as long as this, so the channel is open.
        let _ = tokio::time::timeout(COMPANY_WAIT, is_behind.wait_for(|is_behind| !is_behind)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn waited(work: &ClockWork, waiting: usize) -> Duration {
        let began = tokio::time::Instant::now();
        work.company(waiting).await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn commands_wait_for_company_only_while_the_clock_is_behind() {
        let work = ClockWork::default();
        assert_eq!(waited(&work, 1).await, Duration::ZERO);
        work.set_behind(true);
        assert_eq!(waited(&work, 1).await, COMPANY_WAIT);
        assert_eq!(waited(&work, COMPANY).await, Duration::ZERO, "they are enough");
        let catch_up = async {
            tokio::time::sleep(COMPANY_WAIT / 2).await;
            work.set_behind(false);
        };
        let (waited, ()) = tokio::join!(waited(&work, 1), catch_up);
        assert_eq!(waited, COMPANY_WAIT / 2, "nobody is left for whom to wait");
    }
}
