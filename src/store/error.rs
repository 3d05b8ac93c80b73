//! Operational errors: what was attempted, and the cause.

/// One attempt that failed. `Display` names the attempt and never repeats the source.
#[derive(Debug, thiserror::Error)]
#[error("could not {attempt}")]
pub struct StoreError {
    pub attempt: &'static str,
    #[source]
    pub source: sqlx::Error,
}

impl StoreError {
    /// For `map_err`.
    pub fn of(attempt: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
        move |source| StoreError { attempt, source }
    }
}
