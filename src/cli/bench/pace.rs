//! When a request is sent: as soon as a slot is free (a closed loop), or at the instant at which it is due, whatever
//! the answers do (an open loop).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Thread;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// A connection is woken no more often, so that a high rate costs the machine no more than this. Requests that are
/// due in between are sent together, up to so much late.
const WAKE_SPACING: Duration = Duration::from_micros(250);
const NANOS: u128 = 1_000_000_000;

/// The instants at which one of several connections sends: together they send at constant spacing.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    pub begin: Instant,
    /// Requests a second, over all connections.
    pub rate: u64,
    pub connections: u64,
    pub connection: u64,
}

impl Schedule {
    /// The number, among all connections, of this connection's request.
    fn number(&self, turn: u64) -> u64 {
        turn * self.connections + self.connection
    }

    /// From the number alone, so that no rounding adds up.
    fn due(&self, turn: u64) -> Instant {
        let nanos = u128::from(self.number(turn)) * NANOS / u128::from(self.rate);
        self.begin + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// What a connection is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Send this request. `due`: since when it should have been.
    Send {
        number: u64,
        due: Instant,
    },
    Wait,
    Over,
}

#[derive(Debug)]
enum By {
    /// A closed loop: the next number of all connections.
    Answers(Arc<AtomicU64>),
    Clock(Schedule, u64),
}

/// One connection's pace through a round.
#[derive(Debug)]
pub struct Pace {
    by: By,
    limit: u64,
    until: Option<Instant>,
    is_over: bool,
    /// How late the last request was sent, or was not.
    behind: Duration,
}

impl Pace {
    pub fn closed(numbers: Arc<AtomicU64>, limit: u64, until: Option<Instant>) -> Pace {
        Pace { by: By::Answers(numbers), limit, until, is_over: false, behind: Duration::ZERO }
    }

    pub fn open(schedule: Schedule, limit: u64, until: Option<Instant>) -> Pace {
        Pace { by: By::Clock(schedule, 0), limit, until, is_over: false, behind: Duration::ZERO }
    }

    pub fn is_over(&self) -> bool {
        self.is_over
    }

    pub fn end(&mut self) {
        self.is_over = true;
    }

    pub fn behind(&self) -> Duration {
        self.behind
    }

    /// Did this instant come before the end of the time?
    pub fn is_in_time(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// For a slot that is free.
    pub fn turn(&mut self, now: Instant) -> Turn {
        if self.is_over {
            return Turn::Over;
        }
        let turn = match &mut self.by {
            By::Answers(_) if self.until.is_some_and(|until| now >= until) => Turn::Over,
            By::Answers(numbers) => match numbers.fetch_add(1, Ordering::Relaxed) {
                number if number < self.limit => Turn::Send { number, due: now },
                _ => Turn::Over,
            },
            By::Clock(schedule, turn) => {
                let (number, due) = (schedule.number(*turn), schedule.due(*turn));
                let end = self.until.map_or(now, |until| now.min(until));
                if number >= self.limit || self.until.is_some_and(|until| due >= until) {
                    Turn::Over
                } else if self.until.is_some_and(|until| now >= until) {
                    // It was due within the time, and no slot was free for it.
                    self.behind = end - due;
                    Turn::Over
                } else if due > now {
                    Turn::Wait
                } else {
                    *turn += 1;
                    self.behind = now - due;
                    Turn::Send { number, due }
                }
            }
        };
        self.is_over = turn == Turn::Over;
        turn
    }

    /// Wakes the connection whenever a request of an open loop is due. A thread, because the timers of the runtime
    /// count milliseconds.
    pub fn waker(&self) -> Waker {
        let (due, is_over) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let thread = match self.by {
            By::Answers(_) => None,
            By::Clock(schedule, _) => {
                let (due, is_over) = (due.clone(), is_over.clone());
                let thread = std::thread::spawn(move || wake(schedule, &due, &is_over));
                Some(thread.thread().clone())
            }
        };
        Waker { due, is_over, thread }
    }
}

fn wake(schedule: Schedule, due: &Notify, is_over: &AtomicBool) {
    let mut turn = 0;
    let mut next = schedule.due(turn);
    while !is_over.load(Ordering::Relaxed) {
        let now = Instant::now();
        if now < next {
            std::thread::park_timeout(next - now);
            continue;
        }
        due.notify_one();
        while schedule.due(turn) <= now {
            turn += 1;
        }
        next = schedule.due(turn).max(now + WAKE_SPACING);
    }
}

/// Ends its thread when it is dropped.
#[derive(Debug)]
pub struct Waker {
    due: Arc<Notify>,
    is_over: Arc<AtomicBool>,
    thread: Option<Thread>,
}

impl Waker {
    /// Never, in a closed loop.
    pub async fn due(&self) {
        self.due.notified().await;
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = &self.thread {
            thread.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(begin: Instant, rate: u64, connections: u64, connection: u64) -> Schedule {
        Schedule { begin, rate, connections, connection }
    }

    #[test]
    fn connections_together_send_at_constant_spacing_and_nothing_adds_up() {
        let begin = Instant::now();
        let parts: Vec<Schedule> = (0..3).map(|connection| schedule(begin, 1000, 3, connection)).collect();
        let mut due: Vec<Instant> = parts.iter().flat_map(|part| (0..4).map(|turn| part.due(turn))).collect();
        due.sort();
        let expected: Vec<Instant> = (0..12).map(|number| begin + Duration::from_millis(number)).collect();
        assert_eq!(due, expected);
        // A third of a second is no whole number of nanoseconds, and ten days later that is still not to be seen.
        let day = 86_400;
        assert_eq!(schedule(begin, 3, 1, 0).due(10 * day * 3), begin + Duration::from_secs(10 * day));
    }

    #[test]
    fn an_open_loop_sends_what_is_due_and_counts_from_then() {
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        let mut pace = Pace::open(schedule(begin, 100, 1, 0), u64::MAX, Some(at(40)));
        assert_eq!(pace.turn(at(0)), Turn::Send { number: 0, due: at(0) });
        assert_eq!(pace.turn(at(9)), Turn::Wait);
        assert_eq!(pace.turn(at(25)), Turn::Send { number: 1, due: at(10) });
        assert_eq!(pace.behind(), Duration::from_millis(15));
        assert_eq!(pace.turn(at(25)), Turn::Send { number: 2, due: at(20) });
        assert_eq!(pace.turn(at(31)), Turn::Send { number: 3, due: at(30) });
        // The fifth would be due at the end.
        assert_eq!(pace.turn(at(35)), Turn::Over);
        assert_eq!((pace.is_over(), pace.behind()), (true, Duration::from_millis(1)));
    }

    #[test]
    fn what_found_no_slot_before_the_end_is_behind() {
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        let mut pace = Pace::open(schedule(begin, 100, 1, 0), u64::MAX, Some(at(40)));
        assert_eq!(pace.turn(at(0)), Turn::Send { number: 0, due: at(0) });
        assert_eq!(pace.turn(at(90)), Turn::Over);
        assert_eq!(pace.behind(), Duration::from_millis(30));
    }

    #[test]
    fn a_number_of_requests_ends_both_loops() {
        let begin = Instant::now();
        let open = |connection| Pace::open(schedule(begin, 1000, 2, connection), 3, None);
        let closed = || Pace::closed(Arc::default(), 2, None);
        let late = begin + Duration::from_secs(60);
        let sent = |mut pace: Pace| (0..5).filter(|_| pace.turn(late) != Turn::Over).count();
        assert_eq!((sent(open(0)), sent(open(1)), sent(closed())), (2, 1, 2));
    }
}
