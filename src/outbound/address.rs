//! The address guard: what is on a private or another special address must be allowed to be there.
//!
//! Names are filtered inside the resolver that the client itself uses, so that what was checked is what
//! is connected to. Address literals skip the resolver and are checked by the connector.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    vec,
};

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use super::{names::NameService, special::special_range};

/// What may be connected to.
#[derive(Clone, Debug)]
pub(crate) struct AddressGuard {
    /// Where `allow_private` stands, e.g. `under [targets.crm]`.
    pub(crate) place: Arc<str>,
    pub(crate) allow_private: bool,
}

impl AddressGuard {
    /// `Err` says which address, which range, and which setting allows it.
    pub(crate) fn check(&self, address: IpAddr) -> io::Result<()> {
        match special_range(address) {
            Some(range) if !self.allow_private => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!(
                    "{address} is in {range}; to allow it set `allow_private = true` {}",
                    self.place
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Checks a URL's host where it is an address and not a name.
    pub(crate) fn check_literal(&self, host: &str) -> io::Result<()> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare.parse().map_or(Ok(()), |address| self.check(address))
    }

    /// The addresses that pass, for the connector to put its port to; the first one's refusal when none does.
    fn filter(&self, found: Vec<IpAddr>) -> io::Result<Vec<SocketAddr>> {
        let mut refusal = None;
        let mut allowed = Vec::new();
        for address in found {
            match self.check(address) {
                Ok(()) => allowed.push(SocketAddr::new(address, 0)),
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        match refusal {
            Some(error) if allowed.is_empty() => Err(error),
            _ => Ok(allowed),
        }
    }
}

/// The resolver that is handed to the client.
#[derive(Clone, Debug)]
pub(crate) struct GuardedResolver {
    pub(crate) guard: AddressGuard,
    pub(crate) names: Arc<NameService>,
}

impl Service<Name> for GuardedResolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self { guard, names } = self.clone();
        Box::pin(async move {
            let found = names.addresses(name.as_str()).await?;
            let allowed = guard.filter(found)?;
            Ok(allowed.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allow_private: bool) -> AddressGuard {
        AddressGuard {
            place: "under [targets.crm]".into(),
            allow_private,
        }
    }

    #[test]
    fn special_addresses_are_refused_until_they_are_allowed() {
        for literal in ["127.0.0.1", "[::1]", "169.254.169.254", "[::ffff:10.0.0.1]"] {
            guard(false).check_literal(literal).unwrap_err();
            guard(true).check_literal(literal).unwrap();
        }
        for literal in ["1.1.1.1", "[2606:4700:4700::1111]", "crm.example.com"] {
            guard(false).check_literal(literal).unwrap();
        }
    }

    #[test]
    fn a_refusal_names_address_range_and_setting() {
        let text = guard(false).check_literal("[::1]").unwrap_err().to_string();
        assert_eq!(
            text,
            "::1 is in ::1/128 (loopback); to allow it set `allow_private = true` under [targets.crm]"
        );
    }

    #[test]
    fn a_name_with_both_kinds_of_address_leaves_the_public_ones() {
        let found = ["127.0.0.1", "1.1.1.1", "::1"].map(|address| address.parse().unwrap());
        let allowed = guard(false).filter(found.into()).unwrap();
        assert_eq!(allowed, [SocketAddr::new(found[1], 0)]);
        let refusal = guard(false).filter(found[..1].into());
        assert!(refusal.unwrap_err().to_string().starts_with("127.0.0.1 is"));
    }
}
