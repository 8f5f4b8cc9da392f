//! The addresses that are not given out for use on the internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The special range that `address` is in, e.g. `127.0.0.0/8 (loopback)`: those of the IANA special-purpose registries,
/// multicast, and of IPv6 whatever is not given out for use on the internet. An IPv6 address that stands for an IPv4
/// address is judged by that.
pub(crate) fn special_range(address: IpAddr) -> Option<String> {
    match address {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => match stands_for(v6) {
            Some(v4) => special_v4(v4),
            None => special_v6(v6),
        },
    }
}

fn special_v4(address: Ipv4Addr) -> Option<String> {
    let within = |base: [u8; 4], length: u32| {
        let shift = 32 - length;
        u32::from(address) >> shift == u32::from(Ipv4Addr::from(base)) >> shift
    };
    let mut ranges = SPECIAL_V4.iter();
    let (base, length, name) = ranges.find(|(base, length, _)| within(*base, *length))?;
    Some(format!("{}/{length} ({name})", Ipv4Addr::from(*base)))
}

fn special_v6(address: Ipv6Addr) -> Option<String> {
    let mut ranges = SPECIAL_V6.iter();
    if let Some((base, length, name)) =
        ranges.find(|(base, length, _)| in_v6(address, *base, *length))
    {
        return Some(format!("{}/{length} ({name})", Ipv6Addr::from(*base)));
    }
    let is_global = in_v6(address, GLOBAL_UNICAST, 3);
    (!is_global).then(|| "the reserved part of IPv6".to_owned())
}

fn in_v6(address: Ipv6Addr, base: [u16; 8], length: u32) -> bool {
    let shift = 128 - length;
    u128::from(address) >> shift == u128::from(Ipv6Addr::from(base)) >> shift
}

/// The IPv4 address that a mapped or NAT64 address leads to: the last 32 bits.
fn stands_for(address: Ipv6Addr) -> Option<Ipv4Addr> {
    const MAPPED: [u16; 8] = [0, 0, 0, 0, 0, 0xffff, 0, 0];
    const NAT64: [u16; 8] = [0x64, 0xff9b, 0, 0, 0, 0, 0, 0];
    let [.., a, b, c, d] = address.octets();
    let carries = [MAPPED, NAT64].iter().any(|base| in_v6(address, *base, 96));
    carries.then_some(Ipv4Addr::new(a, b, c, d))
}

/// The first that fits gives the name.
const SPECIAL_V4: [([u8; 4], u32, &str); 19] = [
    ([0, 0, 0, 0], 8, "unspecified"),
    ([10, 0, 0, 0], 8, "private"),
    ([100, 64, 0, 0], 10, "shared (carrier-grade NAT)"),
    ([127, 0, 0, 0], 8, "loopback"),
    ([169, 254, 0, 0], 16, "link-local"),
    ([172, 16, 0, 0], 12, "private"),
    ([192, 0, 0, 0], 24, "protocol assignment"),
    ([192, 0, 2, 0], 24, "documentation"),
    ([192, 31, 196, 0], 24, "AS112"),
    ([192, 52, 193, 0], 24, "multicast tunnelling"),
    ([192, 88, 99, 0], 24, "6to4 relay"),
    ([192, 168, 0, 0], 16, "private"),
    ([192, 175, 48, 0], 24, "AS112"),
    ([198, 18, 0, 0], 15, "benchmarking"),
    ([198, 51, 100, 0], 24, "documentation"),
    ([203, 0, 113, 0], 24, "documentation"),
    ([224, 0, 0, 0], 4, "multicast"),
    ([255, 255, 255, 255], 32, "broadcast"),
    ([240, 0, 0, 0], 4, "reserved"),
];

/// What is given out for use; the rest of IPv6 is special or reserved.
const GLOBAL_UNICAST: [u16; 8] = [0x2000, 0, 0, 0, 0, 0, 0, 0];

/// The first that fits gives the name.
const SPECIAL_V6: [([u16; 8], u32, &str); 24] = [
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, "unspecified"),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback"),
    ([0, 0, 0, 0, 0, 0, 0, 0], 96, "IPv4-compatible"),
    ([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, "IPv4-translated"),
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "local NAT64"),
    ([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "discard-only"),
    ([0x100, 0, 0, 1, 0, 0, 0, 0], 64, "dummy"),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, "Teredo"),
    ([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, "benchmarking"),
    ([0x2001, 3, 0, 0, 0, 0, 0, 0], 32, "multicast tunnelling"),
    ([0x2001, 4, 0x112, 0, 0, 0, 0, 0], 48, "AS112"),
    ([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28, "ORCHID"),
    ([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28, "ORCHID"),
    ([0x2001, 0x30, 0, 0, 0, 0, 0, 0], 28, "drone identifier"),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "protocol assignment"),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "documentation"),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "6to4"),
    ([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, "AS112"),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "documentation"),
    ([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, "segment routing"),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "unique-local"),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local"),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "site-local"),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Of each special range its first and its last address, in the order of the registries.
    const REFUSED: [(&str, &str, &str); 51] = [
        ("0.0.0.0", "0.255.255.255", "unspecified"),
        ("10.0.0.0", "10.255.255.255", "private"),
        (
            "100.64.0.0",
            "100.127.255.255",
            "shared (carrier-grade NAT)",
        ),
        ("127.0.0.0", "127.255.255.255", "loopback"),
        ("169.254.0.0", "169.254.255.255", "link-local"),
        ("172.16.0.0", "172.31.255.255", "private"),
        // DS-Lite, dummy, port control, TURN, NAT64 discovery.
        ("192.0.0.0", "192.0.0.255", "protocol assignment"),
        ("192.0.0.8", "192.0.0.10", "protocol assignment"),
        ("192.0.0.170", "192.0.0.171", "protocol assignment"),
        ("192.0.2.0", "192.0.2.255", "documentation"),
        ("192.31.196.0", "192.31.196.255", "AS112"),
        ("192.52.193.0", "192.52.193.255", "multicast tunnelling"),
        ("192.88.99.0", "192.88.99.255", "6to4 relay"),
        ("192.168.0.0", "192.168.255.255", "private"),
        ("192.175.48.0", "192.175.48.255", "AS112"),
        ("198.18.0.0", "198.19.255.255", "benchmarking"),
        ("198.51.100.0", "198.51.100.255", "documentation"),
        ("203.0.113.0", "203.0.113.255", "documentation"),
        ("224.0.0.0", "239.255.255.255", "multicast"),
        ("240.0.0.0", "255.255.255.254", "reserved"),
        ("255.255.255.255", "255.255.255.255", "broadcast"),
        ("::", "::", "unspecified"),
        ("::1", "::1", "loopback"),
        ("::2", "::ffff:ffff", "IPv4-compatible"),
        ("::ffff:0.0.0.0", "::ffff:0.255.255.255", "unspecified"),
        ("::ffff:10.0.0.0", "::ffff:10.255.255.255", "private"),
        ("::ffff:127.0.0.1", "::ffff:7fff:ffff", "loopback"),
        ("::ffff:169.254.169.254", "::ffff:a9fe:ffff", "link-local"),
        ("::ffff:0:0:0", "::ffff:0:ffff:ffff", "IPv4-translated"),
        ("64:ff9b::127.0.0.1", "64:ff9b::7fff:ffff", "loopback"),
        ("64:ff9b::192.168.0.0", "64:ff9b::c0a8:ffff", "private"),
        (
            "64:ff9b:1::",
            "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
            "local NAT64",
        ),
        ("100::", "100::ffff:ffff:ffff:ffff", "discard-only"),
        ("100:0:0:1::", "100:0:0:1:ffff:ffff:ffff:ffff", "dummy"),
        ("2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "Teredo"),
        // Port control, TURN, service registration.
        ("2001:1::1", "2001:1::3", "protocol assignment"),
        (
            "2001:2::",
            "2001:2:0:ffff:ffff:ffff:ffff:ffff",
            "benchmarking",
        ),
        (
            "2001:3::",
            "2001:3:ffff:ffff:ffff:ffff:ffff:ffff",
            "multicast tunnelling",
        ),
        (
            "2001:4:112::",
            "2001:4:112:ffff:ffff:ffff:ffff:ffff",
            "AS112",
        ),
        (
            "2001:10::",
            "2001:1f:ffff:ffff:ffff:ffff:ffff:ffff",
            "ORCHID",
        ),
        (
            "2001:20::",
            "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff",
            "ORCHID",
        ),
        (
            "2001:30::",
            "2001:3f:ffff:ffff:ffff:ffff:ffff:ffff",
            "drone identifier",
        ),
        (
            "2001:40::",
            "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
            "protocol assignment",
        ),
        (
            "2001:db8::",
            "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            "documentation",
        ),
        ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "6to4"),
        (
            "2620:4f:8000::",
            "2620:4f:8000:ffff:ffff:ffff:ffff:ffff",
            "AS112",
        ),
        (
            "3fff::",
            "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
            "documentation",
        ),
        (
            "5f00::",
            "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "segment routing",
        ),
        (
            "fc00::",
            "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "unique-local",
        ),
        (
            "fe80::",
            "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "link-local",
        ),
        (
            "fec0::",
            "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "site-local",
        ),
    ];

    /// What is in no registry, and given out to nobody.
    const UNUSED: [(&str, &str, &str); 4] = [
        (
            "ff00::",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "multicast",
        ),
        (
            "200::",
            "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "reserved",
        ),
        (
            "4000::",
            "5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "reserved",
        ),
        (
            "6000::",
            "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "reserved",
        ),
    ];

    const ALLOWED: [&str; 24] = [
        "1.0.0.0",
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2000::",
        "2001:200::",
        "2001:db9::",
        "2606:4700:4700::1111",
        "3ffe::1",
        "3fff:1000::",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
    ];

    fn range_of(address: &str) -> Option<String> {
        special_range(address.parse().unwrap())
    }

    #[test]
    fn every_special_range_is_known_by_name() {
        for (first, last, name) in REFUSED.into_iter().chain(UNUSED) {
            for address in [first, last] {
                let range = range_of(address);
                assert!(range.is_some_and(|range| range.contains(name)), "{address}");
            }
        }
    }

    #[test]
    fn public_addresses_are_in_none() {
        for address in ALLOWED {
            assert_eq!(range_of(address), None, "{address}");
        }
    }
}
