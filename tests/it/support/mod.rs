//! What the tests share.

pub mod client;
pub mod gateway;
pub mod model;
pub mod receiver;
pub mod redis;
