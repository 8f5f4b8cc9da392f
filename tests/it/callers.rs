//! Callers that prove themselves by what is no signature: a certificate, a key in the address.

pub(crate) mod certificates;
mod fields;
mod query_keys;
