//! An address with its prefix, as it may stand on a link.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cidr {
    pub(super) address: IpAddr,
    pub(super) prefix: u8,
}

impl Cidr {
    fn bits(self) -> u32 {
        if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// Bits of an address that name the host, all set.
    fn host_mask(self) -> u128 {
        let host_bits = self.bits().saturating_sub(self.prefix.into());
        u128::MAX.checked_shr(128 - host_bits).unwrap_or(0)
    }

    /// Whether an address is in the same network.
    pub(super) fn is_with(self, other: IpAddr) -> bool {
        self.address.is_ipv4() == other.is_ipv4()
            && number(self.address) & !self.host_mask() == number(other) & !self.host_mask()
    }

    pub(super) fn is_link_local(self) -> bool {
        match self.address {
            IpAddr::V4(address) => address.is_link_local(),
            IpAddr::V6(address) => address.segments()[0] & 0xffc0 == 0xfe80,
        }
    }

    /// Why no interface can have this address as its own.
    pub(super) fn unfit(self) -> Option<String> {
        let address = self.address;
        let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
        if address.is_unspecified() || address.is_loopback() || address.is_multicast() || broadcast
        {
            return Some(format!("found {self}, allowed an address of a host"));
        }
        if u32::from(self.prefix) >= self.bits() || self.prefix == 0 {
            let most = self.bits() - 1;
            let why = format!("found {self}, allowed a prefix of 1-{most}: both nodes are in it");
            return Some(why);
        }
        // RFC 3021 and RFC 6164: networks of two addresses have nothing but hosts.
        let (host, mask) = (number(address) & self.host_mask(), self.host_mask());
        match (mask, host) {
            (1, _) => None,
            (_, 0) => Some(format!("found {self}, which is the address of the network")),
            (_, host) if host == mask && address.is_ipv4() => {
                Some(format!("found {self}, which is the broadcast address"))
            }
            _ => None,
        }
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

impl FromStr for Cidr {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) = text.split_once('/').ok_or(())?;
        let address: IpAddr = address.parse().map_err(|_| ())?;
        if !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(());
        }
        let prefix = prefix.parse().map_err(|_| ())?;
        let cidr = Self { address, prefix };
        if u32::from(prefix) > cidr.bits() {
            return Err(());
        }
        Ok(cidr)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
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
            assert_eq!(cidr(fit).unfit(), None, "{fit}");
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
            assert!(cidr(unfit).unfit().is_some(), "{unfit}");
        }
    }

    #[test]
    fn addresses_of_one_network_are_together() {
        assert!(cidr("10.0.0.1/30").is_with("10.0.0.2".parse().unwrap()));
        assert!(!cidr("10.0.0.1/30").is_with("10.0.0.5".parse().unwrap()));
        assert!(cidr("fd00::/127").is_with("fd00::1".parse().unwrap()));
        assert!(!cidr("fd00::/127").is_with("fd00::2".parse().unwrap()));
        assert!(!cidr("10.0.0.1/1").is_with("::1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_address_with_prefix_is_refused() {
        for wrong in [
            "10.0.0.1",
            "10.0.0.1/33",
            "fd00::1/129",
            "10.0.0.1/+8",
            "x/8",
            "10.0.0.1/",
        ] {
            assert!(wrong.parse::<Cidr>().is_err(), "{wrong}");
        }
    }
}
