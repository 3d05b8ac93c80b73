//! Replies: a body, and for a refusal the two error headers.

use crate::domain::hold::Hold;
use crate::domain::id::ResourceName;
use crate::domain::outcome::{Outcome, Refusal};
use crate::domain::resource::Pool;

/// A reply's bytes, ready to be sent and to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    pub body: Vec<u8>,
    /// Number and code, for the error headers; `None` for an answer.
    pub error: Option<(u16, String)>,
}

/// What a command is answered with.
pub fn outcome(outcome: &Outcome) -> Encoded {
    let _ = outcome;
    todo!()
}

pub fn refusal(refusal: &Refusal) -> Encoded {
    let _ = refusal;
    todo!()
}

/// `get`
pub fn reservation(hold: &Hold) -> Encoded {
    let _ = hold;
    todo!()
}

/// `list`: `next` is the last of the page where there is more behind it.
pub fn reservations(holds: &[Hold], has_more: bool, is_by_status: bool) -> Encoded {
    let _ = (holds, has_more, is_by_status);
    todo!()
}

/// `check`: for each resource its live holder.
pub fn check(resources: &[(ResourceName, Option<Hold>)], is_many: bool) -> Encoded {
    let _ = (resources, is_many);
    todo!()
}

/// `verify`: `current` is the token of the present holder, if there is one.
pub fn verify(fencing_token: i64, current: Option<i64>) -> Encoded {
    let _ = (fencing_token, current);
    todo!()
}

pub fn pool(pool: &Pool) -> Encoded {
    let _ = pool;
    todo!()
}

pub fn pools(pools: &[Pool], has_more: bool) -> Encoded {
    let _ = (pools, has_more);
    todo!()
}
