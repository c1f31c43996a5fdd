//! Checks that an address with its prefix is valid on a link.

use std::net::IpAddr;

use spared_config_reader::IpNet;

/// Returns true if an address is link-local: several interfaces may be in its network.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// Reason why no interface can have this address; None if one can.
pub(super) fn unfit(net: IpNet) -> Option<String> {
    let address = net.addr();
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    if address.is_unspecified() || address.is_loopback() || address.is_multicast() || broadcast {
        return Some(format!("found {net}, allowed an address of a host"));
    }
    let most = net.max_prefix_len().saturating_sub(1);
    if !(1..=most).contains(&net.prefix_len()) {
        let why = format!("found {net}, allowed a prefix of 1-{most} that contains both nodes");
        return Some(why);
    }
    // RFC 3021 and RFC 6164: in networks of two addresses, both are hosts.
    if net.prefix_len() == most {
        None
    } else if address == net.network() {
        Some(format!("found {net}, which is the address of the network"))
    } else if address.is_ipv4() && address == net.broadcast() {
        Some(format!("found {net}, which is the broadcast address"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn networks_of_two_addresses_have_hosts_only() {
        for fit in [
            "10.0.0.0/31",
            "10.0.0.1/31",
            "10.0.0.1/30",
            "192.168.180.2/24",
            "fd00::/127",
            "fd00::1/127",
            "fe80::1/64",
            "169.254.7.1/16",
        ] {
            assert_eq!(unfit(net(fit)), None, "{fit}");
        }
        for unfit in [
            "10.0.0.0/30",
            "10.0.0.3/30",
            "10.0.0.1/32",
            "10.0.0.1/0",
            "fd00::/64",
            "fd00::1/128",
            "0.0.0.0/8",
            "127.0.0.2/8",
            "224.0.0.5/24",
            "255.255.255.255/8",
            "ff02::1/64",
            "::1/64",
        ] {
            assert!(super::unfit(net(unfit)).is_some(), "{unfit}");
        }
    }
}
