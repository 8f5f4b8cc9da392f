//! Callers that prove themselves by what is no signature: a certificate, a key in the address.

mod certificates;
mod query_keys;
