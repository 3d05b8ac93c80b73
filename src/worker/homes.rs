//! The home of each lane: of the workers that are there, the one that decides the lane's commands. What arrives at
//! another one is passed on, so that a lane is moved by one worker, which knows it as it is: it decides without locks,
//! and has nothing to catch up with (record 30).
//!
//! Homes are a matter of speed alone. Workers that disagree about them meet in the database, as all would without.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::id::{Lane, hash};

/// How long a worker that is not heard of is taken to be there.
const SILENT: Duration = Duration::from_secs(1);

/// The id under which a worker serves: that of its NATS service.
pub type WorkerId = Arc<str>;

#[derive(Clone, Debug, Default)]
pub struct Homes(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// `None` while this worker does not serve.
    me: Option<WorkerId>,
    /// When each worker was heard of last, this one too: one that does not hear itself could not pass anything on.
    heard: BTreeMap<WorkerId, Instant>,
    /// By lane; `None`: here.
    elsewhere: Vec<Option<WorkerId>>,
}

impl Homes {
    /// This worker serves, under this id.
    pub fn begin(&self, me: WorkerId) {
        self.with(|known| *known = Known { me: Some(me), ..Known::default() });
    }

    /// It serves no more: nothing is passed on any more.
    pub fn end(&self) {
        self.with(|known| *known = Known::default());
    }

    /// A worker is there. Is that new? Not to one that does not serve itself.
    pub fn heard(&self, worker: &str, now: Instant) -> bool {
        self.with(|known| {
            if known.me.is_none() {
                return false;
            }
            let is_new = known.heard.insert(worker.into(), now).is_none();
            if is_new {
                known.settle();
            }
            is_new
        })
    }

    /// A worker has left, or could not be reached.
    pub fn gone(&self, worker: &str) {
        self.with(|known| {
            if known.heard.remove(worker).is_some() {
                known.settle();
            }
        });
    }

    /// Forgets the workers that have been silent for too long.
    pub fn forget_silent(&self, now: Instant) {
        self.with(|known| {
            let count = known.heard.len();
            known.heard.retain(|_, heard| now.duration_since(*heard) < SILENT);
            if known.heard.len() < count {
                known.settle();
            }
        });
    }

    /// The other workers that are there.
    pub fn others(&self) -> BTreeSet<WorkerId> {
        self.with(|known| known.heard.keys().filter(|worker| Some(*worker) != known.me.as_ref()).cloned().collect())
    }

    /// Is any lane at home elsewhere?
    pub fn are_shared(&self) -> bool {
        self.with(|known| known.heard.len() > 1)
    }

    /// The other worker that this lane is at home with.
    pub fn elsewhere(&self, lane: Lane) -> Option<WorkerId> {
        self.with(|known| known.elsewhere.get(usize::from(lane.number())).cloned().flatten())
    }

    pub fn is_here(&self, lane: Lane) -> bool {
        self.elsewhere(lane).is_none()
    }

    fn with<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    /// Each lane goes to the worker of the highest hash (rendezvous hashing): all who know of the same workers find the
    /// same homes, and one that comes or goes moves no lanes but its own.
    fn settle(&mut self) {
        let me = self.me.as_ref().filter(|me| self.heard.contains_key(*me));
        let rank = |lane: Lane, worker: &WorkerId| hash(&[worker.as_bytes(), &[lane.number()]]);
        let home = |lane| self.heard.keys().max_by_key(|worker| rank(lane, worker)).filter(|home| Some(*home) != me);
        self.elsewhere = match me {
            Some(_) => Lane::all().map(|lane| home(lane).cloned()).collect(),
            None => Vec::new(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn homes(me: &str, others: &[&str], now: Instant) -> Homes {
        let homes = Homes::default();
        homes.begin(me.into());
        for worker in [me].iter().chain(others) {
            assert!(homes.heard(worker, now));
        }
        homes
    }

    /// For each lane, who of the three is at home there, as `me` sees it.
    fn seen(me: &str, homes: &Homes) -> Vec<String> {
        let home = |lane| homes.elsewhere(lane).map_or(me.to_owned(), |home| home.to_string());
        Lane::all().map(home).collect()
    }

    #[test]
    fn all_agree_on_the_homes_and_each_has_its_share() {
        let now = Instant::now();
        let a = seen("a", &homes("a", &["b", "c"], now));
        assert_eq!(a, seen("b", &homes("b", &["c", "a"], now)));
        assert_eq!(a, seen("c", &homes("c", &["b", "a"], now)));
        for worker in ["a", "b", "c"] {
            let share = a.iter().filter(|home| *home == worker).count();
            assert!((10..=35).contains(&share), "{worker} has {share} of 64");
        }
    }

    #[test]
    fn who_leaves_or_falls_silent_moves_no_lanes_but_its_own() {
        let now = Instant::now();
        let homes = homes("a", &["b", "c"], now);
        let before = seen("a", &homes);
        homes.gone("c");
        let after = seen("a", &homes);
        assert!(before.iter().zip(&after).all(|(before, after)| before == after || before == "c"));
        assert!(!after.contains(&"c".to_owned()));
        assert!(homes.heard("c", now), "it is back");
        assert!(!homes.heard("c", now));
        assert_eq!(seen("a", &homes), before);
        homes.heard("a", now + SILENT);
        homes.heard("c", now + SILENT);
        homes.forget_silent(now + SILENT);
        assert!(!seen("a", &homes).contains(&"b".to_owned()), "it is silent");
    }

    #[test]
    fn a_worker_that_does_not_hear_itself_or_does_not_serve_passes_nothing_on() {
        let now = Instant::now();
        let deaf = Homes::default();
        deaf.begin("a".into());
        deaf.heard("b", now);
        assert!(Lane::all().all(|lane| deaf.is_here(lane)));
        let homes = homes("a", &["b"], now);
        assert!(!Lane::all().all(|lane| homes.is_here(lane)));
        homes.end();
        assert!(!homes.heard("b", now), "it would be told that this one is there");
        assert!(Lane::all().all(|lane| homes.is_here(lane)));
    }
}
