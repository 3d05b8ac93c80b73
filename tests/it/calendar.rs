//! Leap days, years' ends, and clocks that are put forward and back: the grid is UTC, and none of them is special.

use chrono::{DateTime, Datelike, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::harness::Berth;

/// Cents per unit-hour: one a minute.
const PRICE: i64 = 60;

async fn pool(berth: &Berth) {
    let offers = json!([{"key": "standard", "display_name": "Standard", "unit_price_cents": PRICE}]);
    let years = 6 * 366 * 86_400;
    let body = json!({"pool": "gpu", "capacity": 1, "offers": offers, "horizon_seconds": years});
    berth.admin("pool_put", body).await.ok();
}

/// The next leap year after this one.
#[allow(clippy::disallowed_methods)] // tests live in the machine's time
fn leap_year() -> i32 {
    (Utc::now().year() + 1..)
        .find(|year| DateTime::parse_from_rfc3339(&format!("{year}-02-29T00:00:00Z")).is_ok())
        .unwrap()
}

fn window(start: &str, end: &str) -> Value {
    json!({"pool": "gpu", "start_time": start, "end_time": end, "quantity": 1})
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_are_counted_over_leap_days_years_ends_and_changes_of_offset() {
    let berth = Berth::start().await;
    pool(&berth).await;
    let year = leap_year();
    let next = year + 1;
    let cases = [
        (format!("{year}-02-28T23:00:00Z"), format!("{year}-03-01T01:00:00Z"), 26),
        (format!("{next}-02-28T23:00:00Z"), format!("{next}-03-01T01:00:00Z"), 2),
        (format!("{year}-12-31T23:45:00Z"), format!("{next}-01-01T00:15:00Z"), 0),
        // Berlin's clocks go from +01:00 to +02:00 in March and back in October, wherever the Sunday is.
        (format!("{year}-03-25T00:00:00+01:00"), format!("{year}-03-27T00:00:00+02:00"), 47),
        (format!("{year}-10-28T00:00:00+02:00"), format!("{year}-10-30T00:00:00+01:00"), 49),
    ];
    for (start, end, hours) in cases {
        let placed = berth.ask("reserve", window(&start, &end)).await.ok();
        let minutes = if hours == 0 { 30 } else { hours * 60 };
        assert_eq!(placed["total_price_cents"], minutes, "{start}");
        let utc = |text: &str| {
            let at = DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc);
            at.to_rfc3339_opts(SecondsFormat::Secs, true)
        };
        assert_eq!(placed["start_time"], utc(&start));
        assert_eq!(placed["end_time"], utc(&end));
        let taken = json!({"pool": "gpu", "mode": "check", "start_time": start, "end_time": end, "quantity": 1});
        assert_eq!(berth.ask("availability", taken).await.ok(), json!({"available": false}));
    }
    let no_such_day = format!("{next}-02-29T00:00:00Z");
    let refused = berth.ask("reserve", window(&no_such_day, &format!("{next}-03-01T00:00:00Z"))).await;
    assert_eq!(refused.refused("invalid_request")["reason"], "invalid_timestamp");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_of_quarters_of_an_hour_is_reserved_whole_and_leaves_none() {
    let berth = Berth::start().await;
    pool(&berth).await;
    let year = leap_year();
    let first = DateTime::parse_from_rfc3339(&format!("{year}-02-01T00:00:00Z")).unwrap().with_timezone(&Utc);
    let at = |quarter: i64| (first + TimeDelta::minutes(15 * quarter)).to_rfc3339_opts(SecondsFormat::Secs, true);
    let quarters = 29 * 96;
    for from in (0..quarters).step_by(672) {
        let interval = |quarter| json!({"start_time": at(quarter), "end_time": at(quarter + 1), "quantity": 1});
        let intervals: Vec<Value> = (from..quarters.min(from + 672)).map(interval).collect();
        let count = intervals.len() as i64;
        let placed = berth.ask("reserve", json!({"pool": "gpu", "intervals": intervals})).await.ok();
        assert_eq!(placed["total_price_cents"], count * 15);
        assert_eq!(placed["intervals"].as_array().unwrap().len() as i64, count);
    }
    let slots =
        json!({"pool": "gpu", "mode": "slots", "earliest_start_time": at(-1), "latest_end_time": at(quarters + 1)});
    let free = json!([{"start_time": at(-1), "end_time": at(0), "quantity": 1},
                      {"start_time": at(quarters), "end_time": at(quarters + 1), "quantity": 1}]);
    assert_eq!(berth.ask("availability", slots).await.ok(), free);
    let find = json!({"pool": "gpu", "quantity": 1, "duration_seconds": 900, "limit": 1,
                      "earliest_start_time": at(0), "latest_end_time": at(quarters + 4)});
    assert_eq!(berth.ask("find", find).await.ok()[0]["start_time"], at(quarters));
    let schedule = berth.ask("schedule", json!({"pool": "gpu"})).await.ok();
    let steps = schedule["allocation_schedule"]["total"].as_array().unwrap().clone();
    assert_eq!(steps.len(), 3, "equal neighbours are one step: {steps:?}");
}
