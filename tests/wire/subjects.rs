//! Subjects, there and back.

use berth::domain::event::EventType;
use berth::domain::hold::Kind;
use berth::domain::id::Tenant;
use berth::wire::subject::{Address, NoAddress, Presence, Subjects};
use berth::wire::verb::Verb;

use crate::samples::tenant;

#[test]
fn every_verb_is_found_under_its_own_subject_only() {
    let subjects = Subjects::new("berth").unwrap();
    for verb in Verb::ALL {
        let tenant = (!verb.is_admin()).then(tenant);
        let request = subjects.request(&crate::samples::tenant(), verb);
        assert_eq!(subjects.address(&request), Ok(Address { tenant: tenant.clone(), verb }), "{request}");
        let submit = subjects.submit(&crate::samples::tenant(), verb);
        let expected = tenant.map(|tenant| Address { tenant: Some(tenant), verb }).ok_or(NoAddress::Verb);
        assert_eq!(subjects.address(&submit), expected, "{submit}");
    }
}

#[test]
fn subjects_are_as_documented() {
    let subjects = Subjects::new("berth").unwrap();
    let acme = tenant();
    assert_eq!(subjects.service(Verb::Reserve), "berth.v1.*.reserve");
    assert_eq!(subjects.service(Verb::PoolPut), "berth.admin.v1.pool_put");
    assert_eq!(subjects.request(&acme, Verb::Lock), "berth.v1.acme.lock");
    assert_eq!(subjects.submit(&acme, Verb::Lock), "berth.submit.v1.acme.lock");
    assert_eq!(subjects.result("acme", "frob"), "berth.result.v1.acme.frob");
    assert_eq!(
        subjects.event(&acme, Kind::Reservation, "gpu", EventType::Placed),
        "berth.event.v1.acme.reservation.gpu.placed"
    );
}

#[test]
fn what_is_no_address_says_which_token_is_wrong() {
    let subjects = Subjects::new("berth").unwrap();
    for (subject, expected) in [
        ("berth.v1.Acme.lock", NoAddress::Tenant),
        ("berth.v1.*.lock", NoAddress::Tenant),
        ("berth.v1..lock", NoAddress::Tenant),
        ("berth.submit.v1.-a.lock", NoAddress::Tenant),
        ("berth.v1.acme.frob", NoAddress::Verb),
        ("berth.v1.acme.pool_put", NoAddress::Verb),
        ("berth.v1.acme.lock.more", NoAddress::Verb),
        ("berth.v1.acme", NoAddress::Verb),
        ("berth.v2.acme.lock", NoAddress::Verb),
        ("berth.admin.v1.lock", NoAddress::Verb),
        ("berth.admin.v1.acme.pool_put", NoAddress::Verb),
        ("berth.submit.v1.acme.pool_put", NoAddress::Verb),
        ("berthx.v1.acme.lock", NoAddress::Verb),
        ("other.v1.acme.lock", NoAddress::Verb),
        ("", NoAddress::Verb),
    ] {
        assert_eq!(subjects.address(subject), Err(expected), "{subject}");
    }
}

#[test]
fn a_tenant_named_like_a_part_of_the_subject_is_a_tenant() {
    let subjects = Subjects::new("berth").unwrap();
    for name in ["admin", "submit", "v1"] {
        let tenant = Tenant::parse(name).unwrap();
        let address = Address { tenant: Some(tenant.clone()), verb: Verb::Lock };
        assert_eq!(subjects.address(&subjects.request(&tenant, Verb::Lock)), Ok(address.clone()));
        assert_eq!(subjects.address(&subjects.submit(&tenant, Verb::Lock)), Ok(address));
    }
}

#[test]
fn a_root_is_one_plain_token() {
    for root in ["berth", "b", "0-_", &"a".repeat(32)] {
        assert!(Subjects::new(root).is_some(), "{root}");
    }
    for root in ["", "Berth", "a.b", "*", ">", "-a", "_a", "a b", &"a".repeat(33)] {
        assert!(Subjects::new(root).is_none(), "{root}");
    }
    assert_eq!(Subjects::new("berth2").unwrap().stream("SUBMIT"), "BERTH2_SUBMIT");
}

#[test]
fn what_workers_say_of_themselves_is_told_from_what_they_pass_on() {
    let subjects = Subjects::new("berth").unwrap();
    for presence in [Presence::Here, Presence::Gone] {
        let subject = subjects.presence(presence, "w1");
        assert_eq!(subjects.heard(&subject), Some((presence, "w1")));
        let all = subjects.presence_all();
        let mut tokens = subject.split('.').zip(all.split('.'));
        assert!(tokens.all(|(token, pattern)| pattern == "*" || pattern == token), "{subject}");
    }
    let passed_on = format!("{}.berth.v1.acme.reserve", subjects.home("w1"));
    assert_eq!(subjects.heard(&passed_on), None);
    assert_ne!(passed_on.split('.').count(), subjects.presence_all().split('.').count());
}
