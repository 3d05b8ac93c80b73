//! Rows to domain types and back.
