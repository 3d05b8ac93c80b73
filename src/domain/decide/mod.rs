//! The one function that decides. All checks above, all changes below: a refused command leaves the state as it was.

use super::command::Request;
use super::outcome::Outcome;
use super::state::State;

/// Decides one request upon a state in which its lanes, holds and locks are loaded.
pub fn decide(state: &mut State, request: &Request) -> Outcome {
    let _ = (state, request);
    todo!()
}
