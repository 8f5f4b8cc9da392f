//! The address guard: targets on private and other special addresses must say so.
//!
//! Names are filtered inside the resolver that the client itself uses, so that what was checked is what
//! is connected to. Address literals skip the resolver and are checked by the connector.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use crate::event::TargetName;

/// What a target may connect to.
#[derive(Clone, Debug)]
pub(super) struct AddressGuard {
    pub(super) target: TargetName,
    pub(super) allow_private: bool,
}

impl AddressGuard {
    /// `Err` says which address, which range, and which setting allows it.
    pub(super) fn check(&self, address: IpAddr) -> io::Result<()> {
        match special_range(address) {
            Some(range) if !self.allow_private => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!(
                    "{address} is a {range} address; to allow it set `allow_private = true` under [targets.{}]",
                    self.target
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Checks a URL's host where it is an address and not a name.
    pub(super) fn check_literal(&self, host: &str) -> io::Result<()> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare.parse().map_or(Ok(()), |address| self.check(address))
    }

    /// The addresses that pass; the first one's refusal when none does.
    fn filter(&self, found: impl Iterator<Item = SocketAddr>) -> io::Result<Vec<SocketAddr>> {
        let mut refusal = None;
        let mut allowed = Vec::new();
        for address in found {
            match self.check(address.ip()) {
                Ok(()) => allowed.push(address),
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        match (allowed.is_empty(), refusal) {
            (true, Some(error)) => Err(error),
            (true, None) => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the name has no address",
            )),
            (false, _) => Ok(allowed),
        }
    }
}

/// The resolver that is handed to the client.
#[derive(Clone, Debug)]
pub(super) struct GuardedResolver(pub(super) AddressGuard);

impl Service<Name> for GuardedResolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let guard = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(guard.filter(found)?.into_iter())
        })
    }
}

/// The special range that `address` is in: the IANA special-purpose registries, and the multicast and
/// reserved ranges. An IPv6 address that carries an IPv4 address is judged by that one too.
fn special_range(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => special_v6(v6).or_else(|| embedded_v4(v6).and_then(special_v4)),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    SPECIAL_V4
        .iter()
        .find(|(base, length, _)| {
            let shift = 32 - length;
            u32::from(address) >> shift == u32::from(*base) >> shift
        })
        .map(|(_, _, name)| *name)
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    SPECIAL_V6
        .iter()
        .find(|(base, length, _)| in_v6(address, *base, *length))
        .map(|(_, _, name)| *name)
}

fn in_v6(address: Ipv6Addr, base: Ipv6Addr, length: u32) -> bool {
    let shift = 128 - length;
    u128::from(address) >> shift == u128::from(base) >> shift
}

/// The IPv4 address inside a mapped, compatible, translated, NAT64 or 6to4 address.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [.., a, b, c, d] = address.octets();
    let low = Ipv4Addr::new(a, b, c, d);
    let [_, _, a, b, c, d, ..] = address.octets();
    let sixtofour = Ipv4Addr::new(a, b, c, d);
    if in_v6(address, Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16) {
        return Some(sixtofour);
    }
    CARRY_V4_LAST
        .iter()
        .any(|base| in_v6(address, *base, 96))
        .then_some(low)
}

const SPECIAL_V4: [(Ipv4Addr, u32, &str); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "unspecified"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (
        Ipv4Addr::new(100, 64, 0, 0),
        10,
        "shared (carrier-grade NAT)",
    ),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "protocol assignment"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(255, 255, 255, 255), 32, "broadcast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

const SPECIAL_V6: [(Ipv6Addr, u32, &str); 12] = [
    (Ipv6Addr::UNSPECIFIED, 128, "unspecified"),
    (Ipv6Addr::LOCALHOST, 128, "loopback"),
    (
        Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0),
        48,
        "local NAT64",
    ),
    (
        Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0),
        64,
        "discard-only",
    ),
    // Teredo, benchmarking, ORCHID.
    (
        Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0),
        23,
        "protocol assignment",
    ),
    (
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),
        32,
        "documentation",
    ),
    (
        Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0),
        20,
        "documentation",
    ),
    (
        Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0),
        16,
        "segment routing",
    ),
    (
        Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0),
        7,
        "unique-local",
    ),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "link-local"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "site-local"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "multicast"),
];

/// IPv4-compatible, IPv4-mapped, IPv4-translated, NAT64: the last 32 bits are an IPv4 address.
const CARRY_V4_LAST: [Ipv6Addr; 4] = [
    Ipv6Addr::UNSPECIFIED,
    Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0),
    Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0),
    Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0),
];

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: [(&str, &str); 44] = [
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("10.0.0.0", "private"),
        ("10.255.255.255", "private"),
        ("100.64.0.0", "shared (carrier-grade NAT)"),
        ("100.127.255.255", "shared (carrier-grade NAT)"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.255", "loopback"),
        ("169.254.169.254", "link-local"),
        ("172.16.0.0", "private"),
        ("172.31.255.255", "private"),
        ("192.0.0.170", "protocol assignment"),
        ("192.0.2.1", "documentation"),
        ("192.88.99.1", "6to4 relay"),
        ("192.168.1.1", "private"),
        ("198.18.0.1", "benchmarking"),
        ("198.19.255.255", "benchmarking"),
        ("198.51.100.7", "documentation"),
        ("203.0.113.7", "documentation"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "broadcast"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::127.0.0.1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:10.1.2.3", "private"),
        ("::ffff:0:192.168.0.1", "private"),
        ("64:ff9b::7f00:1", "loopback"),
        ("64:ff9b::169.254.169.254", "link-local"),
        ("64:ff9b:1::1", "local NAT64"),
        ("2002:7f00:1::", "loopback"),
        ("2002:c0a8:101::1", "private"),
        ("100::1", "discard-only"),
        ("2001::1", "protocol assignment"),
        ("2001:db8::1", "documentation"),
        ("3fff::1", "documentation"),
        ("5f00::1", "segment routing"),
        ("fc00::1", "unique-local"),
        ("fdff::1", "unique-local"),
        ("fe80::1", "link-local"),
        ("fec0::1", "site-local"),
        ("ff02::1", "multicast"),
    ];

    const ALLOWED: [&str; 16] = [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::1",
    ];

    fn guard(allow_private: bool) -> AddressGuard {
        AddressGuard {
            target: "crm".into(),
            allow_private,
        }
    }

    #[test]
    fn every_special_range_is_refused_by_name() {
        for (address, range) in REFUSED {
            let text = guard(false).check_literal(address).unwrap_err().to_string();
            assert!(
                text.contains(&format!(" is a {range} address;")),
                "{address}: {text}"
            );
            guard(true).check_literal(address).unwrap();
        }
    }

    #[test]
    fn public_addresses_pass() {
        for address in ALLOWED {
            guard(false).check_literal(address).unwrap();
        }
    }

    #[test]
    fn a_refusal_names_address_range_and_setting() {
        let text = guard(false).check_literal("[::1]").unwrap_err().to_string();
        assert_eq!(
            text,
            "::1 is a loopback address; to allow it set `allow_private = true` under [targets.crm]"
        );
    }

    #[test]
    fn a_name_with_both_kinds_of_address_leaves_the_public_ones() {
        let found: Vec<SocketAddr> = ["127.0.0.1:0", "1.1.1.1:0", "[::1]:0"]
            .map(|address| address.parse().unwrap())
            .into();
        let allowed = guard(false).filter(found.iter().copied()).unwrap();
        assert_eq!(allowed, [found[1]]);
        let refusal = guard(false).filter(found[..1].iter().copied());
        assert!(refusal.unwrap_err().to_string().starts_with("127.0.0.1 is"));
        assert!(guard(false).filter(std::iter::empty()).is_err());
    }
}
