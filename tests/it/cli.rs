//! The command line, as people and scripts use it.

#[allow(
    clippy::unwrap_used,
    reason = "what goes wrong in a test's own machinery ends the test"
)]
mod asking;
#[allow(
    clippy::unwrap_used,
    reason = "what goes wrong in a test's own machinery ends the test"
)]
mod broken;
#[allow(
    clippy::unwrap_used,
    reason = "what goes wrong in a test's own machinery ends the test"
)]
mod cases;
mod check;
#[allow(
    clippy::unwrap_used,
    reason = "what goes wrong in a test's own machinery ends the test"
)]
mod commit;
mod demo;
#[allow(
    clippy::unwrap_used,
    reason = "what goes wrong in a test's own machinery ends the test"
)]
mod differences;
#[allow(
    clippy::unwrap_used,
    reason = "what goes wrong in a test's own machinery ends the test"
)]
mod events;
#[allow(
    clippy::unwrap_used,
    reason = "what goes wrong in a test's own machinery ends the test"
)]
mod explain;
#[allow(
    clippy::unwrap_used,
    reason = "what goes wrong in a test's own machinery ends the test"
)]
mod help;
#[allow(
    clippy::unwrap_used,
    reason = "what goes wrong in a test's own machinery ends the test"
)]
mod operate;
#[allow(
    clippy::expect_used,
    reason = "what goes wrong in a test's own machinery ends the test"
)]
mod program;
mod providers;
#[allow(
    clippy::unwrap_used,
    reason = "what goes wrong in a test's own machinery ends the test"
)]
mod reload;
#[allow(
    clippy::unwrap_used,
    reason = "what goes wrong in a test's own machinery ends the test"
)]
mod repeats;
#[allow(
    clippy::unwrap_used,
    reason = "what goes wrong in a test's own machinery ends the test"
)]
mod replays;
#[allow(
    clippy::unwrap_used,
    reason = "what goes wrong in a test's own machinery ends the test"
)]
mod secrets;
mod send;
#[allow(
    clippy::unwrap_used,
    reason = "what goes wrong in a test's own machinery ends the test"
)]
mod start;
#[allow(
    clippy::unwrap_used,
    reason = "what goes wrong in a test's own machinery ends the test"
)]
mod targets;
#[allow(
    clippy::unwrap_used,
    reason = "what goes wrong in a test's own machinery ends the test"
)]
mod unwritable;

pub(crate) use check::keys_of_the_source;
