//! The wire format: what is taken, what is refused and how, what is answered, and that the schemas say the same.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly, its helpers too")]

#[path = "wire/bad.rs"]
mod bad;
#[path = "wire/dry_run.rs"]
mod dry_run;
#[path = "wire/glance.rs"]
mod glance;
#[path = "wire/good.rs"]
mod good;
#[path = "wire/lock_replies.rs"]
mod lock_replies;
#[path = "wire/locks.rs"]
mod locks;
#[path = "wire/looks.rs"]
mod looks;
#[path = "wire/offers.rs"]
mod offers;
#[path = "wire/past.rs"]
mod past;
#[path = "wire/properties.rs"]
mod properties;
#[path = "wire/replies.rs"]
mod replies;
#[path = "wire/samples.rs"]
mod samples;
#[path = "wire/schemas.rs"]
mod schemas;
#[path = "wire/subjects.rs"]
mod subjects;
#[path = "wire/tenants.rs"]
mod tenants;
#[path = "wire/update.rs"]
mod update;
#[path = "wire/zones.rs"]
mod zones;
