//! The lane of a request at a glance, against the lanes of what it is decoded to.

use berth::domain::command::{Request, Siblings};
use berth::domain::id::{Entropy, Lane};
use berth::wire::glance;
use berth::wire::request::{Call, Headers, decode};
use berth::wire::verb::Verb;

use crate::samples::{REQUESTS, tenant};

#[test]
fn the_lane_at_a_glance_is_the_one_that_it_is_decided_in() {
    let mut told = Vec::new();
    for (verb, body) in REQUESTS {
        let tenant = (!verb.is_admin()).then(tenant);
        let Some(lane) = glance::lane(*verb, tenant.as_ref(), body.as_bytes()) else { continue };
        let decoded = decode(*verb, tenant.as_ref(), &Headers::default(), body.as_bytes()).unwrap();
        let Call::Command(command, _) = decoded.call else { panic!("{} is a read", verb.name()) };
        let request = Request {
            tenant,
            actor: None,
            not_after: None,
            trace: None,
            entropy: Entropy::new([0; 16]),
            is_dry_run: false,
            siblings: Siblings::default(),
            command,
        };
        let lanes: Vec<Lane> = request.lanes().iter().collect();
        assert_eq!(lanes, [lane], "{} {body}", verb.name());
        told.push(*verb);
    }
    let common = [Verb::Reserve, Verb::Confirm, Verb::Extend, Verb::Cancel, Verb::Lock, Verb::Unlock, Verb::Renew];
    assert!(common.iter().all(|verb| told.contains(verb)), "{told:?}");
}

#[test]
fn what_cannot_be_told_at_a_glance_has_no_lane() {
    let none = [
        (Verb::Reserve, r#"{"instance_type":"a100"}"#),
        (Verb::Reserve, r#"{"pool":7}"#),
        (Verb::Reserve, r#"{"pool":"gpu","#),
        (Verb::Reserve, r#"[{"pool":"gpu"}]"#),
        (Verb::Extend, r#"{"reservation_id":"gpu"}"#),
        (Verb::Transact, r#"{"requests":[]}"#),
        (Verb::List, "{}"),
    ];
    for (verb, body) in none {
        assert_eq!(glance::lane(verb, Some(&tenant()), body.as_bytes()), None, "{} {body}", verb.name());
    }
}
