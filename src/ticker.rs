//! The clock as a producer of commands: when something is due in a lane, its decider is told so.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::domain::id::{LANES, Lane};
use crate::domain::window::Instant;
use crate::store::query::Reader;
use crate::store::start::Database;

/// How often the database is asked for what is due next: what other workers wrote, and did not live to carry out.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How late what is due in another worker's lane may become before it is carried out here all the same.
const OVERDUE: TimeDelta = TimeDelta::seconds(5);
/// Between two looks after lanes were carried out.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// When each lane is due next, as far as this worker knows.
#[derive(Clone, Debug, Default)]
pub struct Alarm {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    lanes: Mutex<[Due; LANES as usize]>,
    moved: Notify,
}

#[derive(Clone, Copy, Debug, Default)]
struct Due {
    at: Option<Instant>,
    /// The clock's decider has been told, and has not been heard of since.
    is_rung: bool,
}

impl Default for Inner {
    fn default() -> Inner {
        Inner { lanes: Mutex::new([Due::default(); LANES as usize]), moved: Notify::new() }
    }
}

impl Alarm {
    /// Holds have been written that are due at these instants.
    pub fn set(&self, due: impl Iterator<Item = (Lane, Instant)>) {
        let is_earlier = self.with(|lanes| {
            let mut is_earlier = false;
            for (lane, at) in due {
                let Some(entry) = lanes.get_mut(usize::from(lane.number())) else { continue };
                if entry.at.is_none_or(|known| at < known) {
                    entry.at = Some(at);
                    is_earlier = true;
                }
            }
            is_earlier
        });
        if is_earlier {
            self.inner.moved.notify_one();
        }
    }

    /// What was due in a lane has been carried out; the next look finds out when something is due again.
    pub fn ticked(&self, lane: Lane) {
        self.with(|lanes| {
            if let Some(entry) = lanes.get_mut(usize::from(lane.number())) {
                entry.is_rung = false;
            }
        });
        self.inner.moved.notify_one();
    }

    /// The lanes that are due and have not been told so, and when the next of the others is.
    fn ring(&self, now: Instant) -> (Vec<Lane>, Option<Instant>) {
        self.with(|lanes| {
            let mut due = Vec::new();
            let mut next = None;
            for (lane, entry) in Lane::all().zip(lanes.iter_mut()).filter(|(_, entry)| !entry.is_rung) {
                match entry.at {
                    Some(at) if at <= now => {
                        *entry = Due { at: None, is_rung: true };
                        due.push(lane);
                    }
                    Some(at) => next = Some(next.map_or(at, |next: Instant| next.min(at))),
                    None => (),
                }
            }
            (due, next)
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut [Due; LANES as usize]) -> T) -> T {
        change(&mut self.inner.lanes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Tells `tick` of every lane that is due, until `stop`. What `is_home` denies is another worker's to look after, but for
/// what this worker has just written there itself. Asked every second, the database is missed here first where
/// nothing is to be decided: then `is_up` is set to false.
pub async fn run(
    alarm: Alarm,
    database: Database,
    is_up: watch::Sender<bool>,
    tick: impl Fn(Lane),
    is_home: impl Fn(Lane) -> bool,
    stop: CancellationToken,
) {
    let reader = Reader::new(database.clone());
    // How far the database's clock is ahead of this machine's.
    let mut ahead = TimeDelta::zero();
    let mut next_look = tokio::time::Instant::now();
    while !stop.is_cancelled() {
        if next_look <= tokio::time::Instant::now() {
            next_look = tokio::time::Instant::now() + LOOK_EVERY;
            match reader.next_due().await {
                Ok((due, now)) => {
                    ahead = now - clock::now();
                    alarm.set(due.into_iter().filter(|(lane, at)| is_home(*lane) || *at + OVERDUE < now));
                }
                Err(error) => {
                    tracing::warn!(%error, cause = %error.source, "could not look for what is due");
                    // It may only be slow, or all connections busy.
                    if !database.is_reachable().await {
                        is_up.send_replace(false);
                    }
                }
            }
        }
        let now = clock::now() + ahead;
        let (due, next) = alarm.ring(now);
        due.into_iter().for_each(&tick);
        let due_in = next.map_or(LOOK_EVERY, |next| (next - now).to_std().unwrap_or_default());
        tokio::select! {
            () = tokio::time::sleep(due_in) => (),
            () = tokio::time::sleep_until(next_look) => (),
            () = alarm.inner.moved.notified() => {
                next_look = next_look.min(tokio::time::Instant::now() + LOOK_AGAIN);
            }
            () = stop.cancelled() => (),
        }
    }
}
