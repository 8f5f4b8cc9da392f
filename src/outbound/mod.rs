//! What every connection that the gateway opens shares: names are looked up in one place, and addresses that are special are
//! refused where the connection is made.

mod address;
mod names;
mod special;

pub(crate) use address::{AddressGuard, GuardedResolver};
pub(crate) use names::NameService;
pub use names::{Names, NamesFault};
