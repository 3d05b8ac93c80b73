//! Latencies as a distribution: quantiles, a histogram in text, and a file for a plot. Shown in milliseconds.

use std::collections::BTreeMap;
use std::io::{self, Write};

use hdrhistogram::Histogram;

const QUANTILES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)];
/// The longest bar of the histogram, characters.
const BAR: f64 = 40.0;
/// The upper end of the histogram's first line, microseconds; of each further line it is twice that of the one before.
const FIRST_MICROS: u64 = 125;
/// Steps of the file for each halving of the distance to 100 %.
const STEPS: u32 = 5;

pub fn milliseconds(latency: &Histogram<u64>, quantile: f64) -> f64 {
    latency.value_at_quantile(quantile) as f64 / 1000.0
}

pub fn quantiles(latency: &Histogram<u64>) -> BTreeMap<&'static str, f64> {
    QUANTILES.iter().map(|(name, at)| (*name, milliseconds(latency, *at))).collect()
}

/// `p50 1.2 ms   p90 …`
pub fn line(latency: &Histogram<u64>) -> String {
    let one = |(name, at): &(&str, f64)| format!("{name} {:.1} ms", milliseconds(latency, *at));
    QUANTILES.iter().map(one).collect::<Vec<_>>().join("   ")
}

/// One line for each doubling of the latency, from the first to the last that has any.
pub fn bars(latency: &Histogram<u64>) -> Vec<String> {
    let (mut lines, mut from, mut to) = (Vec::new(), 0, FIRST_MICROS);
    while !latency.is_empty() && from < latency.max() {
        let count = latency.count_between(from + 1, to);
        if count > 0 || !lines.is_empty() {
            let share = count as f64 / latency.len() as f64;
            let bar = "█".repeat((share * BAR).ceil() as usize);
            lines.push(format!("{:>10} ms {:>5.1} %  {bar}", format!("≤ {}", to as f64 / 1000.0), share * 100.0));
        }
        (from, to) = (to, to * 2);
    }
    lines
}

/// Lines of value, share of the messages that took no longer, and their number.
pub fn write(latency: &Histogram<u64>, out: &mut impl Write) -> io::Result<()> {
    let mut total = 0;
    for step in latency.iter_quantiles(STEPS) {
        total += step.count_since_last_iteration();
        let value = step.value_iterated_to() as f64 / 1000.0;
        writeln!(out, "{value:.3} {:.9} {total}", step.quantile_iterated_to())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tally::latencies;
    use super::*;

    fn of(micros: &[u64]) -> Histogram<u64> {
        let mut latency = latencies().unwrap();
        micros.iter().for_each(|micros| latency.record(*micros).unwrap());
        latency
    }

    #[test]
    fn the_bars_hold_all_that_was_measured() {
        let bars = bars(&of(&[200, 250, 300, 900]));
        let words: Vec<Vec<&str>> = bars.iter().map(|line| line.split_whitespace().take(4).collect()).collect();
        let expected = [["≤", "0.25", "ms", "50.0"], ["≤", "0.5", "ms", "25.0"], ["≤", "1", "ms", "25.0"]];
        assert_eq!(words, expected);
        assert!(super::bars(&of(&[])).is_empty());
    }

    #[test]
    fn the_file_rises_to_all_messages() {
        let mut file = Vec::new();
        write(&of(&(1..=1000).collect::<Vec<_>>()), &mut file).unwrap();
        let text = String::from_utf8(file).unwrap();
        let rows: Vec<Vec<f64>> =
            text.lines().map(|line| line.split(' ').map(|word| word.parse().unwrap()).collect()).collect();
        assert!(rows.windows(2).all(|rows| (0..3).all(|column| rows[0][column] <= rows[1][column])), "{text}");
        let half = rows.iter().find(|row| row[1] >= 0.5).unwrap();
        assert_eq!((half[0], half[2]), (0.5, 500.0));
        assert_eq!(rows.last().map(|row| row[1..].to_vec()), Some(vec![1.0, 1000.0]));
    }
}
