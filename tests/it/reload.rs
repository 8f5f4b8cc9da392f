//! Hot reload of the real program, over HTTPS.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what goes wrong in a test ends the test"
)]

mod files;
mod gateways;
mod keeping;
mod load;
mod rig;
mod strays;
mod tls;
