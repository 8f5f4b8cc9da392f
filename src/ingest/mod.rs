//! Ingest: from a request to an accepted event.

pub mod json;
