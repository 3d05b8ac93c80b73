//! Random commands. Ids and tokens follow from a request's number, so a command can name what an earlier one of the
//! same batch makes.

use berth::domain::booked::VictimOrder;
use berth::domain::command::{
    Cancel, Command, Confirm, Extend, Part, PoolPut, PriceLimit, Renew, Request, ReservationTerminate, Reserve,
    TakeLock, Terminate, UnitId, Unlock, Update,
};
use berth::domain::id::{HoldId, Label, Lane, PoolName, Requester, ResourceName, Tenant, ZoneName};
use berth::domain::lock::Mode;
use berth::domain::resource::{Capacity, Offer, Policy, Zones};
use berth::domain::window::{Instant, Interval, from_micros};
use proptest::prelude::*;

use crate::world::request;

/// How many minutes there are; everything happens within them.
pub const MINUTES: i64 = 90;

pub fn second(number: i64) -> Instant {
    from_micros(1_800_000_000_000_000 + number * 1_000_000)
}

pub fn minute(number: i64) -> Instant {
    second(60 * number)
}

/// Cents per unit-hour that is paused.
pub const PAUSE_PRICE: i64 = 4_321;

/// One of the pools announces ends, the other does not.
pub fn ending_soon_seconds(pool: &PoolName) -> u32 {
    if *pool == pool_name(0) { 330 } else { 0 }
}

#[derive(Clone, Debug)]
pub enum Op {
    /// Starts so many minutes from now on; each interval as gap before it, length and quantity.
    Reserve {
        pool: u8,
        starts_in: i64,
        parts: Vec<(i64, i64, u32)>,
        hold_seconds: Option<u32>,
        zone: Option<u8>,
    },
    Confirm {
        which: usize,
        quantity: Option<u32>,
    },
    Extend {
        which: usize,
        end: i64,
    },
    Terminate {
        which: usize,
        part: WhichPart,
    },
    Cancel {
        which: usize,
    },
    Update {
        which: usize,
        paused: Option<bool>,
        name: Option<u8>,
    },
    Lock {
        name: u8,
        by: u8,
        ttl_seconds: Option<u32>,
    },
    Unlock {
        name: u8,
        by: u8,
        which: usize,
    },
    Renew {
        name: u8,
        which: usize,
        ttl_seconds: u32,
    },
    Put {
        pool: u8,
        capacity: u32,
        of_zone: u32,
        force: Option<VictimOrder>,
    },
    ReservationTerminate {
        which: usize,
    },
}

#[derive(Clone, Debug)]
pub enum WhichPart {
    All,
    Quantity(u32),
    Units(Vec<u32>),
}

pub fn op() -> impl Strategy<Value = Op> {
    let parts = prop::collection::vec((0i64..4, 1i64..12, 1u32..6), 1..4);
    let which = 0usize..6;
    let part = prop_oneof![
        Just(WhichPart::All),
        (1u32..5).prop_map(WhichPart::Quantity),
        prop::collection::btree_set(0u32..5, 1..4).prop_map(|units| WhichPart::Units(units.into_iter().collect())),
    ];
    prop_oneof![
        6 => (0u8..2, 0i64..20, parts, prop::option::of(1u32..600), prop::option::of(0u8..2)).prop_map(
            |(pool, starts_in, parts, hold_seconds, zone)| Op::Reserve { pool, starts_in, parts, hold_seconds, zone }
        ),
        2 => (which.clone(), prop::option::of(1u32..6)).prop_map(|(which, quantity)| Op::Confirm { which, quantity }),
        2 => (which.clone(), 5i64..60).prop_map(|(which, end)| Op::Extend { which, end }),
        2 => (which.clone(), part).prop_map(|(which, part)| Op::Terminate { which, part }),
        1 => which.clone().prop_map(|which| Op::Cancel { which }),
        2 => (which.clone(), prop::option::of(any::<bool>()), prop::option::of(0u8..3)).prop_map(
            |(which, paused, name)| Op::Update { which, paused, name }
        ),
        2 => (0u8..3, 0u8..3, prop::option::of(1u32..900)).prop_map(
            |(name, by, ttl_seconds)| Op::Lock { name, by, ttl_seconds }
        ),
        2 => (0u8..3, 0u8..3, which.clone()).prop_map(|(name, by, which)| Op::Unlock { name, by, which }),
        1 => (0u8..3, which, 1u32..900).prop_map(|(name, which, ttl_seconds)| Op::Renew { name, which, ttl_seconds }),
        2 => (0u8..2, 0u32..12, 0u32..8, prop::option::of(prop::sample::select(&VictimOrder::ALL[..]))).prop_map(
            |(pool, capacity, of_zone, force)| Op::Put { pool, capacity, of_zone, force }
        ),
        1 => (0usize..6).prop_map(|which| Op::ReservationTerminate { which }),
    ]
}

/// What befalls a few reservations that run: they are paused, given back in part, extended, taken back, and their ends come near.
fn running_op() -> impl Strategy<Value = Op> {
    let which = 0usize..2;
    let reserve = (0u8..2, prop::collection::vec((0i64..2, 4i64..12, 2u32..6), 1..3), prop::option::of(0u8..2));
    let withdraw = (0u8..2, 2u32..9, 0u32..9, prop::sample::select(&VictimOrder::ALL[..]))
        .prop_map(|(pool, capacity, of_zone, force)| Op::Put { pool, capacity, of_zone, force: Some(force) });
    prop_oneof![
        1 => reserve.prop_map(
            |(pool, parts, zone)| Op::Reserve { pool, starts_in: 0, parts, hold_seconds: None, zone }
        ),
        4 => (which.clone(), any::<bool>()).prop_map(
            |(which, paused)| Op::Update { which, paused: Some(paused), name: None }
        ),
        2 => which.clone().prop_map(|which| Op::Terminate { which, part: WhichPart::Quantity(1) }),
        2 => (which.clone(), 5i64..60).prop_map(|(which, end)| Op::Extend { which, end }),
        1 => which.prop_map(|which| Op::ReservationTerminate { which }),
        1 => withdraw,
    ]
}

/// Operations, each some seconds after the one before, and whether the clock comes by before it.
pub fn steps() -> impl Strategy<Value = Vec<(i64, bool, Op)>> {
    let anything = prop::collection::vec((0i64..240, any::<bool>(), op()), 1..40);
    let running = prop::collection::vec((0i64..90, any::<bool>(), running_op()), 1..40);
    prop_oneof![3 => anything, 2 => running]
}

pub fn pool_name(number: u8) -> PoolName {
    PoolName::parse(&format!("pool-{number}")).unwrap()
}

pub fn zone_name(number: u8) -> ZoneName {
    ZoneName::parse(&format!("zone-{number}")).unwrap()
}

/// Turns operations into requests, and remembers what they make.
#[derive(Clone, Default)]
pub struct Numbering {
    count: u64,
    /// The ids of the reservations asked for, granted or not, latest last.
    pub ids: Vec<HoldId>,
    /// The tokens of the locks asked for, the same.
    tokens: Vec<uuid::Uuid>,
}

impl Numbering {
    pub fn request(&mut self, op: &Op, now: Instant) -> Request {
        self.count += 1;
        let request = request("acme", self.count, self.command(op, now));
        match &request.command {
            Command::Reserve(reserve) => {
                let lane = Lane::of_pool(reserve.pool.as_ref().unwrap());
                self.ids.push(HoldId::mint(now, lane, &request.entropy));
            }
            Command::Lock(_) => self.tokens.push(request.entropy.token()),
            _ => {}
        }
        request
    }

    /// The latest is 0; where there are not so many, one that nobody has.
    pub fn id(&self, which: usize) -> HoldId {
        self.ids.iter().rev().nth(which).copied().unwrap_or_else(|| HoldId::from_uuid(uuid::Uuid::max()))
    }

    fn token(&self, which: usize) -> uuid::Uuid {
        self.tokens.iter().rev().nth(which).copied().unwrap_or_default()
    }

    fn command(&self, op: &Op, now: Instant) -> Command {
        let id = |which: usize| self.id(which);
        let resource = |name: u8| ResourceName::parse(&format!("lock-{name}")).unwrap();
        let requester = |by: u8| Requester::parse(&format!("worker-{by}")).unwrap();
        match op.clone() {
            Op::Reserve { pool, starts_in, parts, hold_seconds, zone } => {
                let mut asked = reserve(pool, now, starts_in, &parts, hold_seconds);
                asked.zone = zone.map(zone_name);
                Command::Reserve(asked)
            }
            Op::Confirm { which, quantity } => Command::Confirm(Confirm { id: id(which), quantity }),
            Op::Extend { which, end } => {
                Command::Extend(Extend { id: id(which), end_time: minute(end), price: PriceLimit::default() })
            }
            Op::Terminate { which, part } => {
                let unit = |number| UnitId { hold: id(which), number };
                let part = match part {
                    WhichPart::All => Part::All,
                    WhichPart::Quantity(quantity) => Part::Quantity(quantity),
                    WhichPart::Units(units) => Part::Units(units.into_iter().map(unit).collect()),
                };
                Command::Terminate(Terminate { id: id(which), part })
            }
            Op::Cancel { which } => Command::Cancel(Cancel { id: id(which) }),
            Op::Update { which, paused, name } => {
                let name = name.and_then(|name| Label::parse(&format!("name-{name}")));
                Command::Update(Update { id: id(which), paused, volumes: None, name, tags: None })
            }
            Op::Lock { name, by, ttl_seconds } => Command::Lock(TakeLock {
                requester: requester(by),
                resource: resource(name),
                resource_type: None,
                mode: Mode::Exclusive,
                wait_seconds: None,
                ttl_seconds,
            }),
            Op::Unlock { name, by, which } => Command::Unlock(Unlock {
                requester: requester(by),
                resource: resource(name),
                release_token: self.token(which),
            }),
            Op::Renew { name, which, ttl_seconds } => {
                Command::Renew(Renew { resource: resource(name), release_token: self.token(which), ttl_seconds })
            }
            Op::Put { pool, capacity, of_zone, force } => {
                Command::PoolPut(PoolPut { force, ..pool_put(pool, capacity, of_zone) })
            }
            Op::ReservationTerminate { which } => Command::ReservationTerminate(ReservationTerminate {
                tenant: Tenant::parse("acme").unwrap(),
                id: id(which),
            }),
        }
    }
}

fn reserve(pool: u8, now: Instant, starts_in: i64, parts: &[(i64, i64, u32)], hold_seconds: Option<u32>) -> Reserve {
    let mut at = starts_in + (now - second(0)).num_seconds() / 60;
    let mut intervals = Vec::new();
    for (gap, length, quantity) in parts {
        let start = at + gap;
        at = start + length;
        intervals.push(Interval { start: minute(start), end: minute(at), quantity: *quantity });
    }
    Reserve {
        pool: Some(pool_name(pool)),
        wanted_kind: None,
        name: None,
        positions: Some((0..intervals.len()).collect()),
        intervals,
        tags: None,
        launch_specification: None,
        price: PriceLimit::default(),
        hold_seconds,
        zone: None,
    }
}

/// A pool of which no zone has fewer units than there are.
pub fn put(pool: u8, capacity: u32) -> Command {
    Command::PoolPut(pool_put(pool, capacity, 8))
}

/// Zone 0 has so many units, zone 1 as many as the pool.
fn pool_put(pool: u8, capacity: u32, of_zone: u32) -> PoolPut {
    let standard = Offer {
        key: Label::parse("standard").unwrap(),
        display_name: Label::parse("Standard").unwrap(),
        unit_price_cents: 77,
        return_buyback_price_cents: 33,
        pause_buyback_price_cents: PAUSE_PRICE,
        option_premium_cents: 0,
    };
    let name = pool_name(pool);
    PoolPut {
        pool: name.clone(),
        capacity: Capacity::Constant(capacity),
        instance_type: None,
        region: None,
        policy: Policy { grain_seconds: 60, ending_soon_seconds: ending_soon_seconds(&name), ..Policy::default() },
        offers: vec![standard],
        instance_spec: None,
        tags: None,
        zones: Zones::from([(zone_name(0), Some(Capacity::Constant(of_zone))), (zone_name(1), None)]),
        force: None,
    }
}
