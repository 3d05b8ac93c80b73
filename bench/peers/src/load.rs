//! What all loads have in common: how many requests are unanswered, for how long, and what is counted.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use serde_json::{Value, json};

const QUANTILES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)];
/// Latencies are kept in microseconds with three digits.
const LATENCY_MAX_MICROS: u64 = 600_000_000;

#[derive(Clone, Debug, clap::Args)]
pub struct Load {
    /// How many requests are unanswered at any time
    #[arg(long, default_value_t = 1024)]
    pub in_flight: usize,
    /// How many connections carry them
    #[arg(long, default_value_t = 2)]
    pub connections: usize,
    /// How long to measure
    #[arg(long, default_value_t = 6)]
    pub seconds: u64,
    /// Seconds of load before that
    #[arg(long, default_value_t = 2)]
    pub warmup: u64,
}

impl Load {
    /// How many slots each connection has; none has no slot.
    pub fn slots(&self) -> impl Iterator<Item = usize> {
        let (in_flight, connections) = (self.in_flight, self.connections.clamp(1, self.in_flight.max(1)));
        (0..connections).map(move |number| in_flight / connections + usize::from(number < in_flight % connections))
    }

    /// The clock starts here.
    pub fn tally(&self) -> Result<Tally> {
        let begin = Instant::now() + Duration::from_secs(self.warmup);
        let latency = Histogram::new_with_bounds(1, LATENCY_MAX_MICROS, 3)?;
        Ok(Tally { begin, end: begin + Duration::from_secs(self.seconds), answers: 0, wrong: 0, latency })
    }

    pub fn report(&self, tally: &Tally) -> Result<Value> {
        ensure!(tally.wrong == 0, "{} answers were not what they should be", tally.wrong);
        ensure!(tally.answers > 0, "nothing was answered");
        let milliseconds = |at: f64| tally.latency.value_at_quantile(at) as f64 / 1000.0;
        let latency: Value =
            QUANTILES.iter().map(|(name, at)| ((*name).to_owned(), json!(milliseconds(*at)))).collect();
        Ok(json!({
            "in_flight": self.in_flight,
            "connections": self.connections,
            "seconds": self.seconds,
            "answers": tally.answers,
            "rate": tally.answers as f64 / self.seconds as f64,
            "latency_ms": latency,
        }))
    }
}

/// What was counted between the end of the warmup and the end of the time.
#[derive(Clone, Debug)]
pub struct Tally {
    begin: Instant,
    end: Instant,
    answers: u64,
    /// Answers that say something else than they must.
    wrong: u64,
    latency: Histogram<u64>,
}

impl Tally {
    pub fn is_over(&self, now: Instant) -> bool {
        now >= self.end
    }

    /// So many answers of one request that was sent at `sent`.
    pub fn answered(&mut self, sent: Instant, now: Instant, answers: u64, is_right: bool) {
        self.wrong += u64::from(!is_right);
        if now >= self.begin && now < self.end {
            self.answers += answers;
            let micros = u64::try_from((now - sent).as_micros()).unwrap_or(u64::MAX);
            self.latency.saturating_record(micros);
        }
    }

    pub fn add(&mut self, other: &Tally) -> Result<()> {
        self.answers += other.answers;
        self.wrong += other.wrong;
        Ok(self.latency.add(&other.latency)?)
    }
}
