//! Tokens, and the keys that prove them.

mod tokens;
mod vectors;
