//! Callers that prove themselves by what is no signature: a certificate, a key in the address.

mod certificates;
mod fields;
mod query_keys;
