//! Words of a table into commands.

use berth::domain::booked::VictimOrder;
use berth::domain::command::{
    Cancel, Check, Command, Confirm, Extend, InstanceKind, LockRelease, Part, PoolPut, PriceLimit, Register, Renew,
    ReservationTerminate, Reserve, TakeLock, TenantPut, Terminate, UnitId, Unlock, Update, Volumes,
};
use berth::domain::hold::Opaque;
use berth::domain::id::{HoldId, Label, PoolName, Requester, ResourceName, Tenant, ZoneName};
use berth::domain::lock::Mode;
use berth::domain::look::Look;
use berth::domain::quota::Limits;
use berth::domain::resource::{Capacity, CapacityStep, Offer, Policy, Zones};
use berth::domain::window::{Instant, Interval, from_micros};
use berth::wire::launch::with_volumes;
use uuid::Uuid;

const DAY: i64 = 86_400_000_000;
/// 2026-01-05T00:00Z.
const FIRST_DAY: i64 = 20_458 * DAY;

pub struct Words {
    pub verb: String,
    pub words: Vec<String>,
}

impl Words {
    pub fn read(line: &str) -> Words {
        let mut words = line.split_whitespace().map(str::to_owned);
        Words { verb: words.next().unwrap_or_default(), words: words.collect() }
    }

    pub fn subject(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    pub fn option(&self, key: &str) -> Option<&str> {
        self.words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    pub fn has(&self, flag: &str) -> bool {
        self.words.iter().any(|word| word == flag)
    }

    pub fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.option(key).map(|text| number(text))
    }

    fn label(&self, key: &str) -> Option<Label> {
        self.option(key).and_then(Label::parse)
    }

    pub fn window(&self) -> (Instant, Instant) {
        let interval = self.intervals()[0];
        (interval.start, interval.end)
    }

    /// `13:00..14:00 x4` or `13:00..14:00`, in the order in which they stand.
    pub fn intervals(&self) -> Vec<Interval> {
        let mut intervals: Vec<Interval> = Vec::new();
        for word in &self.words {
            if let Some((start, end)) = word.split_once("..") {
                intervals.push(Interval { start: instant(start), end: instant(end), quantity: 1 });
            } else if let (Some(quantity), Some(last)) = (word.strip_prefix('x'), intervals.last_mut()) {
                last.quantity = number(quantity);
            }
        }
        intervals
    }

    pub fn zone(&self) -> Option<ZoneName> {
        self.option("zone").and_then(ZoneName::parse)
    }

    fn tenant(&self) -> Tenant {
        Tenant::parse(self.option("tenant").unwrap_or("acme")).unwrap()
    }

    fn price(&self) -> PriceLimit {
        PriceLimit { offer_key: self.label("offer"), unit_price_max_cents: self.number("max") }
    }

    /// A command upon a reservation that is there.
    pub fn change(&self, id: HoldId, id_of: impl Fn(&str) -> HoldId) -> Command {
        match self.verb.as_str() {
            "confirm" => Command::Confirm(Confirm { id, quantity: self.number("q") }),
            "extend" => Command::Extend(Extend { id, end_time: instant(&self.words[1]), price: self.price() }),
            "cancel" => Command::Cancel(Cancel { id }),
            "reservation_terminate" => {
                Command::ReservationTerminate(ReservationTerminate { tenant: self.tenant(), id })
            }
            "update" => Command::Update(self.update(id)),
            _ => Command::Terminate(Terminate { id, part: self.part(id_of) }),
        }
    }

    /// `volumes=a,b`; `volumes=` for none.
    fn update(&self, id: HoldId) -> Update {
        let quoted = |names: &str| {
            names.split(',').filter(|name| !name.is_empty()).map(|name| format!("{name:?}")).collect::<Vec<_>>()
        };
        let volumes = self.option("volumes").map(|names| Opaque::new(&format!("[{}]", quoted(names).join(","))));
        Update {
            id,
            paused: self.number("paused"),
            volumes: volumes.map(|volumes| Volumes { volumes, put: with_volumes }),
            name: self.label("name"),
            tags: self.option("tags").map(Opaque::new),
        }
    }

    fn part(&self, id_of: impl Fn(&str) -> HoldId) -> Part {
        let unit = |text: &str| {
            let (hold, number_of) = text.split_once('.').unwrap_or((self.subject(), text));
            UnitId { hold: id_of(hold), number: number(number_of) }
        };
        match (self.option("n"), self.option("units")) {
            (Some(quantity), _) => Part::Quantity(number(quantity)),
            (None, Some(units)) => Part::Units(units.split(',').map(unit).collect()),
            (None, None) => Part::All,
        }
    }

    pub fn lock_command(&self, release_token: Uuid) -> Command {
        let resource = ResourceName::parse(self.subject()).unwrap();
        match self.verb.as_str() {
            "unlock" => Command::Unlock(Unlock { requester: self.requester(), resource, release_token }),
            _ => Command::Renew(Renew { resource, release_token, ttl_seconds: self.number("ttl").unwrap() }),
        }
    }

    fn names(&self, option: &str, separator: char) -> Vec<ResourceName> {
        let names = self.option(option).into_iter().flat_map(|names| names.split(separator));
        names.map(|name| ResourceName::parse(name).unwrap()).collect()
    }

    fn requester(&self) -> Requester {
        Requester::parse(self.option("by").unwrap()).unwrap()
    }

    pub fn new_thing(&self) -> Command {
        match self.verb.as_str() {
            "lock" => Command::Lock(TakeLock {
                requester: self.requester(),
                resource: ResourceName::parse(self.subject()).unwrap(),
                resource_type: None,
                ttl_seconds: self.number("ttl"),
                mode: self.option("mode").map_or(Mode::Exclusive, |mode| Mode::parse(mode).unwrap()),
                wait_seconds: self.number("wait"),
            }),
            "register" => Command::Register(Register {
                name: ResourceName::parse(self.subject()).unwrap(),
                capacity: self.number("capacity").unwrap_or(1),
                blocks: self.names("blocks", ','),
                ancestors: self.names("under", '>'),
                resource_type: None,
                lock_delay_seconds: self.number("delay").unwrap_or(0),
            }),
            "check" => Command::Look(Look::Locks(Check {
                resources: vec![ResourceName::parse(self.subject()).unwrap()],
                is_many: false,
            })),
            "lock_release" => Command::LockRelease(LockRelease {
                tenant: self.tenant(),
                resource: ResourceName::parse(self.subject()).unwrap(),
            }),
            "reserve" => Command::Reserve(self.reserve()),
            "pool" => Command::PoolPut(self.pool()),
            "tenant" => Command::TenantPut(TenantPut {
                tenant: Tenant::parse(self.subject()).unwrap(),
                limits: Limits {
                    units: self.number("units"),
                    unit_hours: self.number("unit_hours"),
                    locks: self.number("locks"),
                },
                registered_prefixes: self.option("prefix").and_then(ResourceName::parse).into_iter().collect(),
            }),
            verb => panic!("no verb {verb}"),
        }
    }

    /// Several intervals are sent as a list, one as a window.
    fn reserve(&self) -> Reserve {
        let mut sent: Vec<(usize, Interval)> = self.intervals().into_iter().enumerate().collect();
        sent.sort_by_key(|(_, interval)| interval.start);
        Reserve {
            pool: self.option("pool").map(name),
            wanted_kind: self.wanted_kind(),
            name: self.label("name"),
            positions: (sent.len() > 1).then(|| sent.iter().map(|(position, _)| *position).collect()),
            intervals: sent.into_iter().map(|(_, interval)| interval).collect(),
            tags: self.option("tags").map(Opaque::new),
            launch_specification: self.option("launch").map(Opaque::new),
            price: self.price(),
            hold_seconds: self.number("hold"),
            zone: self.zone(),
        }
    }

    /// `kind=h100/us-east`.
    pub fn wanted_kind(&self) -> Option<InstanceKind> {
        let (instance_type, region) = self.option("kind")?.split_once('/').unwrap();
        let label = |text| Label::parse(text).unwrap();
        Some(InstanceKind { instance_type: label(instance_type), region: label(region) })
    }

    fn pool(&self) -> PoolPut {
        let standard = Policy::default();
        let is = |key: &str| !self.words.iter().any(|word| word.strip_prefix("not-") == Some(key));
        let policy = Policy {
            grain_seconds: self.number("grain").unwrap_or(standard.grain_seconds),
            quantity_step: self.number("step").unwrap_or(standard.quantity_step),
            quantity_min: self.number("min"),
            quantity_max: self.number("max"),
            duration_min_seconds: self.number("shortest"),
            duration_max_seconds: self.number("longest"),
            lead_time_seconds: self.number("lead").unwrap_or(0),
            horizon_seconds: self.number("horizon").unwrap_or(standard.horizon_seconds),
            intervals_max: self.number("intervals").unwrap_or(standard.intervals_max),
            cancellable: is("cancellable"),
            extendable: is("extendable"),
            reducible: is("reducible"),
            pausable: is("pausable"),
            ending_soon_seconds: self.number("soon").unwrap_or(0),
            enabled: is("enabled"),
        };
        let kind = self.option("kind").map(|kind| kind.split_once('/').unwrap());
        PoolPut {
            pool: name(self.subject()),
            capacity: capacity(self.option("capacity").unwrap()),
            instance_type: kind.and_then(|(instance_type, _)| Label::parse(instance_type)),
            region: kind.and_then(|(_, region)| Label::parse(region)),
            policy,
            offers: self.option("offers").map(|offers| offers.split(',').map(offer).collect()).unwrap_or_default(),
            instance_spec: None,
            tags: self.option("tags").map(Opaque::new),
            zones: self.option("zones").map(zones).unwrap_or_default(),
            force: self.option("force").and_then(VictimOrder::parse),
        }
    }
}

/// `a:4/b/c:13:00=4,14:00=0`: zones with a capacity or without.
fn zones(text: &str) -> Zones {
    let zone = |text: &str| match text.split_once(':') {
        Some((zone, units)) => (ZoneName::parse(zone).unwrap(), Some(capacity(units))),
        None => (ZoneName::parse(text).unwrap(), None),
    };
    text.split('/').map(zone).collect()
}

/// `8`, or steps: `12:00=8,13:00=4`.
fn capacity(text: &str) -> Capacity {
    let step = |step: &str| {
        let (effective_at, quantity) = step.split_once('=').unwrap();
        CapacityStep { effective_at: instant(effective_at), quantity: number(quantity) }
    };
    match text.parse() {
        Ok(quantity) => Capacity::Constant(quantity),
        Err(_) => Capacity::Schedule(text.split(',').map(step).collect()),
    }
}

/// `key:price`, `key:price:return price` or `key:price:return price:pause price`.
fn offer(text: &str) -> Offer {
    let parts: Vec<&str> = text.split(':').collect();
    Offer {
        key: Label::parse(parts[0]).unwrap(),
        display_name: Label::parse(parts[0]).unwrap(),
        unit_price_cents: number(parts[1]),
        return_buyback_price_cents: parts.get(2).map_or(0, |text| number(text)),
        pause_buyback_price_cents: parts.get(3).map_or(0, |text| number(text)),
        option_premium_cents: 0,
    }
}

pub fn name(text: &str) -> PoolName {
    PoolName::parse(text).unwrap()
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().unwrap_or_else(|| panic!("{text} is no number that fits"))
}

/// `13:00`, `13:00:05`, `13:00:05.5`, each on the first day; `1d13:00` on the second; `end` the last that there is.
pub fn instant(text: &str) -> Instant {
    if text == "end" {
        return Instant::MAX_UTC;
    }
    let (day, time) = text.split_once('d').unwrap_or(("0", text));
    let mut parts = time.split(':');
    let mut part = || parts.next().unwrap_or("0");
    let (hours, minutes, seconds): (i64, i64, f64) = (number(part()), number(part()), number(part()));
    let micros = (seconds * 1e6).round() as i64 + 60_000_000 * (minutes + 60 * hours);
    from_micros(FIRST_DAY + number::<i64>(day) * DAY + micros)
}

/// As [`instant`] reads it.
pub fn show_instant(at: Instant) -> String {
    let micros = at.timestamp_micros() - FIRST_DAY;
    let (day, micros) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    let day = if day == 0 { String::new() } else { format!("{day}d") };
    let (minutes, micros) = (micros / 60_000_000, micros % 60_000_000);
    let seconds = if micros == 0 { String::new() } else { format!(":{:02}", micros / 1_000_000) };
    let fraction = match micros % 1_000_000 {
        0 => String::new(),
        rest => format!(".{rest:06}").trim_end_matches('0').to_owned(),
    };
    format!("{day}{:02}:{:02}{seconds}{fraction}", minutes / 60, minutes % 60)
}
