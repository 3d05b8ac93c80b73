//! What a worker keeps of a lane between batches, and how it is brought up to date.

use uuid::Uuid;

use crate::domain::state::LaneState;

/// A lane as of its last batch that this worker knows to be committed.
#[derive(Debug)]
pub struct CachedLane {
    /// The batch after which the lane was as cached; a lane whose row names another one is read up from `seq`.
    pub last_batch: Option<Uuid>,
    /// Moves with every change of a pool's configuration in the lane.
    pub pools_version: i64,
    /// Moves with every change of a registered resource in the lane.
    pub registry_version: i64,
    /// The last batch that changed what is known of tenants; it moves every lane.
    pub tenants_batch: Option<Uuid>,
    pub state: LaneState,
}
