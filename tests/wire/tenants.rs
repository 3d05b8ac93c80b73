//! What the operator says of a tenant, and what a tenant is told of its quota.

use berth::domain::command::Command;
use berth::domain::outcome::Refusal;
use berth::domain::quota::{Limits, Quota, TenantConfig, TenantUse};
use berth::wire::reply;
use berth::wire::verb::Verb;
use serde_json::json;

use crate::replies::parse;
use crate::samples::{at, call, canonical, command, tenants};

#[test]
fn a_tenant_is_answered_as_a_request_that_changes_nothing() {
    for config in tenants() {
        let mut body = parse(&reply::tenant_config(&config).body);
        let version = body.as_object_mut().unwrap().remove("version");
        assert_eq!(version, Some(json!(config.version)));
        let (Command::TenantPut(put), _) = command(Verb::TenantPut, &body.to_string()) else { panic!() };
        let again = TenantConfig {
            tenant: put.tenant,
            version: config.version,
            limits: put.limits,
            registered_prefixes: put.registered_prefixes,
        };
        assert_eq!(again, config);
    }
}

#[test]
fn a_limit_is_left_out_or_null_and_prefixes_are_a_set() {
    let same = [
        r#"{"tenant":"acme","quotas":{"units":1},"registered_prefixes":["x","y"]}"#,
        r#"{"registered_prefixes":["y","x"],"quotas":{"units":1,"locks":null},"tenant":"acme"}"#,
    ];
    assert_eq!(canonical(Verb::TenantPut, same[0]), canonical(Verb::TenantPut, same[1]));
    for body in same {
        let (Command::TenantPut(put), _) = command(Verb::TenantPut, body) else { panic!() };
        assert_eq!(put.limits, Limits { units: Some(1), ..Limits::default() });
        assert_eq!(put.registered_prefixes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["x", "y"]);
    }
    let bare = [r#"{"tenant":"acme"}"#, r#"{"tenant":"acme","quotas":{},"registered_prefixes":[]}"#];
    assert_eq!(canonical(Verb::TenantPut, bare[0]), canonical(Verb::TenantPut, bare[1]));
    let twice = call(Verb::TenantPut, r#"{"tenant":"acme","registered_prefixes":["x","y","x"]}"#);
    let Err(Refusal::InvalidRequest { field, reason, .. }) = twice else { panic!() };
    assert_eq!((field.as_str(), reason.name()), ("registered_prefixes[2]", "duplicate_field"));
}

#[test]
fn a_quota_tells_limits_and_use() {
    let limits = Limits { units: Some(8), ..Limits::default() };
    let body = parse(&reply::quota(&limits, &TenantUse::default(), at(0)).body);
    let expected = json!({"limits": {"units": 8, "unit_hours": null, "locks": null},
                          "used": {"units": 0, "unit_hours": 0, "locks": 0}});
    assert_eq!(body, expected);
    let refusal = Refusal::QuotaExceeded { quota: Quota::UnitHours, limit: 8, used: 6, requested: 4 };
    let error = &parse(&reply::refusal(&refusal).body)["error"];
    assert_eq!((refusal.number(), &error["code"], &error["retryable"]), (429, &json!("quota_exceeded"), &json!(false)));
    assert_eq!(error["details"], json!({"quota": "unit_hours", "limit": 8, "used": 6, "requested": 4}));
}
