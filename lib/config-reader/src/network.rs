//! Addresses with a prefix, read by the same rule for the daemon and all plugins, as [`IpNet`] of `ipnet`.
//!
//! The host part of an address ("192.0.2.1/24") has a different meaning in each place: [`Cidr`] keeps it, [`Network`]
//! drops it, and [`Network::exact`] refuses it.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::{Key, Section};

const CIDR: &str = "an address with its prefix, like \"192.0.2.1/24\"";

impl Section<'_> {
    /// Address with its prefix, by the rule of [`Cidr`].
    pub fn cidr<'k>(&self, key: impl Into<Key<'k>>) -> Option<IpNet> {
        self.parsed(key, CIDR).map(|Cidr(net)| net)
    }

    /// Array of addresses with prefixes. Every wrong element is a fault of its own.
    pub fn cidrs<'k>(&self, key: impl Into<Key<'k>>) -> Option<Vec<IpNet>> {
        let list: Vec<Cidr> = self.list(key, CIDR)?;
        Some(list.into_iter().map(|Cidr(net)| net).collect())
    }
}

/// Address of a host with the prefix of its network: "192.0.2.1/24".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr(pub IpNet);

impl FromStr for Cidr {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, length) = text.split_once('/').ok_or(())?;
        // std's parser for the address: IpNet's own accepts octets with leading zeros, which others read as octal. u8
        // also accepts "+8" and "08".
        let address: IpAddr = address.parse().map_err(drop)?;
        let number: u8 = length.parse().map_err(drop)?;
        if number.to_string() != length {
            return Err(());
        }
        IpNet::new(address, number).map(Self).map_err(drop)
    }
}

/// Network, such as "192.0.2.0/24", or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    written: IpNet,
}

impl Network {
    /// Network, for any address within it.
    pub fn net(self) -> IpNet {
        self.written.trunc()
    }

    /// Network; None if the text has the address of a host in it, which the kernel refuses for a route.
    pub fn exact(self) -> Option<IpNet> {
        (self.written == self.net()).then_some(self.written)
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let written = if text.contains('/') {
            text.parse::<Cidr>()?.0
        } else {
            text.parse::<IpAddr>().map_err(drop)?.into()
        };
        Ok(Self { written })
    }
}

/// True for an address that a host can have in some network.
pub fn is_host(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || address.is_loopback() || is_broadcast)
}

/// Role of the address in its network, if no host there can have it. In a network of one or two addresses, each may be a
/// host's.
pub fn reserved_in_network(net: IpNet) -> Option<&'static str> {
    let bits = if net.addr().is_ipv4() { 32 } else { 128 };
    match net.addr() {
        _ if bits - net.prefix_len() < 2 => None,
        address if address == net.network() => Some("the network itself"),
        IpAddr::V4(_) if net.addr() == net.broadcast() => Some("the broadcast of its network"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_with_prefix_is_refused() {
        for wrong in [
            "",
            "/",
            "10.0.0.1",
            "10.0.0.1/",
            "10.0.0.1/33",
            "10.0.0.1/-1",
            "10.0.0.1/+8",
            "10.0.0.1/08",
            "10.0.0.1/8/8",
            "10.0.0.1/ 8",
            "10.0.0/8",
            "010.0.0.1/8",
            "fd00::1/129",
            "fd00::1%eth0/64",
            "x/8",
        ] {
            assert_eq!(wrong.parse::<Cidr>(), Err(()), "{wrong:?}");
            let is_address = wrong.parse::<IpAddr>().is_ok();
            assert_eq!(wrong.parse::<Network>().is_ok(), is_address, "{wrong:?}");
        }
    }

    #[test]
    fn an_address_keeps_what_names_the_host() {
        for text in [
            "192.0.2.1/24",
            "0.0.0.0/0",
            "10.0.0.1/32",
            "2001:db8::1/64",
            "::/0",
        ] {
            let cidr: Cidr = text.parse().unwrap();
            assert_eq!(cidr.0.to_string(), text);
        }
    }

    #[test]
    fn a_network_is_what_its_prefix_says() {
        let net = |text: &str| {
            let network: Network = text.parse().unwrap();
            (network.net().to_string(), network.exact().is_some())
        };
        assert_eq!(net("192.0.2.0/24"), ("192.0.2.0/24".to_owned(), true));
        assert_eq!(net("192.0.2.1/24"), ("192.0.2.0/24".to_owned(), false));
        assert_eq!(net("192.0.2.1"), ("192.0.2.1/32".to_owned(), true));
        assert_eq!(net("0.0.0.0/0"), ("0.0.0.0/0".to_owned(), true));
        assert_eq!(net("2001:db8::1/32"), ("2001:db8::/32".to_owned(), false));
        assert_eq!(net("::1"), ("::1/128".to_owned(), true));
    }
}
