//! A request at a glance: the lane of what it names, for whoever passes it on, without all that decoding checks. Where
//! it can't be told so easily, or is told wrongly, the request is decided elsewhere, which is right too.

use std::borrow::Cow;

use serde::Deserialize;
use uuid::Uuid;

use super::verb::Verb;
use crate::domain::id::{HoldId, Lane, PoolName, Tenant};

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    pool: Option<Cow<'a, str>>,
    #[serde(borrow)]
    reservation_id: Option<Cow<'a, str>>,
}

/// `None`: of no lane, of several, or not to be told at a glance.
pub fn lane(verb: Verb, tenant: Option<&Tenant>, payload: &[u8]) -> Option<Lane> {
    match verb {
        Verb::Lock | Verb::Unlock | Verb::Renew | Verb::Register | Verb::Check => tenant.map(Lane::of_locks),
        Verb::Reserve | Verb::Availability | Verb::PoolPut => {
            Some(Lane::of_pool(&PoolName::parse(&named(payload)?.pool?)?))
        }
        Verb::Confirm
        | Verb::Extend
        | Verb::Terminate
        | Verb::Cancel
        | Verb::Update
        | Verb::ExtensionAvailability
        | Verb::ReservationTerminate => {
            let id = Uuid::try_parse(&named(payload)?.reservation_id?).ok()?;
            Some(HoldId::from_uuid(id).lane())
        }
        _ => None,
    }
}

fn named(payload: &[u8]) -> Option<Named<'_>> {
    serde_json::from_slice(payload).ok()
}
