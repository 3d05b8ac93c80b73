//! The machine's clock and randomness, for what does not decide: timers, logs, ids of batches. Nothing else asks for
//! them, so that a test can tell where time enters.

use chrono::Utc;
use uuid::Uuid;

use crate::domain::id::Entropy;
use crate::domain::window::Instant;

/// The machine's time. Decisions use the database's.
#[allow(clippy::disallowed_methods)] // the one place
pub fn now() -> Instant {
    Utc::now()
}

/// Randomness for one request.
pub fn entropy() -> Entropy {
    Entropy::new(random_uuid().into_bytes())
}

/// A random id: of a batch, of a worker.
#[allow(clippy::disallowed_methods)] // the one place
pub fn random_uuid() -> Uuid {
    Uuid::new_v4()
}
