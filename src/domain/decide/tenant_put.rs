//! `tenant_put`: sets all that the operator says of a tenant. What the tenant has stays, also where it is more than
//! the new limits.

use crate::domain::command::TenantPut;
use crate::domain::outcome::{Answer, Outcome, Refusal};
use crate::domain::quota::TenantConfig;
use crate::domain::state::State;

pub(super) fn decide(state: &mut State, put: &TenantPut) -> Outcome {
    let present = &state.tenants().get(&put.tenant).ok_or(Refusal::NotFound)?.config;
    let wanted = TenantConfig {
        tenant: put.tenant.clone(),
        version: present.as_ref().map_or(0, |present| present.version),
        limits: put.limits,
        registered_prefixes: put.registered_prefixes.clone(),
    };
    if present.as_ref() == Some(&wanted) {
        return Ok(Answer::Tenant(Box::new(wanted)));
    }

    let config = TenantConfig { version: wanted.version + 1, ..wanted };
    state.put_tenant(config.clone());
    Ok(Answer::Tenant(Box::new(config)))
}
