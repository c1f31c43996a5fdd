//! Forwarding of interfaces, as the kernel reports it by netconf: dump and notifications.

use std::io;

use crate::address::each_family;
use crate::constants::{NETCONFA_FORWARDING, NETCONFA_IFINDEX, RTM_GETNETCONF, RTM_NEWNETCONF};
use crate::{Message, Requests, attributes, u32_of};

/// Length of struct netconfmsg in bytes, with the padding before the attributes.
const HEADER: usize = 4;

/// Setting `forwarding` of an interface and a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarding {
    pub is_ipv6: bool,
    /// Index of the interface; [`Forwarding::ALL`] is the setting "all", another negative one that of new interfaces.
    pub index: i32,
    pub is_on: bool,
}

impl Forwarding {
    /// NETCONFA_IFINDEX_ALL.
    pub const ALL: i32 = -1;

    /// Reads the payload of RTM_NEWNETCONF; None if it concerns other settings.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let (is_ipv6, index, is_on) = read(payload)?;
        Some(Self {
            is_ipv6,
            index,
            is_on: is_on?,
        })
    }

    /// Reads the payload of RTM_DELNETCONF: the interface is gone, and has no setting.
    pub(crate) fn parse_gone(payload: &[u8]) -> Option<Self> {
        let (is_ipv6, index, _) = read(payload)?;
        Some(Self {
            is_ipv6,
            index,
            is_on: false,
        })
    }
}

fn read(payload: &[u8]) -> Option<(bool, i32, Option<bool>)> {
    let is_ipv6 = match i32::from(*payload.first()?) {
        libc::AF_INET => false,
        libc::AF_INET6 => true,
        _ => return None,
    };
    let (mut index, mut is_on) = (None, None);
    for (kind, value) in attributes(payload.get(HEADER..)?) {
        let value = u32_of(value).map(|it| i32::from_ne_bytes(it.to_ne_bytes()));
        match kind {
            NETCONFA_IFINDEX => index = value,
            NETCONFA_FORWARDING => is_on = value.map(|it| it != 0),
            _ => {}
        }
    }
    Some((is_ipv6, index?, is_on))
}

impl Requests {
    /// Settings of all interfaces of the namespace, and of "all", of both families.
    pub fn forwarding(&mut self) -> io::Result<Vec<Forwarding>> {
        let mut found = Vec::new();
        each_family(|family| {
            let family = u8::from(family);
            let request = Message::dump(RTM_GETNETCONF, &[family, 0, 0, 0]);
            self.dump(request, |kind, payload| {
                if kind == RTM_NEWNETCONF {
                    found.extend(Forwarding::parse(payload));
                }
            })
        })?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Message as the kernel sends it for `sysctl -w net.ipv4.conf.lan.forwarding=0`.
    fn message(family: i32, attributes: &[(u16, i32)]) -> Vec<u8> {
        let mut bytes = vec![u8::try_from(family).expect("a family"), 0, 0, 0];
        for (kind, value) in attributes {
            bytes.extend(8_u16.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(value.to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn forwarding_of_an_interface_and_of_all_is_read() {
        let of = |family, index, value| {
            let attributes = [(NETCONFA_IFINDEX, index), (NETCONFA_FORWARDING, value)];
            Forwarding::parse(&message(family, &attributes))
        };
        let is = |is_ipv6, index, is_on| {
            Some(Forwarding {
                is_ipv6,
                index,
                is_on,
            })
        };
        assert_eq!(of(libc::AF_INET, 7, 0), is(false, 7, false));
        assert_eq!(of(libc::AF_INET6, -1, 1), is(true, Forwarding::ALL, true));
        assert_eq!(of(libc::AF_MPLS, 7, 0), None);
    }

    #[test]
    fn other_settings_say_nothing_of_forwarding_and_nothing_panics() {
        let rp_filter = message(libc::AF_INET, &[(NETCONFA_IFINDEX, 7), (3, 1)]);
        assert_eq!(Forwarding::parse(&rp_filter), None);
        let whole = message(libc::AF_INET, &[(1, 7), (2, 1)]);
        for length in 0..whole.len() {
            assert_eq!(Forwarding::parse(&whole[..length]), None, "{length}");
        }
    }
}
