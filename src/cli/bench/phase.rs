//! One round of load over all connections, with a bar that shows how far it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::CliError;
use super::load::{Connection, Round};
use super::pace::{Pace, Schedule};
use super::plan::Plan;
use super::tally::Tally;

/// How often the bar is drawn anew.
const REDRAW: Duration = Duration::from_millis(200);

/// A round, and what it takes to run it.
#[derive(Debug)]
pub struct Phase {
    pub name: &'static str,
    pub plan: Plan,
    /// `None`: as long as the plan has requests.
    pub time: Option<Duration>,
    /// Requests a second, whatever the answers do; `None`: as many as are answered.
    pub rate: Option<u64>,
}

#[derive(Debug)]
pub struct Measured {
    pub tally: Tally,
    pub seconds: f64,
}

impl Phase {
    /// Until the plan or the time is at its end, and everything is answered.
    pub async fn run(&self, connections: &mut Vec<Connection>, stop: &CancellationToken) -> Result<Measured, CliError> {
        let (answers, numbers) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let begin = Instant::now();
        let until = self.time.map(|time| begin + time);
        let count = connections.len() as u64;
        let mut tasks = JoinSet::new();
        for (number, connection) in (0..).zip(connections.drain(..)) {
            let pace = match self.rate {
                Some(rate) => {
                    let schedule = Schedule { begin, rate, connections: count, connection: number };
                    Pace::open(schedule, self.plan.limit(), until)
                }
                None => Pace::closed(numbers.clone(), self.plan.limit(), until),
            };
            let (plan, answers, stop) = (self.plan.clone(), answers.clone(), stop.clone());
            tasks.spawn(connection.run(Round { plan, pace, answers, stop, tally: Tally::new() }));
        }
        let bar = self.bar();
        let mut tally = Tally::new();
        let mut redraw = tokio::time::interval(REDRAW);
        while !tasks.is_empty() {
            tokio::select! {
                Some(done) = tasks.join_next() => {
                    let (connection, part) = done.map_err(CliError::of("finish the load"))??;
                    connections.push(connection);
                    tally.add(part)?;
                }
                _ = redraw.tick() => self.show(&bar, answers.load(Ordering::Relaxed), begin),
            }
        }
        bar.finish_and_clear();
        let end = until.map_or_else(Instant::now, |until| until.min(Instant::now()));
        Ok(Measured { tally, seconds: (end - begin).as_secs_f64() })
    }

    /// Seen only where stderr is a terminal.
    fn bar(&self) -> ProgressBar {
        let length = self.time.map_or(self.plan.limit(), |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let template = "{prefix:13} {wide_bar} {msg}";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(length).with_style(style).with_prefix(self.name)
    }

    fn show(&self, bar: &ProgressBar, answers: u64, begin: Instant) {
        let elapsed = begin.elapsed();
        let position = self.time.map(|_| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
        bar.set_position(position.unwrap_or(answers / u64::from(self.plan.items())));
        let rate = answers as f64 / elapsed.as_secs_f64().max(0.001);
        bar.set_message(format!("{} answers, {}/s", HumanCount(answers), HumanCount(rate as u64)));
    }
}
