//! Addresses in the form of the C interface: family, and octets in network order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Family;
use crate::cbor::{Reader, Wire, Writer};
use crate::codec::Malformed;
use crate::schema::Shape;

impl Family {
    /// Number of the family, 4 or 6.
    pub fn to_raw(self) -> u32 {
        match self {
            Self::V4 => 4,
            Self::V6 => 6,
        }
    }

    /// Family with the number 4 or 6.
    pub fn from_raw(number: u32) -> Option<Self> {
        match number {
            4 => Some(Self::V4),
            6 => Some(Self::V6),
            _ => None,
        }
    }
}

/// Encoding of a family. A claim with an unknown family is refused, because nothing could install it.
impl Wire for Family {
    fn write(&self, writer: &mut Writer) {
        writer.number(self.to_raw().into());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let family = Self::from_raw(reader.named()?);
        family.ok_or_else(|| reader.fault("is neither 4 nor 6"))
    }

    fn absent() -> Option<Self> {
        None
    }

    fn is_absent(&self) -> bool {
        false
    }

    fn shape() -> Shape {
        Shape::Named {
            name: "Family",
            docs: &[" Family of addresses."],
            values: vec![("V4", 4, &[]), ("V6", 6, &[])],
            is_closed: true,
        }
    }
}

/// Family and octets of an address. IPv4 uses the first four octets.
pub fn to_raw(address: IpAddr) -> (u32, [u8; 16]) {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            let octets = [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            (Family::V4.to_raw(), octets)
        }
        IpAddr::V6(address) => (Family::V6.to_raw(), address.octets()),
    }
}

/// Address with this family and these octets; None if the family is unknown.
pub fn from_raw(family: u32, octets: [u8; 16]) -> Option<IpAddr> {
    Some(match Family::from_raw(family)? {
        Family::V4 => {
            let [a, b, c, d, ..] = octets;
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        Family::V6 => IpAddr::V6(Ipv6Addr::from(octets)),
    })
}
