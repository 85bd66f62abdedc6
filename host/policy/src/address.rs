//! Addresses that need a grant of their own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address leads to this machine, its neighbours or a cloud's metadata service, in any spelling: a
/// *name* that resolves to such an address is refused unless its grant says `private`.
#[must_use]
pub fn is_private_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => private_v4(address),
        IpAddr::V6(address) => private_v6(address),
    }
}

fn private_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_unspecified()
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        // Shared address space (RFC 6598), protocol assignments (RFC 6890), benchmarks (RFC 2544).
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b))
}

fn private_v6(address: Ipv6Addr) -> bool {
    let s = address.segments();
    if let Some(inner) = address.to_ipv4_mapped() {
        return private_v4(inner);
    }
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        private_v4(Ipv4Addr::new(a, b, c, d))
    };
    address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        // Unique local (fc00::/7, with EC2's metadata fd00:ec2::254), link-local, site-local.
        || (s[0] & 0xfe00) == 0xfc00
        || (s[0] & 0xffc0) == 0xfe80
        || (s[0] & 0xffc0) == 0xfec0
        || (s[0] == 0x2001 && s[1] == 0xdb8)
        // An IPv4 address inside: compatible (::/96), NAT64 (64:ff9b::/96), 6to4 (2002::/16), Teredo.
        || (s[..6] == [0; 6] && embedded(s[6], s[7]))
        || (s[0] == 0x64 && s[1] == 0xff9b && embedded(s[6], s[7]))
        // Translated without state (SIIT, ::ffff:0:0/96) and by the network's own rules (64:ff9b:1::/48, RFC 8215),
        // where the address may also stand further to the front, with nothing but zeros behind it.
        || (s[..6] == [0, 0, 0, 0, 0xffff, 0] && embedded(s[6], s[7]))
        || (s[..3] == [0x64, 0xff9b, 1] && s[6] & 0xff == 0 && s[7] == 0)
        // Tunnels within a site (ISATAP) end at the address that their last half holds.
        || (s[4] & 0xfdff == 0 && s[5] == 0x5efe && embedded(s[6], s[7]))
        || (s[0] == 0x2002 && embedded(s[1], s[2]))
        || (s[0] == 0x2001 && s[1] == 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::is_private_address;

    #[test]
    fn private_addresses_are_known_in_every_spelling() {
        for text in [
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "::7f00:1",
            "224.0.0.1",
            "255.255.255.255",
            "2001::1",
            "::ffff:0:127.0.0.1",
            "::ffff:0:169.254.169.254",
            "64:ff9b:1::7f00:1",
            "64:ff9b:1:fffe::a9fe:a9fe",
            "64:ff9b:1:a9fe:a9:fe00::",
            "64:ff9b:1:0:a:0:500:0",
            "2606:4700::5efe:10.1.2.3",
            "2606:4700::200:5efe:10.1.2.3",
        ] {
            assert!(is_private_address(text.parse().unwrap()), "{text}");
        }
        for text in [
            "1.1.1.1",
            "93.184.216.34",
            "172.32.0.1",
            "2606:4700::1111",
            "64:ff9b::101:101",
            "64:ff9b:1::101:101",
            "::ffff:0:1.1.1.1",
            "2606:4700::5efe:1.1.1.1",
            "::ffff:1.1.1.1",
        ] {
            assert!(!is_private_address(text.parse().unwrap()), "{text}");
        }
    }
}
