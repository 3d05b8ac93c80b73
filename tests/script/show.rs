//! Outcomes and events as a table writes them.

use berth::domain::booked::{Booked, Stretch, Withdrawn};
use berth::domain::command::UnitId;
use berth::domain::counter::{CounterOffer, Instead};
use berth::domain::event::{Credits, Event};
use berth::domain::hold::{Claim, Hold, Reservation};
use berth::domain::id::{HoldId, ResourceName};
use berth::domain::outcome::{Answer, LockAnswer, Outcome, Refusal, RenewAnswer, Shortfall, Terminated, TransactItem};
use berth::domain::quota::TenantUse;
use berth::domain::window::{Instant, Interval};

use super::parse::show_instant;

/// What came of a line.
pub struct Shown {
    pub text: String,
    pub is_refusal: bool,
}

impl Shown {
    pub fn fact(text: String) -> Shown {
        Shown { text, is_refusal: false }
    }

    /// A refusal has to be told in full, an answer by some of its facts.
    pub fn satisfies(&self, expected: &str) -> bool {
        let facts: Vec<&str> = self.text.split(' ').collect();
        self.text == expected || !self.is_refusal && expected.split_whitespace().all(|word| facts.contains(&word))
    }
}

/// `name`: what the story calls a hold.
pub fn outcome(outcome: &Outcome, name: &dyn Fn(HoldId) -> String) -> Shown {
    match outcome {
        Ok(answer) => Shown::fact(self::answer(answer, name)),
        Err(refusal) => Shown { text: self::refusal(refusal, name), is_refusal: true },
    }
}

fn answer(answer: &Answer, name: &dyn Fn(HoldId) -> String) -> String {
    match answer {
        Answer::Reservation(reserved) => hold(reserved),
        Answer::Terminated(done) => terminated(done),
        Answer::Lock(LockAnswer { status, claim, blockers, place, .. }) => {
            let mut text = with_claim(status.name(), claim.as_ref());
            let places: Vec<String> = blockers.iter().filter_map(Hold::lock).map(|lock| lock.place()).collect();
            if !places.is_empty() {
                text += &format!(" with={}", places.join(","));
            }
            if let Some(place) = place {
                let wait = place.wait_seconds.map_or_else(|| "?".to_owned(), |seconds| seconds.to_string());
                text += &format!(" position={} wait={wait}", place.position);
            }
            text
        }
        Answer::Registered(registered) => {
            format!("resource v{} {}", registered.resource.version, path(&registered.path)).trim_end().to_owned()
        }
        Answer::Transacted(transacted) => {
            let item = |item: &TransactItem| match item {
                TransactItem::Decided(decided) => outcome(decided, name).text,
                TransactItem::RolledBack => "ROLLED_BACK".to_owned(),
                TransactItem::Skipped => "SKIPPED".to_owned(),
            };
            let results: Vec<String> = transacted.results.iter().map(item).collect();
            format!("{} : {}", transacted.status.name(), results.join(" ; "))
        }
        Answer::Renew(RenewAnswer { status, claim, .. }) => with_claim(status.name(), claim.as_ref()),
        Answer::Unlock(unlock) => {
            format!("{} {}", unlock.status.name(), unlock.released.join(",")).trim_end().to_owned()
        }
        Answer::Several(outcomes) => {
            outcomes.iter().map(|item| outcome(item, name).text).collect::<Vec<_>>().join(" ; ")
        }
        Answer::Pool(pool) => format!("pool v{}", pool.version),
        Answer::Lowered(lowered) => {
            let one =
                |it: &Withdrawn| format!("{}:{}:x{}:{}", name(it.id), it.status.name(), it.quantity, it.credit_cents);
            let gone: Vec<String> = lowered.withdrawn.iter().map(one).collect();
            format!("pool v{} gone={}", lowered.pool.version, gone.join(","))
        }
        Answer::LockReleased(released) => {
            let status = if !released.claims.is_empty() { "RELINQUISHED" } else { "NOT_RESERVED" };
            with_claim(status, released.claims.first())
        }
        Answer::Looked(looked) => super::look::show(looked),
        Answer::DryRun(would_be) => format!("dry {}", self::answer(would_be, name)),
        Answer::Tenant(config) => format!("tenant v{}", config.version),
    }
}

/// What counts against a tenant's limits, as a reader sees it.
pub fn used(mut used: TenantUse, now: Instant) -> String {
    used.lapse(now);
    format!("units={} unit_hours={} locks={}", used.units(now), used.unit_hours(now), used.locks(now))
}

fn with_claim(status: &str, claim: Option<&Hold>) -> String {
    claim.map_or_else(|| status.to_owned(), |claim| format!("{status} {}", hold(claim)))
}

fn terminated(done: &Terminated) -> String {
    let units = |units: &[UnitId]| units.iter().map(|unit| unit.number.to_string()).collect::<Vec<_>>().join(",");
    let (gone, already) = (units(&done.terminated_units), units(&done.already_terminated));
    format!("{} gone={gone} already={already} credit={}", hold(&done.hold), done.credit_cents)
}

pub fn hold(hold: &Hold) -> String {
    let mut words = vec![hold.status.name().to_owned(), format!("v{}", hold.version)];
    words.extend(hold.end_reason.map(|reason| format!("reason={}", reason.name())));
    words.extend(hold.deactivated_at.map(|at| format!("off={}", show_instant(at))));
    words.push(hold.expires_at.map_or_else(|| "forever".to_owned(), |at| format!("expires={}", show_instant(at))));
    match &hold.claim {
        Claim::Reservation(reservation) => words.extend(facts(reservation)),
        Claim::Lock(lock) => {
            words.push(format!("fence={}", lock.fencing_token));
            words.extend(lock.slot.map(|_| lock.place()));
        }
    }
    words.join(" ")
}

fn facts(it: &Reservation) -> Vec<String> {
    let spans = it.intervals.iter().map(|part| format!("{}x{}", window(part.start, part.end), part.quantity));
    let units = it.units.ranges().iter().map(|(from, to)| format!("{from}-{}", to - 1));
    let mut facts = vec![
        window(it.start_time, it.end_time),
        format!("x{}", it.quantity),
        format!("zone={}", it.zone.as_ref().map_or("", |zone| zone.as_str())),
        format!("intervals={}", spans.collect::<Vec<_>>().join(",")),
        format!("units={}", units.collect::<Vec<_>>().join(",")),
        format!("bound={}", it.units_bound),
        format!("offer={}", it.offer_key),
        format!("price={}", it.unit_price_cents),
        format!("back={}", it.return_buyback_price_cents),
        format!("total={}", it.total_price_cents),
    ];
    facts.extend(it.paused_at.map(|at| format!("paused={}", show_instant(at))));
    facts.extend(it.warned_end.map(|at| format!("warned={}", show_instant(at))));
    facts.extend(it.name.as_ref().map(|name| format!("name={name}")));
    facts.extend(it.tags.as_ref().map(|tags| format!("tags={}", tags.as_str())));
    facts.extend(it.launch_specification.as_ref().map(|launch| format!("launch={}", launch.as_str())));
    facts
}

pub fn window(start: Instant, end: Instant) -> String {
    format!("{}..{}", show_instant(start), show_instant(end))
}

/// `extended r1 v2 Pending Pending @12:00 +4[14:00..15:00]`, and what it credits: for a pause also nothing.
pub fn event(event: &Event, name: &str) -> String {
    let before = event.previous_status.map_or("-", |status| status.name());
    let (version, status) = (event.hold.version, event.hold.status.name());
    let at = show_instant(event.effective_at);
    let usage = event.usage.iter().map(|delta| format!(" {:+}[{}]", delta.units, window(delta.start, delta.end)));
    let Credits { return_cents, pause_cents } = event.credits;
    let returned = return_cents.filter(|cents| *cents > 0).map(|cents| format!(" return={cents}"));
    let paused = pause_cents.map(|cents| format!(" pause={cents}"));
    let more: String = usage.chain(returned).chain(paused).collect();
    format!("{} {name} v{version} {before} {status} @{at}{more}", event.event_type.name())
}

/// `later_start gpu 14:00..15:00x8 ; shorter gpu 13:00..13:30x8`, `until 14:30`, or `nothing`.
pub fn instead(instead: &Instead) -> String {
    let span = |it: &Interval| format!("{}x{}", window(it.start, it.end), it.quantity);
    let offer = |it: &CounterOffer| {
        let pool = it.request.pool.as_ref().map_or("-", |pool| pool.as_str());
        let spans: Vec<String> = it.request.intervals.iter().map(span).collect();
        format!("{} {pool} {}", it.reason.name(), spans.join(","))
    };
    let offers = instead.offers.iter().map(offer);
    let all: Vec<String> = offers.chain(instead.latest_end.map(|end| format!("until {}", show_instant(end)))).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(" ; ") }
}

fn refusal(refusal: &Refusal, name: &dyn Fn(HoldId) -> String) -> String {
    let code = refusal.code();
    match refusal {
        Refusal::InvalidRequest { field, reason, .. } => format!("{code} {field} {}", reason.name()),
        Refusal::InvalidState { status, allowed } => {
            let allowed: Vec<&str> = allowed.iter().map(|status| status.name()).collect();
            format!("{code} {} allowed={}", status.name(), allowed.join(","))
        }
        Refusal::LeadTimeViolation { earliest_start } => format!("{code} {}", show_instant(*earliest_start)),
        Refusal::QuotaExceeded { quota, limit, used, requested } => {
            format!("{code} {} limit={limit} used={used} requested={requested}", quota.name())
        }
        Refusal::PriceAboveMax { unit_price_cents } => format!("{code} {unit_price_cents}"),
        Refusal::InsufficientCapacity { intervals, .. } => {
            let one =
                |it: &Shortfall| format!("{} asked {} free {}", window(it.start, it.end), it.requested, it.available);
            format!("{code} {}", intervals.iter().map(one).collect::<Vec<_>>().join(", "))
        }
        Refusal::StillBooked { stretches, reservations, count } => {
            let stretch = |it: &Stretch| {
                let zone = it.zone.as_ref().map_or_else(String::new, |zone| format!("{zone} "));
                format!("{zone}{} asked {} free {}", window(it.start, it.end), it.requested, it.available)
            };
            let booked = |it: &Booked| format!("{}:x{}", name(it.id), it.quantity);
            let stretches: Vec<String> = stretches.iter().map(stretch).collect();
            let booked: Vec<String> = reservations.iter().map(booked).collect();
            format!("{code} {} by {} of {count}", stretches.join(", "), booked.join(","))
        }
        _ => code.to_owned(),
    }
}

fn path(names: &[ResourceName]) -> String {
    names.iter().map(ResourceName::as_str).collect::<Vec<_>>().join(">")
}
